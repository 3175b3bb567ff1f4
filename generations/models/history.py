"""Rows in pages, the newest first: how a page is cut, and what names the place where the next one begins."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Protocol, Self, TypeVar

from django.db import models
from django.db.models import Q
from django.utils.dateparse import parse_datetime

Row = TypeVar("Row", bound=models.Model)


class Dated(Protocol):
    """What a row needs for a cursor."""

    @property
    def pk(self) -> uuid.UUID: ...

    @property
    def created_at(self) -> datetime: ...


class HistoryQuerySet(models.QuerySet[Row]):
    """Rows with `created_at` and a UUID, which decides between rows of the same moment."""

    def newest_first(self) -> Self:
        """By the time of their creation; of rows of one moment, those with the greater id first."""
        return self.order_by("-created_at", "-pk")

    def older_than(self, created_at: datetime, pk: uuid.UUID) -> Self:
        """Those behind the given one in history order."""
        # The first condition follows from the second, and is the only one that says where in the index to begin.
        rows = self.filter(created_at__lte=created_at)
        return rows.filter(Q(created_at__lt=created_at) | Q(pk__lt=pk))

    def newest(self, number: int) -> tuple[Self, Row | None]:
        """(the newest `number` of them, the last of these); None when there are no more than that.

        In contrast to a slice, they can be filtered further.
        """
        last = self.newest_first().only("pk", "created_at")[number - 1 : number].first()  # from the index alone
        if last is None:
            return self, None
        moment = getattr(last, "created_at")  # noqa: B009  (not every model has one, as far as types go)
        rows = self.filter(created_at__gte=moment)
        return rows.filter(Q(created_at__gt=moment) | Q(pk__gte=last.pk)), last

    def page(self, size: int) -> tuple[list[Row], bool]:
        """The first `size` rows, and whether there are more."""
        rows = list(self[: size + 1])
        return rows[:size], len(rows) > size


def cursor_of(row: Dated) -> str:
    """Names the place behind this row in history order."""
    return f"{row.created_at.isoformat()},{row.pk}"


def read_cursor(cursor: str) -> tuple[datetime, uuid.UUID]:
    """The arguments of `older_than`. ValueError for a text that `cursor_of` did not make."""
    moment, _, pk = cursor.partition(",")
    created_at = parse_datetime(moment)
    if created_at is None or created_at.tzinfo is None:
        raise ValueError(cursor)
    return in_utc(created_at), uuid.UUID(pk)


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC, because PostgreSQL refuses offsets that no place on Earth has. ValueError beyond year 1
    or 9999.
    """
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        msg = "there is no such time"
        raise ValueError(msg) from error
