"""What housekeeping failed at: a row for each object, which is tried again later and later and holds up no other."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import QuerySet
from django.utils import timezone

LONGEST = timedelta(days=1)  # between two attempts


class SetbackQuerySet(models.QuerySet["Setback"]):
    def waiting(self, task: str) -> QuerySet[Setback, int]:
        """Ids of what this task leaves alone for now."""
        return self.filter(task=task, retry_at__gt=timezone.now()).values_list("object_id", flat=True)

    def note(self, task: str, object_id: int, *, pause: timedelta, error: Exception) -> Setback:
        """Once more it failed: it is tried again after `pause`, twice that the next time, and so on up to LONGEST."""
        row, _ = self.get_or_create(task=task, object_id=object_id, defaults={"retry_at": timezone.now()})
        row.failures += 1
        row.retry_at = timezone.now() + min(pause * 2 ** min(row.failures - 1, 30), LONGEST)
        row.error = f"{type(error).__name__}: {error}".replace("\x00", "")[:300]
        row.save(update_fields=["failures", "retry_at", "error"])
        return row

    def is_over(self, task: str, object_id: int) -> None:
        """It succeeded: the next failure is a first one again."""
        self.filter(task=task, object_id=object_id).delete()


class Setback(models.Model):
    """One object at which one task failed. The row goes when it succeeds, or when nobody tries it any more."""

    task = models.CharField(max_length=40)
    object_id = models.BigIntegerField()
    failures = models.PositiveSmallIntegerField(default=0)
    retry_at = models.DateTimeField()
    error = models.CharField(max_length=300, blank=True, help_text="Why it failed the last time.")

    objects = SetbackQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "object_id"], name="setback_once")]

    def __str__(self) -> str:
        return f"{self.task} {self.object_id}: failed {self.failures} times"
