"""Seeds that count up or down with each run remember where they are, for each user and template."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models

from generations.models.template import WorkflowTemplate

if TYPE_CHECKING:
    from accounts.models import User


class SeedCountQuerySet(models.QuerySet["SeedCount"]):
    """Read and written by whoever holds the QueueShare of a workspace. The user may be in several: the row is locked,
    so that counting is free of gaps and repetitions.
    """

    def last_of(self, user: User, template: WorkflowTemplate, parameter: str) -> int | None:
        """The seed of the user's latest run; None before the first."""
        rows = self.filter(user=user, template=template, parameter=parameter).select_for_update()
        found = rows.values_list("last", flat=True).first()
        return None if found is None else int(found)

    def note(self, user: User, template: WorkflowTemplate, parameter: str, seed: int) -> None:
        """A run with this seed was submitted."""
        self.update_or_create({"last": str(seed)}, user=user, template=template, parameter=parameter)


class SeedCount(models.Model):
    """The seed that one user's latest run of a template had, where the next one counts on from it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    template = models.ForeignKey(WorkflowTemplate, on_delete=models.CASCADE, related_name="+")
    parameter = models.CharField(max_length=64)
    last = models.CharField(max_length=20, help_text="As text: seeds reach 2^64-1.")

    objects = SeedCountQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "template", "parameter"], name="seed_count_once")]

    def __str__(self) -> str:
        return f"{self.parameter}: {self.last}"
