"""What the fair queue remembers: each workspace's share that is used up, and the time by which shares are compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.db import models
from django.db.models.functions import Greatest
from django.utils import timezone

from accounts.models import Plan, Workspace


@dataclass(frozen=True, slots=True)
class Outlook:
    """Where a waiting generation stands: 1 is next. `starts_in_seconds` is None while no server could take it; then
    `obstacle` says why ("" when one can).
    """

    position: int
    starts_in_seconds: float | None
    obstacle: str = ""


# As long as a workspace's line is longer than SHORT_LINE, held ones wait until an eighth of what the plan lets run is
# free: whoever sends a flood has them put in line a few at a time. Most plans let so few run that each one counts.
SHORT_LINE, BATCHES = 8, 8


def wants_admission_sql(*, ended: int) -> str:
    """A condition in both databases' words: some generations of %(workspace)s are held back although it is time to
    put them in line. `ended`: how many of those that the statement sees in play have just ended.
    """
    return f"""(
        EXISTS (
            SELECT 1 FROM generations_generation
            WHERE workspace_id = %(workspace)s AND status = 'queued' AND tag IS NULL
        )
        AND (
            SELECT play.number < plan.most
            AND (play.in_line < {SHORT_LINE} OR (plan.most - play.number) * {BATCHES} >= plan.most)
            FROM (
                SELECT COUNT(*) - {ended} AS number, COUNT(*) FILTER (WHERE status = 'queued') AS in_line
                FROM generations_generation
                WHERE workspace_id = %(workspace)s AND status IN ('queued', 'submitted', 'running') AND tag IS NOT NULL
            ) AS play, (
                SELECT COALESCE((
                    SELECT own.max_concurrent FROM accounts_workspace AS team JOIN accounts_plan AS own
                    ON own.id = team.plan_id WHERE team.id = %(workspace)s
                ), {Plan().max_concurrent}) AS most
            ) AS plan
        )
    )"""  # noqa: S608  (of constants)


class QueueShare(models.Model):
    """How far ahead in virtual time one workspace's generations are in line already.

    Whoever changes the workspace's line locks it until the transaction ends.
    """

    workspace = models.OneToOneField(Workspace, on_delete=models.CASCADE, primary_key=True, related_name="+")
    finish_tag = models.FloatField(default=0.0, help_text="Virtual seconds: where the workspace's next one begins.")

    class Meta:
        db_table = "generations_workspaceshare"  # beside the table that counts by user, of the release before

    def __str__(self) -> str:
        return f"{self.workspace_id}: {self.finish_tag}"


def this_month() -> datetime:
    """When the present calendar month began (UTC)."""
    return timezone.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


class MemberMonth(models.Model):
    """How many generations a member began in a calendar month (UTC), kept for members with a limit.

    Read and written by whoever holds the workspace's QueueShare.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    month = models.DateField(help_text="Its first day.")
    jobs = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "user", "month"], name="member_month_once")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.workspace_id}, {self.month:%Y-%m}: {self.jobs}"


class WithdrawalQuerySet(models.QuerySet["Withdrawal"]):
    def add(self, user_id: int) -> None:
        """Have all work canceled that this person has waiting or running now."""
        self.update_or_create(user_id=user_id, defaults={"until": timezone.now()})


class Withdrawal(models.Model):
    """What a worker is still to cancel: all that a person began until then. The row goes when that is done."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+")
    until = models.DateTimeField()

    objects = WithdrawalQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.user_id}: until {self.until}"


class DepartureQuerySet(models.QuerySet["Departure"]):
    def add(self, user_id: int, workspace_id: int) -> Departure:
        """Have all work canceled that this person has waiting or running in the workspace now."""
        return self.add_all([user_id], workspace_id)[0]

    def add_all(self, user_ids: Iterable[int], workspace_id: int) -> list[Departure]:
        """As `add`, of all these."""
        now = timezone.now()
        rows = [Departure(user_id=each, workspace_id=workspace_id, until=now) for each in user_ids]
        key = ["user", "workspace"]
        return self.bulk_create(rows, update_conflicts=True, unique_fields=key, update_fields=["until"])


class Departure(models.Model):
    """As a Withdrawal, of somebody whose membership ended: what they began in this workspace until then."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    until = models.DateTimeField()

    objects = DepartureQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "workspace"], name="departure_once")]

    def __str__(self) -> str:
        return f"{self.user_id} from {self.workspace_id}: until {self.until}"


class QueueClockQuerySet(models.QuerySet["QueueClock"]):
    def now(self) -> float:
        """Virtual seconds; 0.0 before the first claim."""
        return self.values_list("virtual_time", flat=True).first() or 0.0

    def advance(self, tag: float) -> None:
        """The generation with this start tag was claimed. The clock never goes back."""
        if not self.update(virtual_time=Greatest("virtual_time", models.Value(tag))):
            self.bulk_create([QueueClock(pk=QueueClock.ONLY, virtual_time=tag)], ignore_conflicts=True)


class QueueClock(models.Model):
    """One row: the start tag of the generation that was claimed last."""

    ONLY = 1
    virtual_time = models.FloatField(default=0.0)

    objects = QueueClockQuerySet.as_manager()

    def __str__(self) -> str:
        return str(self.virtual_time)
