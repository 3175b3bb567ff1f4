"""Plans: a share of the servers, and limits."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models


class Plan(models.Model):
    """A share of the servers, and limits. Workspaces without a plan get the defaults of these fields."""

    name = models.CharField(max_length=80, unique=True)
    weight = models.FloatField(
        default=1.0,
        validators=[MinValueValidator(0.01)],
        help_text="Share of the servers when they are busy: a workspace with 2 gets twice as much as one with 1.",
    )
    priority = models.SmallIntegerField(
        default=0, help_text="Workspaces with a higher number always come first. Prefer weights."
    )
    max_concurrent = models.PositiveIntegerField(
        "max running",
        default=8,
        validators=[MinValueValidator(1)],
        help_text="Generations of a workspace that may run or be next in the queue. Further ones are held.",
    )
    max_queued = models.PositiveIntegerField(
        default=200,
        validators=[MinValueValidator(1)],
        help_text="Generations of a workspace that may wait. Further ones are refused until some are done.",
    )

    requests_per_minute = models.PositiveIntegerField(
        default=1200, help_text="Requests to the API in a workspace, with all keys together. 0 means no limit."
    )
    max_streams = models.PositiveIntegerField(
        default=20,
        validators=[MinValueValidator(1)],
        help_text="Event streams of the API that may be open in a workspace.",
    )
    max_sockets = models.PositiveIntegerField(
        default=100,
        db_default=100,
        validators=[MinValueValidator(1)],
        help_text="Websockets that may be open in a workspace. A page needs one for each running generation.",
    )

    pages_per_minute = models.PositiveIntegerField(
        default=3000,
        db_default=3000,
        help_text="Pages, and pictures in them, that a user may open. 0 means no limit.",
    )
    uploads_per_minute = models.PositiveIntegerField(
        default=300,
        db_default=300,
        help_text="Files that may be uploaded to a workspace, and addresses fetched for it. 0 means no limit.",
    )
    max_storage_mb = models.PositiveIntegerField(
        "max storage in MB",
        default=51_200,
        db_default=51_200,
        help_text="Size of a workspace's uploads and results. Above it, new uploads and new generations are refused; "
        "results of accepted ones are kept. 0 means no limit.",
    )

    retention_days = models.PositiveIntegerField(
        "keeps results for days",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Days after which finished generations and uploads are deleted, if the site does not delete them "
        "earlier (RETENTION_DAYS). Empty: as long as the site keeps them.",
    )

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=models.Q(weight__gt=0), name="plan_weight_positive"),
            models.CheckConstraint(
                condition=models.Q(max_concurrent__gte=1, max_queued__gte=1), name="plan_lets_something_run"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def kept_days(self) -> int:
        """For how many days results are kept: the shorter time of the plan's and the site's. 0 means for ever."""
        return min((each for each in (self.retention_days, settings.RETENTION_DAYS) if each), default=0)

    @property
    def max_storage_bytes(self) -> int:
        """0 means no limit."""
        return self.max_storage_mb * 2**20
