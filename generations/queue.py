"""The fair queue: whose generation runs next, on which server, and what that means for those who wait.

Start-time fair queuing. A generation that is put in line gets a start tag in virtual seconds: where the user's last
one ends, but not before the clock, which shows the tag of the last one claimed. Its cost over the user's weight is
where it ends. The lowest tag of the highest band is next, so a user who floods the queue only delays the flood.

No more of a user's generations are in line or on servers than the plan lets run at a time; the rest is held back and
put in line as others end. So a claim looks at one short index, however many wait.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone

from generations.fitness import Catalog, ModelFile
from generations.models import ComfyServer, Generation, QueueClock, QueueShare
from generations.models.template import MEAN_SECONDS

if TYPE_CHECKING:
    from accounts.models import User

CANDIDATES = 16
CHEAPEST_SECONDS, DEAREST_SECONDS = 0.1, 3600.0
AFFINITY_TAG_SECONDS = 60.0  # how much later in line one may be that is preferred for its models
OVERTAKEN_SECONDS = 30.0  # how long one may be passed over for that reason
RETRY_AFTER_SECONDS = 10


class QueueFullError(Exception):
    """The user's plan lets no more wait. `retry_after` is in seconds."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"You already have {limit} generations waiting, which is the most that your plan allows. "
            "Wait until some of them are done, or cancel some."
        )
        self.retry_after = RETRY_AFTER_SECONDS


# ---------------------------------------------------------------------------------------------- getting in line
class Line:
    """One user's place in the queue: what they have there, and who may join. Only inside a transaction.

    Until that ends, nobody else changes what this user has in line.
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
        """Put as many held generations in line as the plan lets run; how many that were."""
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
    """Put as many of the user's held generations in line as the plan lets run; how many that were."""
    if not Generation.objects.filter(user=user).held().exists():
        return 0
    with transaction.atomic():
        return Line(user).admit()


# ---------------------------------------------------------------------------------------------- whose turn it is
@dataclass(frozen=True, slots=True)
class Candidate:
    """One in line, with what it takes to choose."""

    pk: uuid.UUID
    version_id: int
    tag: float
    priority: int
    files: tuple[ModelFile, ...]
    overtaken_at: datetime | None
    avoided_server_id: int | None

    @property
    def models(self) -> frozenset[str]:
        """The files alone."""
        return frozenset(file for _node_class, _input, file in self.files)


@dataclass(slots=True)
class Taste:
    """What one server can run, what it has loaded, and whether others could step in."""

    catalog: Catalog | None = None
    loaded: frozenset[str] = frozenset()
    node_classes: Callable[[int], Sequence[str]] = lambda _version_id: ()
    others_can_run: Callable[[Candidate], bool] = lambda _candidate: False
    _verdicts: dict[tuple[int, tuple[ModelFile, ...]], bool] = field(default_factory=dict)

    def fits(self, candidate: Candidate) -> bool:
        """True unless the server is known to lack something."""
        if self.catalog is None:
            return True
        key = (candidate.version_id, candidate.files)
        if key not in self._verdicts:
            classes = self.node_classes(candidate.version_id)
            self._verdicts[key] = not self.catalog.missing(classes, candidate.files)
        return self._verdicts[key]

    @property
    def unfit_versions(self) -> list[int]:
        """Versions of which everything seen so far is out of the question."""
        fit = {version_id for (version_id, _files), verdict in self._verdicts.items() if verdict}
        return sorted({version_id for version_id, _files in self._verdicts} - fit)


def claim(server: ComfyServer, taste: Taste, *, token: int) -> Generation | None:
    """SUBMITTED now, and this server's: the next one in line that it can run. None when there is none.

    Nothing either when the lease `token` is not the current one any more, or the server takes no work.
    """
    with transaction.atomic():
        may_work = ComfyServer.objects.enabled().filter(pk=server.pk, lease_token=token, is_draining=False)
        if not may_work.exists():
            return None
        for candidate in _in_order(server, taste):
            # Somebody else may be at it: then the next one, without waiting.
            row = Generation.objects.in_line().select_for_update(skip_locked=True, of=("self",)).filter(pk=candidate.pk)
            if row.exists() and Generation.objects.claim(candidate.pk, server=server):
                QueueClock.objects.advance(candidate.tag)
                return Generation.objects.select_related("version__template", "user").get(pk=candidate.pk)
    return None


def _in_order(server: ComfyServer, taste: Taste) -> Iterator[Candidate]:
    """Those that the server can run, in the order in which it should try them."""
    unfit_versions, seen = taste.unfit_versions, 0
    while batch := _line(unfit_versions, seen):
        fitting = [
            candidate
            for candidate in batch
            if taste.fits(candidate)
            and not (candidate.avoided_server_id == server.pk and taste.others_can_run(candidate))
        ]
        if fitting:
            preferred = prefer(fitting, taste.loaded, now=timezone.now())
            if preferred is not fitting[0]:
                passed_over = [each.pk for each in fitting[: fitting.index(preferred)] if each.overtaken_at is None]
                Generation.objects.in_line().filter(pk__in=passed_over).update(overtaken_at=timezone.now())
            yield preferred
            yield from (each for each in fitting if each is not preferred)
        seen += len(batch)


def _line(unfit_versions: list[int], offset: int) -> list[Candidate]:
    rows = Generation.objects.in_line().order_by("-priority", "tag", "created_at")
    if unfit_versions:
        rows = rows.exclude(version_id__in=unfit_versions)
    values = rows.values_list("pk", "version_id", "tag", "priority", "model_files", "overtaken_at", "avoided_server_id")
    return [
        Candidate(pk, version_id, tag or 0.0, priority, tuple(map(tuple, files)), overtaken_at, avoided)
        for pk, version_id, tag, priority, files, overtaken_at, avoided in values[offset : offset + CANDIDATES]
    ]


def prefer(candidates: Sequence[Candidate], loaded: frozenset[str], *, now: datetime) -> Candidate:
    """The first, or one shortly behind it whose models are loaded already: loading takes longer than many runs.

    The first one keeps its turn once it was passed over for OVERTAKEN_SECONDS.
    """
    first = candidates[0]
    if not loaded or not first.models or first.models <= loaded:
        return first
    if first.overtaken_at is not None and now - first.overtaken_at > timedelta(seconds=OVERTAKEN_SECONDS):
        return first
    for other in candidates[1:]:
        is_near = other.priority == first.priority and other.tag - first.tag <= AFFINITY_TAG_SECONDS
        if is_near and other.models and other.models <= loaded:
            return other
    return first


# ---------------------------------------------------------------------------------------------- for those who wait
@dataclass(frozen=True, slots=True)
class Place:
    """Where a waiting generation stands. `position` 1 is next; `starts_in_seconds` is None when nobody can tell."""

    position: int
    starts_in_seconds: float | None


def place(generation: Generation) -> Place:
    """Its place in the queue and roughly when it starts, from measured run times and the servers at work."""
    line = Generation.objects.in_line()
    if generation.tag is None:
        ahead = line.aggregate(number=Count("pk"), cost=Sum("cost"), users=Count("user", distinct=True))
        mine = Generation.objects.held().filter(user_id=generation.user_id)
        before = Q(created_at__lt=generation.created_at) | Q(created_at=generation.created_at, pk__lt=generation.pk)
        # Each round of the line lets every user have one: what is held of others comes in between.
        behind = (mine.filter(before).count() + 1) * max(1, ahead["users"])
        number, seconds = ahead["number"] + behind - 1, (ahead["cost"] or 0.0) + behind * generation.cost
    else:
        before = Q(priority__gt=generation.priority) | Q(priority=generation.priority, tag__lt=generation.tag)
        before |= Q(priority=generation.priority, tag=generation.tag, created_at__lt=generation.created_at)
        ahead = line.filter(before).aggregate(number=Count("pk"), cost=Sum("cost"))
        number, seconds = ahead["number"], ahead["cost"] or 0.0
    servers = ComfyServer.objects.taking_work().count()
    if not servers:
        return Place(number + 1, None)
    # What runs now is half done, on average.
    busy = Generation.objects.upstream().aggregate(cost=Sum("cost"))["cost"] or 0.0
    return Place(number + 1, (seconds + busy / 2) / servers)
