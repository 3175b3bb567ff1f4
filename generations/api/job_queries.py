"""What `GET /jobs` asks for: filters, labels and the place where a page begins."""

from __future__ import annotations

import base64
import re
import uuid
from datetime import datetime

from django.db.models import Q
from django.http import HttpRequest

from generations import contract
from generations.api.schemas.jobs import LABEL_KEY, JobFilter
from generations.models import Generation
from generations.models.generation import UPSTREAM, GenerationQuerySet
from generations.models.history import cursor_of, read_cursor

_LABEL = re.compile(r"metadata\[(.*)\]")


class InvalidCursorError(Exception):
    """`encode` did not make this cursor."""


class InvalidLabelsError(Exception):
    """`metadata[…]` of the query cannot be a label."""


def filtered(rows: GenerationQuerySet, wanted: JobFilter) -> GenerationQuerySet:
    """Those rows that the filter lets through."""
    if wanted.status:
        rows = rows.filter(_has_status(wanted))
    if wanted.template:
        rows = rows.filter(version__template__slug=wanted.template)
    if wanted.created_after:
        rows = rows.filter(created_at__gt=wanted.created_after)
    if wanted.created_before:
        rows = rows.filter(created_at__lt=wanted.created_before)
    return rows.mentioning(wanted.q)


def _has_status(wanted: JobFilter) -> Q:
    """As `contract.status_of` has it: what was asked to stop while a server has it is canceling and nothing else."""
    is_canceling = Q(cancel_requested_at__isnull=False, status__in=UPSTREAM)
    states = {state for state, word in contract.STATUS.items() if word in wanted.status}
    chosen = Q(status__in=states) & ~is_canceling
    return chosen | is_canceling if "canceling" in wanted.status else chosen


def labels_of(request: HttpRequest) -> dict[str, str]:
    """The labels that jobs must carry: `?metadata[client]=acme`. InvalidLabelsError."""
    labels = {}
    for name, value in request.GET.items():
        match = _LABEL.fullmatch(name)
        if match is None:
            continue
        if not re.fullmatch(LABEL_KEY, match[1]) or "\x00" in str(value):
            raise InvalidLabelsError
        labels[match[1]] = str(value)
    return labels


def encode(row: Generation) -> str:
    """The row's cursor in base64, so that nobody builds one by hand."""
    return base64.urlsafe_b64encode(cursor_of(row).encode()).decode().rstrip("=")


def decode(cursor: str) -> tuple[datetime, uuid.UUID]:
    """The arguments of `older_than`. InvalidCursorError."""
    try:
        return read_cursor(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except ValueError:
        raise InvalidCursorError from None
