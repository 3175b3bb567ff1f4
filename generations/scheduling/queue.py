"""The fair queue: whose generation runs next, on which server, and what that means for those who wait.

Start-time fair queuing. A generation that is put in line gets a start tag in virtual seconds: where the user's last
one ends, but not before the clock, which shows the tag of the last one claimed. Its cost over the user's weight is
where it ends. The lowest tag of the highest band is next, so a user who floods the queue only delays the flood.

No more of a user's generations are in line or on servers than the plan lets run at a time; the rest is held back and
put in line as others end. So a claim looks at one short index, however many wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from django.db import connection, transaction
from django.db.models import BigIntegerField, Case, Count, FloatField, Q, Sum, Value, When

from accounts.models import SuspendedError
from accounts.statements import Columns, Kept, KeptUpdate, Slot, ask
from generations.models import Generation, QueueShare
from generations.models.queue import SHORT_LINE, Outlook, wants_admission_sql
from generations.models.template import MEAN_SECONDS
from generations.models.usage import StorageFullError
from generations.scheduling.fitness import Fleet, Verdict

if TYPE_CHECKING:
    from accounts.models import User

CHEAPEST_SECONDS, DEAREST_SECONDS = 0.1, 3600.0
RETRY_AFTER_SECONDS = 10


class QueueFullError(Exception):
    """The user's plan lets no more wait. `retry_after` is in seconds."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"You already have {limit} generation{'s' * (limit != 1)} waiting, which is the most that your plan "
            "allows. Wait until a generation is done, or cancel one."
        )
        self.retry_after = RETRY_AFTER_SECONDS


_OF_USER = QueueShare.objects.filter(user=Slot("user", BigIntegerField()))
_LOCKED_SHARE = Kept(_OF_USER.select_for_update)
_SAVE_SHARE = KeptUpdate(lambda: (_OF_USER, {"finish_tag": Slot("finish_tag", FloatField())}, ("user",)))


_COLUMNS = Columns(Generation)
_ENTER = f"""
    WITH share AS (UPDATE generations_queueshare SET finish_tag = %(finish)s::float8 WHERE user_id = %(user)s)
    INSERT INTO generations_generation ({", ".join(_COLUMNS.names)})
    SELECT {", ".join(f"one.{name}" for name in _COLUMNS.names)}
    FROM jsonb_populate_recordset(NULL::generations_generation, %(rows)s::jsonb) AS one
    RETURNING 1"""  # noqa: S608  (of constants)


# ---------------------------------------------------------------------------------------------- getting in line
class Line:
    """What one user has in the queue, and what may join it. Only inside a transaction.

    Until that ends, no other process changes what this user has in line.
    """

    def __init__(self, user: User) -> None:
        self._user = user
        self._limits = user.limits
        share = _LOCKED_SHARE.first(user=user.pk)
        self._share = share or QueueShare.objects.select_for_update().get_or_create(user_id=user.pk)[0]
        self._counts = _count(user.pk, self._share.finish_tag, self._limits.priority)
        self._free = self._limits.max_concurrent - self._counts.mine_in_line - self._counts.mine_upstream

    @property
    def is_short(self) -> bool:
        """Whether few of this user's were in line, whose ends let held ones in."""
        return self._counts.mine_in_line < SHORT_LINE

    def ensure_room_for_results(self) -> None:
        """StorageFullError when the user's files take as much as the plan allows."""
        limit = self._limits.max_storage_bytes
        if limit and self._counts.stored_bytes >= limit:
            raise StorageFullError(self._counts.stored_bytes, limit)

    def enter(self, rows: Sequence[Generation], fleet: Fleet) -> bool:
        """Save new generations of one version: in line as far as the plan lets more run, the rest held back.

        True when one is in line. The first learns its `outlook`, for which nothing more has to be asked.
        QueueFullError: there is no room for all of them, and none is saved. SuspendedError: the user may run nothing.
        """
        if self._counts.is_suspended:
            raise SuspendedError
        counts, limit = self._counts, self._limits.max_queued
        if counts.mine_in_line + counts.held + len(rows) > limit:
            raise QueueFullError(limit)
        in_line = [] if counts.held else rows[: max(0, self._free)]
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

    def admit(self) -> int:
        """Put as many held generations in line as the plan lets run. Returns how many."""
        if self._free <= 0 or self._counts.is_suspended:
            return 0
        mine = Generation.objects.filter(user=self._user).held()
        held = mine.order_by("created_at", "id").values_list("pk", "version__template__mean_seconds")
        first = list(held[: self._free])
        tags, costs = [], []
        for pk, mean_seconds in first:
            tag, cost = self._next_tag(), _cost(mean_seconds or MEAN_SECONDS)
            self._use(tag, cost)
            tags.append(When(pk=pk, then=Value(tag, FloatField())))
            costs.append(When(pk=pk, then=Value(cost, FloatField())))
        if not tags:
            return 0
        # Those that were canceled in this moment are left out, and what they used of the share is lost to the user.
        chosen = mine.filter(pk__in=[pk for pk, _ in first])
        admitted = chosen.update(tag=Case(*tags), cost=Case(*costs), priority=self._limits.priority)
        self._save_share()
        return admitted

    def _next_tag(self) -> float:
        return max(self._counts.clock, self._share.finish_tag)

    def _save(self, rows: Sequence[Generation]) -> None:
        """New rows, and what they use of the share."""
        if connection.vendor == "postgresql":
            values = {"user": self._user.pk, "finish": self._share.finish_tag, "rows": _COLUMNS.records(rows)}
            ask(_ENTER, values)
            _COLUMNS.are_saved(rows)
        else:
            Generation.objects.bulk_create(rows)
            self._save_share()

    def _save_share(self) -> None:
        _SAVE_SHARE(user=self._user.pk, finish_tag=self._share.finish_tag)

    def _use(self, tag: float, cost: float) -> None:
        self._share.finish_tag = tag + cost / self._limits.weight


class _Counts(NamedTuple):
    """What is in the queue at one moment, and what of it is one user's. Costs are seconds of a server's time."""

    mine_in_line: int
    mine_upstream: int
    held: int  # this user's
    users: int  # who have something in line
    line: int
    line_cost: float
    ahead: int  # in line before whatever this user adds
    ahead_cost: float
    busy_cost: float  # of all that servers have
    clock: float
    stored_bytes: int
    is_suspended: bool

    def outlook(self, generation: Generation, fleet: Fleet) -> Outlook:
        """Of one that this user has just added, as the first of several."""
        if generation.tag is None:
            behind = _rounds(self.held + 1, self.users)
            number, seconds = self.line + behind - 1, self.line_cost + behind * generation.cost
        else:
            number, seconds = self.ahead, self.ahead_cost
        return _outlook(number, seconds, self.busy_cost, fleet.verdict(generation.version, generation.chosen_values))


# One statement instead of six, in words that both databases know. What waits ahead of a new one has a higher band, or
# no later tag than the new one's, which is the clock's or the end of the user's share, whichever is later.
_COUNT = """
    SELECT play.mine_in_line, play.mine_upstream, held.number, play.users, play.line, play.line_cost, play.ahead,
           play.ahead_cost, play.busy_cost, COALESCE(clock.virtual_time, 0), COALESCE(files.stored_bytes, 0),
           owner.suspended_at IS NOT NULL
    FROM (
        SELECT COUNT(*) FILTER (WHERE user_id = %(user)s AND status = 'queued') AS mine_in_line,
               COUNT(*) FILTER (WHERE user_id = %(user)s AND status <> 'queued') AS mine_upstream,
               COUNT(DISTINCT user_id) FILTER (WHERE status = 'queued') AS users,
               COUNT(*) FILTER (WHERE status = 'queued') AS line,
               COALESCE(SUM(cost) FILTER (WHERE status = 'queued'), 0) AS line_cost,
               COUNT(*) FILTER (WHERE is_ahead) AS ahead,
               COALESCE(SUM(cost) FILTER (WHERE is_ahead), 0) AS ahead_cost,
               COALESCE(SUM(cost) FILTER (WHERE status <> 'queued'), 0) AS busy_cost
        FROM (
            SELECT user_id, status, cost, status = 'queued' AND (
                       priority > %(priority)s OR (priority = %(priority)s AND (
                           tag <= %(finish)s OR tag <= (SELECT virtual_time FROM generations_queueclock)))) AS is_ahead
            FROM generations_generation
            WHERE status IN ('queued', 'submitted', 'running') AND tag IS NOT NULL
        ) AS each_one
    ) AS play
    CROSS JOIN (
        SELECT COUNT(*) AS number FROM generations_generation
        WHERE user_id = %(user)s AND status = 'queued' AND tag IS NULL
    ) AS held
    LEFT JOIN generations_queueclock AS clock ON 1 = 1
    LEFT JOIN generations_storageusage AS files ON files.user_id = %(user)s
    LEFT JOIN (SELECT suspended_at FROM accounts_user WHERE id = %(user)s {lock}) AS owner ON 1 = 1
"""
# Whoever suspends the user waits until this transaction ends, or this one for that: nothing gets in line unseen. SQLite
# has one writer at a time in any case.
_LOCKS = {"postgresql": "FOR SHARE"}


def _count(user_id: int, finish_tag: float, priority: int) -> _Counts:
    lock = _LOCKS.get(connection.vendor, "")
    (found,) = ask(_COUNT.format(lock=lock), {"user": user_id, "finish": finish_tag, "priority": priority})
    return _Counts(*found)


def _cost(mean_seconds: float) -> float:
    return float(min(max(mean_seconds, CHEAPEST_SECONDS), DEAREST_SECONDS))


def wants_admission(user_id: int) -> bool:
    """Whether some of the user's generations are held back although it is time to put them in line."""
    ((is_wanted,),) = ask(f"SELECT {wants_admission_sql(ended=0)}", {"user": user_id})
    return bool(is_wanted)


def admit(user: User) -> int:
    """Put as many of the user's held generations in line as the plan lets run. Returns how many."""
    if user.is_suspended:
        return 0
    with transaction.atomic():
        return Line(user).admit()


# ---------------------------------------------------------------------------------------------- for those who wait
def outlook(generation: Generation) -> Outlook:
    """Its place in the queue and roughly when it starts, from measured run times and the servers at work."""
    line = Generation.objects.in_line()
    if generation.tag is None:
        ahead = line.aggregate(number=Count("pk"), cost=Sum("cost"), users=Count("user", distinct=True))
        mine = Generation.objects.held().filter(user_id=generation.user_id)
        before = Q(created_at__lt=generation.created_at) | Q(created_at=generation.created_at, pk__lt=generation.pk)
        behind = _rounds(mine.filter(before).count() + 1, ahead["users"])
        number, seconds = ahead["number"] + behind - 1, (ahead["cost"] or 0.0) + behind * generation.cost
    else:
        before = Q(priority__gt=generation.priority) | Q(priority=generation.priority, tag__lt=generation.tag)
        before |= Q(priority=generation.priority, tag=generation.tag, created_at__lt=generation.created_at)
        ahead = line.filter(before).aggregate(number=Count("pk"), cost=Sum("cost"))
        number, seconds = ahead["number"], ahead["cost"] or 0.0
    busy = Generation.objects.upstream().aggregate(cost=Sum("cost"))["cost"] or 0.0
    verdict = Fleet.now().verdict(generation.version, generation.chosen_values)
    return _outlook(number, seconds, busy, verdict)


def _rounds(behind: int, users: int) -> int:
    """How many come before: each round of the line lets every user have one, so what others have held back comes in
    between.
    """
    return behind * max(1, users)


def _outlook(ahead: int, seconds: float, busy_seconds: float, verdict: Verdict) -> Outlook:
    # What runs now is half done, on average.
    starts_in = (seconds + busy_seconds / 2) / verdict.at_work if verdict.at_work else None
    return Outlook(ahead + 1, starts_in, verdict.why_waiting)
