"""What `GET /jobs` asks for: filters, labels, and the page of jobs that they let through."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db.models import Q
from django.http import HttpRequest

from generations import contract
from generations.api.schemas.jobs import LABEL_KEY, JobFilter
from generations.models import Generation
from generations.models.generation import UPSTREAM, GenerationQuerySet
from generations.models.history import cursor_of, read_cursor
from generations.models.searching import is_indexed, words_of

LOOK_FIRST_AT = 1_000  # where words that are common turn up
LOOK_AT = 10_000
_LABEL = re.compile(r"metadata\[(.*)\]")


class InvalidCursorError(Exception):
    """`encode` did not make this cursor."""


class InvalidLabelsError(Exception):
    """`metadata[…]` of the query cannot be a label."""


def page(mine: GenerationQuerySet, wanted: JobFilter, labels: Mapping[str, str]) -> tuple[list[Generation], str | None]:
    """(jobs, newest first, the cursor of the next page; None when there is none). InvalidCursorError.

    Indexes know owner, time, status and most words. For anything else, one page looks at LOOK_AT jobs at most: it may
    have fewer jobs than were asked for, even none, and the next page goes on behind them.
    """
    rows = _in_order(mine, wanted)
    words = words_of(wanted.q)
    if not (words or labels or wanted.template):
        return _cut(rows, wanted.limit)
    has_index = any(is_indexed(word) for word in words)
    near, last = rows.newest(LOOK_FIRST_AT if has_index else LOOK_AT)
    found, cursor = _cut(_sieved(near, wanted, labels).mentioning(words), wanted.limit)
    if cursor is not None or last is None:
        return found, cursor
    if not has_index:
        return found, encode(last)
    return _cut(_sieved(rows, wanted, labels), wanted.limit, words)


def _in_order(rows: GenerationQuerySet, wanted: JobFilter) -> GenerationQuerySet:
    """What the history's indexes find by themselves."""
    if wanted.status:
        rows = rows.filter(_has_status(wanted))
    if wanted.member:
        rows = rows.filter(user__email=wanted.member.lower())
    if wanted.created_after:
        rows = rows.filter(created_at__gt=wanted.created_after)
    if wanted.created_before:
        rows = rows.filter(created_at__lt=wanted.created_before)
    return rows.older_than(*decode(wanted.cursor)) if wanted.cursor else rows


def _sieved(rows: GenerationQuerySet, wanted: JobFilter, labels: Mapping[str, str]) -> GenerationQuerySet:
    """Those that the rest of the filter lets through, words apart."""
    if wanted.template:
        rows = rows.filter(version__template__slug=wanted.template)
    return rows.labeled(labels)


def _cut(rows: GenerationQuerySet, limit: int, rare_words: Sequence[str] = ()) -> tuple[list[Generation], str | None]:
    rows = rows.found_by_index(rare_words) if rare_words else rows.newest_first()
    found, has_more = rows.with_details().defer("version__graph").page(limit)
    return found, encode(found[-1]) if has_more else None


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
