"""Addresses that users want to be told at, and what was told them."""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from accounts.models import InWorkspace, WorkspaceRows
from accounts.models.encrypted import SecretTextField, Unreadable
from accounts.statements import Slot
from generations.models.history import HistoryQuerySet

if TYPE_CHECKING:
    from accounts.models import Membership

SECRET_PREFIX = "whsec_"  # noqa: S105  (of Standard Webhooks, no secret itself)
# After the first attempt and after each further one: 23.7 hours in all.
RETRY_SECONDS = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 28800)
DISABLED_AFTER = timedelta(days=3)
KEPT = timedelta(days=30)
LOOK_AT = 2000


class WebhookEvent(models.TextChoices):
    """What there is to tell."""

    STARTED = "job.started", "A job started"
    SUCCEEDED = "job.succeeded", "A job succeeded"
    FAILED = "job.failed", "A job failed"
    CANCELED = "job.canceled", "A job was canceled"
    TEST = "webhook.test", "A test"


ENDS = (WebhookEvent.SUCCEEDED, WebhookEvent.FAILED, WebhookEvent.CANCELED)


def new_secret() -> str:
    """Standard Webhooks: whsec_ and 32 random bytes in base64."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def default_events() -> list[str]:
    """The ends of jobs."""
    return [event.value for event in ENDS]


class WebhookQuerySet(WorkspaceRows["Webhook"]):
    def looked_after_by(self, mine: Membership) -> Self:
        """Those of the workspace that this member may read and change: their own ones, of admins all."""
        rows = self.in_workspace(mine.workspace)
        return rows if mine.is_admin else rows.filter(user=mine.user_id)

    def concerned(self, workspace_id: int | Slot | None, *, named: int | uuid.UUID | Slot | None) -> Self:
        """Those to be told of a job: the ones for every job, and the one that it names."""
        return self.filter(Q(is_for_every_job=True) | Q(pk=named), workspace_id=workspace_id, is_enabled=True)

    def switch_off(self, user_id: int, *, reason: str, workspace_id: int | None = None) -> int:
        """Nothing more is sent to any address of this user, of all workspaces or of one; how many these were."""
        rows = self.filter(user_id=user_id, is_enabled=True)
        rows = rows if workspace_id is None else rows.filter(workspace_id=workspace_id)
        return rows.update(is_enabled=False, disabled_reason=reason)


class Webhook(InWorkspace):
    """One address of a workspace, which a member named, with the secret that signs what is sent there."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhooks")
    url = models.CharField("URL", max_length=2000)
    secret = SecretTextField(default=new_secret, editable=False)
    events = models.JSONField(default=default_events)
    is_for_every_job = models.BooleanField(
        "for every job", default=True, help_text="Send events of every job. Off: only of jobs that name it."
    )
    is_enabled = models.BooleanField("enabled", default=True)
    disabled_reason = models.CharField(max_length=300, blank=True, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        ordering = ["created_at"]
        indexes = [models.Index(fields=["workspace"], name="webhook_of_workspace")]

    def __str__(self) -> str:
        return self.url

    @property
    def is_secret_lost(self) -> bool:
        """Whether nobody can decrypt its secret any more, so that nothing can be signed."""
        return isinstance(self.secret, Unreadable)


class DeliveryQuerySet(  # type: ignore[override]  # both have a manager of their own kind of rows
    HistoryQuerySet["WebhookDelivery"], WorkspaceRows["WebhookDelivery"]
):
    workspace_path = "webhook__workspace"

    def due(self) -> Self:
        """Those whose time has come, the oldest first. Those of suspended people wait."""
        active = {"webhook__is_enabled": True, "webhook__user__suspended_at": None}
        rows = self.filter(next_attempt_at__lte=timezone.now(), **active)
        return rows.order_by("next_attempt_at")

    def in_turn(self, each: int) -> Iterable[tuple[uuid.UUID, uuid.UUID, int, str, datetime | None]]:
        """Those that are due, of each webhook the oldest few, first the oldest one of each webhook, then the second:
        (id, webhook, its user, its URL, since when it fails)."""
        turn = Window(RowNumber(), partition_by="webhook", order_by="next_attempt_at")
        rows = self.due().annotate(turn=turn).filter(turn__lte=each).order_by("turn", "next_attempt_at")
        return rows.values_list("pk", "webhook", "webhook__user", "webhook__url", "webhook__failing_since")[:LOOK_AT]

    def claim(self, pk: uuid.UUID, *, seconds: float) -> int:
        """Take one for so long; 0 when somebody else is at it."""
        now = timezone.now()
        return self.filter(pk=pk, next_attempt_at__lte=now).update(
            next_attempt_at=now + timedelta(seconds=seconds), attempts=models.F("attempts") + 1
        )


class WebhookDelivery(models.Model):
    """One message to one address: what is sent, how often it was tried, and what came of it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=20, choices=WebhookEvent)
    job_id = models.UUIDField(null=True, blank=True)
    payload = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True, help_text="Empty: delivered, or given up.")
    delivered_at = models.DateTimeField(null=True, blank=True)
    status_code = models.PositiveSmallIntegerField(null=True, blank=True, help_text="HTTP status of the last answer.")
    error = models.CharField(max_length=300, blank=True, help_text="Why the last attempt failed.")

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "webhook deliveries"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["webhook", "-created_at", "-id"], name="delivery_log"),
            models.Index(fields=["created_at"], name="delivery_age"),
            models.Index(fields=["next_attempt_at"], name="delivery_due", condition=Q(next_attempt_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.pk}"

    @property
    def message_id(self) -> str:
        """The same in every attempt: receivers recognize a repeated message by it."""
        return f"msg_{self.pk.hex}"

    @property
    def pretty_payload(self) -> str:
        """The payload as indented JSON for the log of a webhook; letters stay as they are."""
        return json.dumps(self.payload, indent=2, ensure_ascii=False)

    @property
    def state(self) -> str:
        """One word: delivered, waiting (for its next attempt) or failed."""
        if self.delivered_at is not None:
            return "delivered"
        return "waiting" if self.next_attempt_at is not None else "failed"

    def delay_after(self, attempts: int) -> float | None:
        """Seconds until the next attempt; None when that was the last one."""
        return RETRY_SECONDS[attempts - 1] if attempts <= len(RETRY_SECONDS) else None

    def retry_at(self, now: datetime) -> Any:
        """When it is tried next, after an attempt that failed now."""
        delay = self.delay_after(self.attempts)
        return None if delay is None else now + timedelta(seconds=delay)
