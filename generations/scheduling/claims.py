"""Whose turn it is on which server: claims. What is in line, and in which order, says queue.py.

Most claims take what is first in line, and ask the database once for that (taking.py). The others weigh: what this
server and others have, have loaded and have to do.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from django.db.models import Count, OuterRef, Q, Subquery
from django.utils import timezone

from generations.comfy.catalog import Needs, Value, as_values
from generations.comfy.graph import is_model_file
from generations.models import ComfyServer, Generation, TemplateVersion
from generations.models.server import ServerState
from generations.scheduling import catalogs, taking

CANDIDATES = 16
AFFINITY_TAG_SECONDS = 60.0  # how much later in line one may be that is preferred for its models
OVERTAKEN_SECONDS = 30.0  # how long one may be passed over for that reason
LEAVE_SECONDS = 2.0  # how long one is left to a server that should have it rather: each looks every second
AVOID_SECONDS = 30.0  # the same for the server that lost it before
LEFT_AT_MOST, VERSIONS_AT_MOST, VALUES_AT_MOST = 1000, 2000, 200  # what an agent remembers
FIT_AT_MOST = 200  # versions that each claim names to the database


@dataclass(frozen=True, slots=True)
class Candidate:
    """One in line, with what it takes to choose."""

    pk: uuid.UUID
    version_id: int
    tag: float
    priority: int
    values: tuple[Value, ...]
    overtaken_at: datetime | None
    avoided_server_id: int | None

    @property
    def models(self) -> frozenset[str]:
        """The model files among its values."""
        return frozenset(
            value for _class, _input, value in self.values if isinstance(value, str) and is_model_file(value)
        )


@dataclass(frozen=True, slots=True)
class Worker:
    """A server at the moment of a claim."""

    pk: int
    digest: str
    slots: int
    loaded: frozenset[str]
    load: int  # how many generations it has

    def rank(self, candidate: Candidate) -> tuple[bool, int]:
        """The lower, the sooner it should have that one: an idle server before a busy one; then the one that has the
        models loaded, then one that has none to throw out for them.
        """
        if candidate.models <= self.loaded:
            loading = 0
        elif not self.loaded:
            loading = 1
        else:
            loading = 2
        return self.load > 0, loading


@dataclass(slots=True)
class Memory:
    """What a server's agent keeps from claim to claim: verdicts on versions, and what it has left to other servers."""

    _needs: dict[int, Needs] = field(default_factory=dict)
    _verdicts: dict[str, dict[int, bool]] = field(default_factory=dict)  # by digest and version
    _values: dict[str, dict[Value, str]] = field(default_factory=dict)  # that it has, by digest; with their JSON
    _left: dict[uuid.UUID, float] = field(default_factory=dict)
    me: Worker | None = None  # as of the last claim that looked at all servers
    in_line: int = 0  # how many that one looked at
    is_line_done: bool = False  # the last claim saw nothing else in line that this server might run

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Read what their versions need, if it is not known yet: one query at most. Versions never change."""
        new = {each.version_id for each in candidates} - self._needs.keys()
        if not new:
            return
        if len(self._needs) + len(new) > VERSIONS_AT_MOST:
            self._needs.clear()
            self._verdicts.clear()
            new = {each.version_id for each in candidates}
        columns = ("required_node_classes", "required_choices", "required_inputs")
        for version in TemplateVersion.objects.only(*columns).filter(pk__in=new):
            self._needs[version.pk] = version.needs

    def fits(self, worker: Worker, candidate: Candidate) -> bool:
        """Whether that server can run it: False while nothing is known of the server."""
        return self._fits_version(worker, candidate.version_id) and self._has(worker, candidate.values)

    def _fits_version(self, worker: Worker, version_id: int) -> bool:
        verdicts = self._verdicts.setdefault(worker.digest, {})
        if version_id not in verdicts:
            catalog = catalogs.kept.exact(worker.pk, worker.digest)
            if catalog is None:
                return False
            verdicts[version_id] = not catalog.missing(self._needs[version_id])
        return verdicts[version_id]

    def _has(self, worker: Worker, values: tuple[Value, ...]) -> bool:
        known = self._values.setdefault(worker.digest, {})
        if known.keys() >= set(values):
            return True
        catalog = catalogs.kept.exact(worker.pk, worker.digest)
        if catalog is None or catalog.missing(Needs((), values)):
            return False
        if len(known) + len(values) > VALUES_AT_MOST:
            known.clear()
        known.update((value, json.dumps(value, separators=(",", ":"))) for value in values)  # as SQLite writes it
        return True

    def fit_versions(self, worker: Worker) -> list[int]:
        """Versions that this server is known to be able to run: the latest FIT_AT_MOST of which that was found."""
        fit = [version_id for version_id, fits in self._verdicts.get(worker.digest, {}).items() if fits]
        return fit[-FIT_AT_MOST:]

    def unfit_versions(self, worker: Worker) -> list[int]:
        """Versions that this server cannot run, whatever users choose."""
        return sorted(version_id for version_id, fits in self._verdicts.get(worker.digest, {}).items() if not fits)

    def fit_values(self, worker: Worker) -> list[str]:
        """Values that this server is known to have, as JSON; of model files those alone that are loaded."""
        return [
            text
            for (_class, _input, value), text in self._values.get(worker.digest, {}).items()
            if not (isinstance(value, str) and is_model_file(value)) or value in worker.loaded
        ]

    def keep(self, digests: Set[str]) -> None:
        """Forget what was found of other catalogs: each file that is uploaded to a server makes a new one."""
        for digest in (self._verdicts.keys() | self._values.keys()) - digests:
            self._verdicts.pop(digest, None)
            self._values.pop(digest, None)

    def leaves(self, candidate: Candidate, *, seconds: float) -> bool:
        """True while another server may still take it: for so many seconds from when this was asked first."""
        now = time.monotonic()
        if len(self._left) > LEFT_AT_MOST:
            self._left = {pk: since for pk, since in self._left.items() if now - since < 2 * AVOID_SECONDS}
        return now - self._left.setdefault(candidate.pk, now) < seconds

    def took(self, pk: uuid.UUID) -> None:
        """It is this server's now. Should it come back, others get as much time for it as at first."""
        self._left.pop(pk, None)


def claim(server: ComfyServer, memory: Memory, *, token: int) -> Generation | None:
    """Make the next one in line that this server can run SUBMITTED, and this server's. None when there is none.

    None also when the lease `token` is not the current one any more, or the server takes no work. What is returned has
    its version and template, and is ready to be submitted. Outside of transactions.
    """
    if memory.me is not None:
        answer = _claim_first(server, memory, memory.me, token)
        if answer.is_final:
            return answer.generation
    return _claim_at_length(server, memory, token)


def _claim_first(server: ComfyServer, memory: Memory, me: Worker, token: int) -> taking.Answer:
    """Whatever is first in line, if nothing has to be weighed; it also finds that there is nothing."""
    known = taking.Known(
        me.digest, me.loaded, memory.fit_versions(me), memory.unfit_versions(me), memory.fit_values(me)
    )
    answer = taking.take_first(server, known, token=token)
    if answer.was_faster:  # another server took it in this moment
        answer = taking.take_first(server, known, token=token)
    memory.is_line_done = answer.is_line_done
    if answer.generation is not None:
        memory.took(answer.generation.pk)
    return answer


def _claim_at_length(server: ComfyServer, memory: Memory, token: int) -> Generation | None:
    """With a look at what every server has, has loaded and has to do."""
    workers = _at_work(server, token)
    me = memory.me = workers.pop(server.pk, None)
    if me is None:
        return None
    for candidate in _in_order(me, list(workers.values()), memory):
        models = candidate.models if candidate.models != me.loaded else frozenset()
        generation = taking.take(server, candidate.pk, token=token, models=models)
        if generation is not None:
            memory.took(candidate.pk)
            if models:
                memory.me = replace(me, loaded=models)
            memory.is_line_done = memory.in_line == 1
            return generation
    memory.is_line_done = memory.in_line == 0
    return None


def _at_work(server: ComfyServer, token: int) -> dict[int, Worker]:
    """This server, if it may work, and the others that take work now, by their ids. One query."""
    upstream = Generation.objects.upstream_on(OuterRef("pk")).order_by().values("server")
    may_work = Q(pk=server.pk, lease_token=token)
    others = Q(state=ServerState.ONLINE, lease_expires_at__gt=timezone.now()) & ~Q(pk=server.pk)
    rows = (
        ComfyServer.objects.enabled()
        .filter(may_work | others, is_draining=False)
        .annotate(load=Subquery(upstream.annotate(number=Count("pk")).values("number")))
        .values_list("pk", "catalog_digest", "slots", "loaded_models", "load")
    )
    return {
        pk: Worker(pk, digest, slots, frozenset(loaded or ()), load or 0) for pk, digest, slots, loaded, load in rows
    }


def _in_order(me: Worker, others: list[Worker], memory: Memory) -> Iterator[Candidate]:
    """Those that the server can run and does not leave to others, in the order in which it should try them."""
    memory.keep({each.digest for each in (me, *others)})
    unfit_versions, seen, size = memory.unfit_versions(me), 0, CANDIDATES
    free = [each for each in others if each.load < each.slots]
    memory.in_line = 0
    while batch := _line(unfit_versions, seen, size):
        memory.in_line += len(batch)
        memory.learn(batch)
        fitting = [
            candidate
            for candidate in batch
            if memory.fits(me, candidate)
            and not _is_avoided(candidate, me, others, memory)
            and not _is_left(candidate, me, free, memory)
        ]
        if fitting:
            preferred = prefer(fitting, me.loaded, now=timezone.now())
            if preferred is not fitting[0]:
                passed_over = [each.pk for each in fitting[: fitting.index(preferred)] if each.overtaken_at is None]
                Generation.objects.in_line().filter(pk__in=passed_over).update(overtaken_at=timezone.now())
            yield preferred
            yield from (each for each in fitting if each is not preferred)
        seen += len(batch)
        size *= 4  # few queries, however many are in line that only others can run


def _is_avoided(candidate: Candidate, me: Worker, others: list[Worker], memory: Memory) -> bool:
    """True for AVOID_SECONDS, if this server lost it before and another one that seems fit may take it.

    Not for longer: the other one may refuse it all the same.
    """
    is_for_others = candidate.avoided_server_id == me.pk and any(memory.fits(each, candidate) for each in others)
    return is_for_others and memory.leaves(candidate, seconds=AVOID_SECONDS)


def _is_left(candidate: Candidate, me: Worker, free: list[Worker], memory: Memory) -> bool:
    """Whether one of the `free` servers should have it rather than this one. That one then is not free any more."""
    mine = me.rank(candidate)
    better = [
        each
        for each in free
        if each.rank(candidate) < mine and each.pk != candidate.avoided_server_id and memory.fits(each, candidate)
    ]
    if not better or not memory.leaves(candidate, seconds=LEAVE_SECONDS):
        return False
    free.remove(min(better, key=lambda each: each.rank(candidate)))
    return True


def _line(unfit_versions: list[int], offset: int, size: int) -> list[Candidate]:
    rows = Generation.objects.in_line().order_by("-priority", "tag", "created_at")
    if unfit_versions:
        rows = rows.exclude(version_id__in=unfit_versions)
    values = rows.values_list("pk", "version_id", "tag", "priority", "model_files", "overtaken_at", "avoided_server_id")
    return [
        Candidate(pk, version_id, tag or 0.0, priority, as_values(files), overtaken_at, avoided)
        for pk, version_id, tag, priority, files, overtaken_at, avoided in values[offset : offset + size]
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
