"""Files that nothing names any more, written down until the storage has let go of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db import models
from django.utils import timezone

ASKED_AGAIN = timedelta(minutes=1)


class DiscardedFileQuerySet(models.QuerySet["DiscardedFile"]):
    def add(self, keys: Iterable[str]) -> None:
        """Note them, in the transaction that deletes the last row naming them; a rollback forgets them again."""
        self.bulk_create([self.model(key=key) for key in keys], ignore_conflicts=True)

    def take_overdue(self, limit: int) -> list[str]:
        """At most `limit` keys of files that should be gone by now; the same ones not again within ASKED_AGAIN."""
        now = timezone.now()
        keys = list(
            self.filter(asked_at__lt=now - ASKED_AGAIN).order_by("asked_at").values_list("key", flat=True)[:limit]
        )
        self.filter(key__in=keys).update(asked_at=now)
        return keys


class DiscardedFile(models.Model):
    """One file to delete. Its row goes after it."""

    key = models.CharField(max_length=255, primary_key=True)
    asked_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)

    objects = DiscardedFileQuerySet.as_manager()

    def __str__(self) -> str:
        return self.key
