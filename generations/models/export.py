"""Exports: archives of all that a person or a team has here, made by workers, fetched for a while."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from accounts.models import Membership, Role, Workspace

if TYPE_CHECKING:
    from accounts.models import User

KEPT = timedelta(days=7)
PAUSE = timedelta(hours=24)  # between asking for one and for the next; after one that failed there is none
CLAIM = timedelta(minutes=10)  # a worker that is at one says so more often
RETRY_SECONDS = (60, 300, 1800, 7200)  # after each attempt that failed; after the next one it is given up
AT_ONCE = 2  # in all: each keeps a worker's slot for as long as it takes


class ExportRefusedError(Exception):
    """Nobody may ask for one now; `str()` says when."""

    def __init__(self, text: str, *, seconds: int, code: str) -> None:
        super().__init__(text)
        self.seconds = seconds
        self.code = code


class ExportQuerySet(models.QuerySet["DataExport"]):
    def of(self, user: User) -> Self:
        """Those that this person asked for, the newest first: one outside this set is a 404, for staff too.

        One of a team is only there while this person is an owner of it.
        """
        return self.filter(user=user).of_owners().order_by("-created_at")

    def of_owners(self) -> Self:
        """Without those of teams that whoever asked does not own any more."""
        return self.filter(Q(workspace=None) | _owned())

    def disowned(self) -> Self:
        """Those that wait, and that nobody is to have any more."""
        return self.filter(~_owned(), state=DataExport.State.WAITING, workspace__isnull=False)

    def ask_for(self, user: User, team: Workspace | None = None) -> DataExport:
        """A new one, to be made. ExportRefusedError while one is made already, or within PAUSE after the last one."""
        asked = self.filter(user=user).exclude(state=DataExport.State.FAILED).order_by("-created_at")
        if asked.filter(state=DataExport.State.WAITING).exists():
            raise _under_way()
        last = asked.filter(workspace=team).first()
        wait = int((last.created_at + PAUSE - timezone.now()).total_seconds()) if last is not None else 0
        if wait > 0:
            hours = -(-wait // 3600)
            text = f"You can ask for one export a day. Please wait {hours} hour{'s' * (hours != 1)}."
            raise ExportRefusedError(text, seconds=wait, code="rate_limited")
        try:
            with transaction.atomic():
                return self.create(user=user, workspace=team)
        except IntegrityError as error:  # another request was faster
            raise _under_way() from error

    def waiting(self) -> Self:
        """Those that no worker is at and whose time has come, the oldest first. Those of suspended people wait."""
        now = timezone.now()
        rows = self.filter(state=DataExport.State.WAITING, next_attempt_at__lte=now, user__suspended_at=None)
        return rows.of_owners().order_by("next_attempt_at")

    def claim(self, pk: uuid.UUID) -> DataExport | None:
        """Take one for CLAIM, as its next attempt; None when somebody else is at it, or AT_ONCE are being made."""
        now = timezone.now()
        if self.filter(state=DataExport.State.WAITING, attempts__gt=0, claimed_until__gt=now).count() >= AT_ONCE:
            return None
        rows = self.filter(pk=pk, state=DataExport.State.WAITING, next_attempt_at__lte=now).of_owners()
        until = now + CLAIM
        if not rows.update(next_attempt_at=until, claimed_until=until, attempts=F("attempts") + 1):
            return None
        return self.select_related("user", "workspace").get(pk=pk)

    def over(self) -> Self:
        """Those that were kept long enough."""
        return self.filter(expires_at__lt=timezone.now())


def _owned() -> Exists:
    """Whether whoever asked owns the team."""
    owners = Membership.objects.filter(role=Role.OWNER)
    return Exists(owners.filter(user=OuterRef("user"), workspace=OuterRef("workspace")))


def _under_way() -> ExportRefusedError:
    return ExportRefusedError(
        "An export is being made already. We send you a mail when it is ready.", seconds=60, code="export_under_way"
    )


class DataExport(models.Model):
    """One archive of one person, or of a team for its owner.

    Workers take turns by attempts: one that slept changes nothing any more.
    """

    class State(models.TextChoices):
        """Where it stands."""

        WAITING = "waiting"
        READY = "ready"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    workspace = models.ForeignKey(
        Workspace,
        null=True,
        editable=False,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="The team that it is of. Empty: of its user.",
    )
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    claimed_until = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True)
    key = models.CharField(max_length=255, blank=True, help_text="Its key in the storage.")
    size_bytes = models.BigIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True, help_text="Why the last attempt failed. For staff.")

    objects = ExportQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["user"], condition=Q(state="waiting"), name="export_one_at_a_time"),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="export_waiting", condition=Q(state="waiting")),
        ]

    def __str__(self) -> str:
        return f"Export of {self.user_id}: {self.state}"

    @property
    def is_ready(self) -> bool:
        """Whether it can be fetched."""
        return self.state == self.State.READY and self.expires_at is not None and timezone.now() < self.expires_at

    def go_on(self) -> bool:
        """Keep the claim for longer. False: it is somebody else's by now, or its user may have nothing run."""
        until = timezone.now() + CLAIM
        mine = DataExport.objects.filter(pk=self.pk, attempts=self.attempts, state=self.State.WAITING).of_owners()
        return bool(mine.filter(user__suspended_at=None).update(next_attempt_at=until, claimed_until=until))

    def finish(self, key: str, size_bytes: int) -> bool:
        """WAITING -> READY, unless somebody else is at it by now."""
        now = timezone.now()
        self.expires_at = now + KEPT
        mine = DataExport.objects.filter(pk=self.pk, attempts=self.attempts, state=self.State.WAITING).of_owners()
        return bool(
            mine.filter(user__suspended_at=None).update(
                state=self.State.READY,
                key=key,
                size_bytes=size_bytes,
                finished_at=now,
                expires_at=self.expires_at,
                claimed_until=None,
                error="",
            )
        )

    def fail(self, error: str) -> bool:
        """An attempt failed: it is tried again, or given up after the last one. True when it is given up."""
        now, is_last = timezone.now(), self.attempts > len(RETRY_SECONDS)
        changes: dict[str, object] = {"error": error[:300], "claimed_until": None}
        if is_last:
            changes |= {"state": self.State.FAILED, "finished_at": now, "expires_at": now + KEPT}
        else:
            changes["next_attempt_at"] = now + timedelta(seconds=RETRY_SECONDS[self.attempts - 1])
        mine = DataExport.objects.filter(pk=self.pk, attempts=self.attempts, state=self.State.WAITING)
        return bool(mine.update(**changes)) and is_last
