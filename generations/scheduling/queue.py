"""The fair queue: whose generation runs next, on which server, and what that means for those who wait.

Start-time fair queuing. A generation that is put in line gets a start tag in virtual seconds: where the user's last
one ends, but not before the clock, which shows the tag of the last one claimed. Its cost over the user's weight is
where it ends. The lowest tag of the highest band is next, so a user who floods the queue only delays the flood.

No more of a user's generations are in line or on servers than the plan lets run at a time; the rest is held back and
put in line as others end. So a claim looks at one short index, however many wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Count, Q, Sum

from generations.models import Generation, QueueClock, QueueShare
from generations.models.template import MEAN_SECONDS
from generations.scheduling import fitness

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


# ---------------------------------------------------------------------------------------------- getting in line
class Line:
    """What one user has in the queue, and what may join it. Only inside a transaction.

    Until that ends, no other process changes what this user has in line.
    """

    def __init__(self, user: User) -> None:
        self._limits = user.limits
        self._share = QueueShare.objects.lock(user.pk)
        self._mine = Generation.objects.filter(user=user)
        self._in_line = self._mine.in_line().count()
        self._free = self._limits.max_concurrent - self._in_line - self._mine.upstream().count()

    def enter(self, generation: Generation) -> bool:
        """Save a new generation: in line if the plan lets one more run, else held back. QueueFullError: no room."""
        limit = self._limits.max_queued
        held = len(self._mine.held().values_list("pk")[:limit])
        if self._in_line + held >= limit:
            raise QueueFullError(limit)
        is_in_line = self._free > 0 and not held
        if is_in_line:
            generation.cost = _cost(generation.version.mean_seconds)
            generation.priority = self._limits.priority
            generation.tag = self._next_tag()
            self._use(generation.tag, generation.cost)
            self._in_line += 1
            self._free -= 1
        generation.save(force_insert=True)
        return is_in_line

    def admit(self) -> int:
        """Put as many held generations in line as the plan lets run. Returns how many."""
        if self._free <= 0:
            return 0
        held = self._mine.held().order_by("created_at", "id").values_list("pk", "version__template__mean_seconds")
        admitted = 0
        for pk, mean_seconds in held[: self._free]:
            tag, cost = self._next_tag(), _cost(mean_seconds or MEAN_SECONDS)
            if self._mine.held().filter(pk=pk).update(tag=tag, cost=cost, priority=self._limits.priority):
                self._use(tag, cost)
                admitted += 1
        return admitted

    def _next_tag(self) -> float:
        return max(QueueClock.objects.now(), self._share.finish_tag)

    def _use(self, tag: float, cost: float) -> None:
        self._share.finish_tag = tag + cost / self._limits.weight
        self._share.save(update_fields=["finish_tag"])


def _cost(mean_seconds: float) -> float:
    return min(max(mean_seconds, CHEAPEST_SECONDS), DEAREST_SECONDS)


def admit(user: User) -> int:
    """Put as many of the user's held generations in line as the plan lets run. Returns how many."""
    if not Generation.objects.filter(user=user).held().exists():
        return 0
    with transaction.atomic():
        return Line(user).admit()


# ---------------------------------------------------------------------------------------------- for those who wait
@dataclass(frozen=True, slots=True)
class Place:
    """Where a waiting generation stands: 1 is next. `starts_in_seconds` is None while no server could take it."""

    position: int
    starts_in_seconds: float | None


def place(generation: Generation, servers: int | None = None) -> Place:
    """Its place in the queue and roughly when it starts, from measured run times and the servers at work.

    `servers`: how many can take it right now, if that was counted already.
    """
    line = Generation.objects.in_line()
    if generation.tag is None:
        ahead = line.aggregate(number=Count("pk"), cost=Sum("cost"), users=Count("user", distinct=True))
        mine = Generation.objects.held().filter(user_id=generation.user_id)
        before = Q(created_at__lt=generation.created_at) | Q(created_at=generation.created_at, pk__lt=generation.pk)
        # Each round of the line lets every user have one: what others have held back comes in between.
        behind = (mine.filter(before).count() + 1) * max(1, ahead["users"])
        number, seconds = ahead["number"] + behind - 1, (ahead["cost"] or 0.0) + behind * generation.cost
    else:
        before = Q(priority__gt=generation.priority) | Q(priority=generation.priority, tag__lt=generation.tag)
        before |= Q(priority=generation.priority, tag=generation.tag, created_at__lt=generation.created_at)
        ahead = line.filter(before).aggregate(number=Count("pk"), cost=Sum("cost"))
        number, seconds = ahead["number"], ahead["cost"] or 0.0
    if servers is None:
        servers = fitness.Fleet().number_at_work(generation.needs)
    if not servers:
        return Place(number + 1, None)
    # What runs now is half done, on average.
    busy = Generation.objects.upstream().aggregate(cost=Sum("cost"))["cost"] or 0.0
    return Place(number + 1, (seconds + busy / 2) / servers)
