"""The fair queue: whose generation runs next, on which server, and what that means for those who wait.

Start-time fair queuing. A generation that is put in line gets a start tag in virtual seconds: where the workspace's
last one ends, but not before the clock, which shows the tag of the last one claimed. Its cost over the workspace's
weight is where it ends. The lowest tag of the highest band is next, so whoever floods the queue only delays the flood.

No more of a workspace's generations are in line or on servers than its plan lets run at a time, and no more of a
member's than an admin allows; the rest is held back and put in line as others end. So a claim looks at one short index,
however many wait.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connection, transaction
from django.db.models import BigIntegerField, Case, Count, Exists, FloatField, OuterRef, Q, Sum, Value, When
from django.utils import timezone

from accounts.models import SuspendedError, Workspace
from accounts.statements import Columns, Kept, KeptUpdate, Slot, ask
from accounts.workspaces import DissolvingError, NotAMemberError
from generations.models import Generation, MemberMonth, QueueShare, Withdrawal
from generations.models.generation import GenerationQuerySet
from generations.models.queue import SHORT_LINE, Outlook, this_month, wants_admission_sql
from generations.models.template import MEAN_SECONDS
from generations.models.usage import StorageFullError
from generations.scheduling.fitness import Fleet, Verdict

if TYPE_CHECKING:
    from accounts.models import User

CHEAPEST_SECONDS, DEAREST_SECONDS = 0.1, 3600.0
RETRY_AFTER_SECONDS = 10
DAY_SECONDS = 86_400


class QueueFullError(Exception):
    """The plan, or an admin of the workspace, lets no more wait. `retry_after` is in seconds."""

    def __init__(self, limit: int, *, whose: str = "You already have", by: str = "your plan") -> None:
        super().__init__(
            f"{whose} {limit} generation{'s' * (limit != 1)} waiting, which is the most that {by} "
            "allows. Wait until a generation is done, or cancel one."
        )
        self.retry_after = RETRY_AFTER_SECONDS


class MemberStoppedError(QueueFullError):
    """An admin of the workspace lets this member begin nothing more for now."""

    def __init__(self, text: str, retry_after: int) -> None:
        Exception.__init__(self, text)
        self.retry_after = retry_after


_SHARE = QueueShare.objects.filter(workspace=Slot("workspace", BigIntegerField()))
_LOCKED_SHARE = Kept(_SHARE.select_for_update)
_SAVE_SHARE = KeptUpdate(lambda: (_SHARE, {"finish_tag": Slot("finish_tag", FloatField())}, ("workspace",)))


_COLUMNS = Columns(Generation)
_ENTER = f"""
    WITH share AS (UPDATE generations_workspaceshare SET finish_tag = %(finish)s::float8
        WHERE workspace_id = %(workspace)s
    )
    INSERT INTO generations_generation ({", ".join(_COLUMNS.names)})
    SELECT {", ".join(f"one.{name}" for name in _COLUMNS.names)}
    FROM jsonb_populate_recordset(NULL::generations_generation, %(rows)s::jsonb) AS one
    RETURNING 1"""  # noqa: S608  (of constants)


# ---------------------------------------------------------------------------------------------- getting in line
class Line:
    """What one workspace has in the queue, and what a member may add to it. Only inside a transaction.

    Until that ends, no other process changes what this workspace has in line.
    """

    def __init__(self, workspace: Workspace, user: User | None = None) -> None:
        self._workspace, self._user = workspace, user
        self._limits = workspace.limits
        share = _LOCKED_SHARE.first(workspace=workspace.pk)
        self._share = share or QueueShare.objects.select_for_update().get_or_create(workspace_id=workspace.pk)[0]
        user_id = workspace.person_id if user is None else user.pk
        self._counts = _count(workspace.pk, user_id, self._share.finish_tag, self._limits.priority)
        self._free = self._limits.max_concurrent - self._counts.mine_in_line - self._counts.mine_upstream

    @property
    def is_short(self) -> bool:
        """Whether few of this workspace's were in line, whose ends let held ones in."""
        return self._counts.mine_in_line < SHORT_LINE

    def ensure_room_for_results(self) -> None:
        """StorageFullError when the workspace's files take as much as its plan allows."""
        limit = self._limits.max_storage_bytes
        if limit and self._counts.stored_bytes >= limit:
            raise StorageFullError(self._counts.stored_bytes, limit)

    def enter(self, rows: Sequence[Generation], fleet: Fleet) -> bool:
        """Save new generations of one version: in line as far as the plan lets more run, the rest held back.

        True when one is in line. The first learns its `outlook`, for which nothing more has to be asked.
        QueueFullError: there is no room for all of them, and none is saved. SuspendedError: the user may run nothing;
        NotAMemberError: no member any more. DissolvingError.
        """
        self._ensure_room(len(rows))
        counts, free = self._counts, self._free
        if counts.max_concurrent is not None:
            free = min(free, counts.max_concurrent - counts.members_in_line - counts.members_upstream)
        in_line = [] if counts.held else rows[: max(0, free)]
        for row in rows:
            row.prompt_id = row.pk
        for row in in_line:
            row.cost = _cost(row.version.mean_seconds)
            row.priority = self._limits.priority
            row.tag = self._next_tag()
            self._use(row.tag, row.cost)
        self._save(rows)
        rows[0].outlook = counts.outlook(rows[0], fleet)
        return bool(in_line)

    def _ensure_room(self, number: int) -> None:
        counts, limit = self._counts, self._limits.max_queued
        if counts.is_suspended:
            raise SuspendedError
        if not counts.is_member:
            raise NotAMemberError
        if counts.is_dissolving:
            raise DissolvingError
        if counts.mine_in_line + counts.held + number > limit:
            if self._workspace.is_personal:
                raise QueueFullError(limit)
            raise QueueFullError(limit, whose=f"“{self._workspace.name}” already has", by="its plan")
        if counts.max_concurrent == 0 or counts.max_queued == 0 or counts.max_jobs_per_month == 0:
            msg = f"An admin of “{self._workspace.name}” lets you run nothing there at the moment."
            raise MemberStoppedError(msg, DAY_SECONDS)
        waiting = counts.members_in_line + counts.members_held
        if counts.max_queued is not None and waiting + number > counts.max_queued:
            raise QueueFullError(counts.max_queued, by="an admin of this workspace")
        if counts.max_jobs_per_month is not None:
            self._count_month(number, counts.max_jobs_per_month)

    def _count_month(self, number: int, limit: int) -> None:
        """Count them among the member's generations of this month, the deleted ones included, too."""
        begin = this_month()
        own: dict[str, Any] = {"workspace": self._workspace, "user": self._user}
        row, _ = MemberMonth.objects.get_or_create(**own, month=begin.date())
        # There may be more than were counted: nobody counts while there is no limit.
        jobs = max(row.jobs, Generation.objects.filter(**own, created_at__gte=begin).count()) + number
        if jobs > limit:
            msg = (
                f"An admin of “{self._workspace.name}” lets you begin {limit} generation{'s' * (limit != 1)} a month, "
                f"and {max(0, limit - jobs + number)} are left. Next month begins on the 1st (UTC)."
            )
            next_month = (begin + timedelta(days=32)).replace(day=1)
            raise MemberStoppedError(msg, int((next_month - timezone.now()).total_seconds()))
        MemberMonth.objects.filter(pk=row.pk).update(jobs=jobs)

    def admit(self) -> int:
        """Put as many held generations in line as plan and admins let run, the oldest first. Returns how many.

        Those of a member who may have no more at the moment stay, and hold up nobody else's. So do those that a worker
        is still to cancel: who is reinstated, or a member again, sees none of them run.
        """
        if self._free <= 0 or (self._workspace.is_personal and self._counts.is_suspended):
            return 0
        mine = Generation.objects.filter(workspace=self._workspace).held()
        first = self._first_held(mine)
        tags, costs = [], []
        for pk, mean_seconds in first:
            tag, cost = self._next_tag(), _cost(mean_seconds or MEAN_SECONDS)
            self._use(tag, cost)
            tags.append(When(pk=pk, then=Value(tag, FloatField())))
            costs.append(When(pk=pk, then=Value(cost, FloatField())))
        if not tags:
            return 0
        # Those that were canceled in this moment are left out, and what they used of the share is lost.
        chosen = mine.filter(pk__in=[pk for pk, _ in first])
        admitted = chosen.update(tag=Case(*tags), cost=Case(*costs), priority=self._limits.priority)
        self._save_share()
        return admitted

    def _first_held(self, mine: GenerationQuerySet) -> list[tuple[Any, ...]]:
        """(id, how long its template takes) of those whose turn it is."""
        if self._workspace.is_personal:
            withdrawn = Withdrawal.objects.filter(user=OuterRef("user"), until__gte=OuterRef("created_at"))
            held = mine.exclude(Exists(withdrawn)).order_by("created_at", "id")
            return list(held.values_list("pk", "version__template__mean_seconds")[: self._free])
        lock = "FOR SHARE OF member, owner" if connection.vendor == "postgresql" else ""
        values = {"workspace": self._workspace.pk, "free": self._free}
        return [(uuid.UUID(str(pk)), mean) for pk, mean in ask(_HELD.format(lock=lock), values)]

    def _next_tag(self) -> float:
        return max(self._counts.clock, self._share.finish_tag)

    def _save(self, rows: Sequence[Generation]) -> None:
        """New rows, and what they use of the share."""
        if connection.vendor == "postgresql":
            values = {"workspace": self._workspace.pk, "finish": self._share.finish_tag, "rows": _COLUMNS.records(rows)}
            ask(_ENTER, values)
            _COLUMNS.are_saved(rows)
        else:
            Generation.objects.bulk_create(rows)
            self._save_share()

    def _save_share(self) -> None:
        _SAVE_SHARE(workspace=self._workspace.pk, finish_tag=self._share.finish_tag)

    def _use(self, tag: float, cost: float) -> None:
        self._share.finish_tag = tag + cost / self._limits.weight


class _Counts(NamedTuple):
    """What is in the queue at one moment, and what of it is one workspace's and one member's. Costs are seconds of a
    server's time.
    """

    mine_in_line: int
    mine_upstream: int
    members_in_line: int
    members_upstream: int
    held: int  # this workspace's
    members_held: int
    workspaces: int  # that have something in line
    line: int
    line_cost: float
    ahead: int  # in line before whatever is added
    ahead_cost: float
    busy_cost: float  # of all that servers have
    clock: float
    stored_bytes: int
    is_suspended: bool
    is_member: bool
    max_concurrent: int | None  # of the member
    max_queued: int | None
    max_jobs_per_month: int | None
    is_dissolving: bool

    def outlook(self, generation: Generation, fleet: Fleet) -> Outlook:
        """Of one that this member has just added, as the first of several."""
        if generation.tag is None:
            behind = _rounds(self.held + 1, self.workspaces)
            number, seconds = self.line + behind - 1, self.line_cost + behind * generation.cost
        else:
            number, seconds = self.ahead, self.ahead_cost
        return _outlook(number, seconds, self.busy_cost, fleet.verdict(generation.version, generation.chosen_values))


# One statement instead of six, in words that both databases know. What waits ahead of a new one has a higher band, or
# no later tag than the new one's, which is the clock's or the end of the workspace's share, whichever is later.
_COUNT = """
    SELECT play.mine_in_line, play.mine_upstream, play.members_in_line, play.members_upstream, held.number,
           held.members, play.workspaces, play.line, play.line_cost, play.ahead,
           play.ahead_cost, play.busy_cost, COALESCE(clock.virtual_time, 0), COALESCE(files.stored_bytes, 0),
           owner.suspended_at IS NOT NULL, member.id IS NOT NULL, member.max_concurrent, member.max_queued,
           member.max_jobs_per_month, team.dissolve_after IS NOT NULL
    FROM (
        SELECT COUNT(*) FILTER (WHERE workspace_id = %(workspace)s AND status = 'queued') AS mine_in_line,
               COUNT(*) FILTER (WHERE workspace_id = %(workspace)s AND status <> 'queued') AS mine_upstream,
               COUNT(*) FILTER (WHERE is_members AND status = 'queued') AS members_in_line,
               COUNT(*) FILTER (WHERE is_members AND status <> 'queued') AS members_upstream,
               COUNT(DISTINCT workspace_id) FILTER (WHERE status = 'queued') AS workspaces,
               COUNT(*) FILTER (WHERE status = 'queued') AS line,
               COALESCE(SUM(cost) FILTER (WHERE status = 'queued'), 0) AS line_cost,
               COUNT(*) FILTER (WHERE is_ahead) AS ahead,
               COALESCE(SUM(cost) FILTER (WHERE is_ahead), 0) AS ahead_cost,
               COALESCE(SUM(cost) FILTER (WHERE status <> 'queued'), 0) AS busy_cost
        FROM (
            SELECT workspace_id, status, cost,
                   workspace_id = %(workspace)s AND user_id = %(user)s AS is_members, status = 'queued' AND (
                       priority > %(priority)s OR (priority = %(priority)s AND (
                           tag <= %(finish)s OR tag <= (SELECT virtual_time FROM generations_queueclock)))) AS is_ahead
            FROM generations_generation
            WHERE status IN ('queued', 'submitted', 'running') AND tag IS NOT NULL
        ) AS each_one
    ) AS play
    CROSS JOIN (
        SELECT COUNT(*) AS number, COUNT(*) FILTER (WHERE user_id = %(user)s) AS members FROM generations_generation
        WHERE workspace_id = %(workspace)s AND status = 'queued' AND tag IS NULL
    ) AS held
    LEFT JOIN generations_queueclock AS clock ON 1 = 1
    LEFT JOIN generations_workspaceusage AS files ON files.workspace_id = %(workspace)s
    LEFT JOIN accounts_workspace AS team ON team.id = %(workspace)s
    LEFT JOIN (SELECT suspended_at FROM accounts_user WHERE id = %(user)s {lock}) AS owner ON 1 = 1
    LEFT JOIN (
        SELECT id, max_concurrent, max_queued, max_jobs_per_month FROM accounts_membership
        WHERE workspace_id = %(workspace)s AND user_id = %(user)s {lock}
    ) AS member ON 1 = 1
"""
# Whoever suspends the user, or ends the membership, waits until this transaction ends, or this one for that: nothing
# gets in line unseen. SQLite has one writer at a time in any case.
_LOCKS = {"postgresql": "FOR SHARE"}


def _count(workspace_id: int, user_id: int | None, finish_tag: float, priority: int) -> _Counts:
    lock = _LOCKS.get(connection.vendor, "")
    values = {"workspace": workspace_id, "user": user_id, "finish": finish_tag, "priority": priority}
    (found,) = ask(_COUNT.format(lock=lock), values)
    return _Counts(*found)


# Of a team, the oldest of those members who may have one more. Whoever left, or is suspended, gets nothing in: a worker
# cancels what they have, even if they are back before it comes. A team that is dissolved, and kept, is the same.
_HELD = """
    SELECT held.id, held.mean_seconds
    FROM (
        SELECT one.id, one.user_id, one.created_at, template.mean_seconds,
               ROW_NUMBER() OVER (PARTITION BY one.user_id ORDER BY one.created_at, one.id) AS turn
        FROM generations_generation AS one
        JOIN generations_templateversion AS version ON version.id = one.version_id
        LEFT JOIN generations_workflowtemplate AS template ON template.id = version.template_id
        WHERE one.workspace_id = %(workspace)s AND one.status = 'queued' AND one.tag IS NULL
        AND NOT EXISTS (
            SELECT 1 FROM generations_withdrawal AS gone
            WHERE gone.user_id = one.user_id AND gone.until >= one.created_at
        )
        AND NOT EXISTS (
            SELECT 1 FROM generations_departure AS gone
            WHERE gone.workspace_id = %(workspace)s AND gone.user_id = one.user_id AND gone.until >= one.created_at
        )
    ) AS held
    JOIN accounts_membership AS member ON member.workspace_id = %(workspace)s AND member.user_id = held.user_id
    JOIN accounts_user AS owner ON owner.id = held.user_id AND owner.suspended_at IS NULL
    LEFT JOIN (
        SELECT user_id, COUNT(*) AS number FROM generations_generation
        WHERE workspace_id = %(workspace)s AND status IN ('queued', 'submitted', 'running') AND tag IS NOT NULL
        GROUP BY user_id
    ) AS busy ON busy.user_id = held.user_id
    WHERE member.max_concurrent IS NULL OR held.turn + COALESCE(busy.number, 0) <= member.max_concurrent
    ORDER BY held.created_at, held.id
    LIMIT %(free)s {lock}
"""


def _cost(mean_seconds: float) -> float:
    return float(min(max(mean_seconds, CHEAPEST_SECONDS), DEAREST_SECONDS))


def wants_admission(workspace_id: int | None) -> bool:
    """Whether some of the workspace's generations are held back although it is time to put them in line."""
    ((is_wanted,),) = ask(f"SELECT {wants_admission_sql(ended=0)}", {"workspace": workspace_id})
    return bool(is_wanted)


def admit(workspace: Workspace) -> int:
    """Put as many of the workspace's held generations in line as plan and admins let run. Returns how many."""
    with transaction.atomic():
        return Line(workspace).admit()


# ---------------------------------------------------------------------------------------------- for those who wait
def outlook(generation: Generation) -> Outlook:
    """Its place in the queue and roughly when it starts, from measured run times and the servers at work."""
    line = Generation.objects.in_line()
    if generation.tag is None:
        ahead = line.aggregate(number=Count("pk"), cost=Sum("cost"), workspaces=Count("workspace", distinct=True))
        mine = Generation.objects.held().filter(workspace=generation.workspace_id)
        before = Q(created_at__lt=generation.created_at) | Q(created_at=generation.created_at, pk__lt=generation.pk)
        behind = _rounds(mine.filter(before).count() + 1, ahead["workspaces"])
        number, seconds = ahead["number"] + behind - 1, (ahead["cost"] or 0.0) + behind * generation.cost
    else:
        before = Q(priority__gt=generation.priority) | Q(priority=generation.priority, tag__lt=generation.tag)
        before |= Q(priority=generation.priority, tag=generation.tag, created_at__lt=generation.created_at)
        ahead = line.filter(before).aggregate(number=Count("pk"), cost=Sum("cost"))
        number, seconds = ahead["number"], ahead["cost"] or 0.0
    busy = Generation.objects.upstream().aggregate(cost=Sum("cost"))["cost"] or 0.0
    verdict = Fleet.now().verdict(generation.version, generation.chosen_values)
    return _outlook(number, seconds, busy, verdict)


def _rounds(behind: int, workspaces: int) -> int:
    """How many come before: each round of the line lets every workspace have one, so what others have held back comes
    in between.
    """
    return behind * max(1, workspaces)


def _outlook(ahead: int, seconds: float, busy_seconds: float, verdict: Verdict) -> Outlook:
    # What runs now is half done, on average.
    starts_in = (seconds + busy_seconds / 2) / verdict.at_work if verdict.at_work else None
    return Outlook(ahead + 1, starts_in, verdict.why_waiting)
