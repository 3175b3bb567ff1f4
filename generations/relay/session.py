"""An agent's dealings with its server: the row, the ways to it, and what is known of it and of its prompts."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from generations.comfy.client import ComfyClient
from generations.comfy.errors import ComfyError
from generations.comfy.listener import Event, Listener
from generations.comfy.state import HistoryEntry
from generations.models import ComfyServer, Generation
from generations.models.generation import GenerationQuerySet
from generations.relay import apply, timing
from generations.relay.broadcast import Broadcast
from generations.relay.connection import Connection
from generations.relay.frames import Frames
from generations.relay.health import Health
from generations.relay.prompts import Prompt, Prompts, Start
from generations.relay.timing import Timers
from generations.relay.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Finished:
    """What was stored at once is over; or it is not, and a worker should have it."""

    entry: HistoryEntry
    started_at: datetime
    is_over: bool


class Session:
    """The parts of an agent share it. Other threads than the acting one may replace `server`, put something into the
    `inbox`, set `stopping`, and use what has locks of its own: `broadcast`, `frames` and `health`.
    """

    def __init__(self, server: ComfyServer, *, token: int) -> None:
        self.server = server
        self.token = token
        self.stopping = threading.Event()
        self._is_woken = threading.Event()
        self.inbox: queue.SimpleQueue[Event | Finished | None] = queue.SimpleQueue()
        self.finishing: set[str] = set()  # prompts that ended, whose results are being stored: leave them alone
        self._stored: dict[str, float] = {}  # whose histories ComfyUI may forget, and when
        self.timers = Timers()
        self.connection = Connection()
        self.prompts = Prompts()
        self.broadcast = Broadcast()
        self.frames = Frames()
        self.health = Health()
        self.client = ComfyClient(server.url, headers=server.headers)
        self.upstream = Upstream(self.client)
        # A fresh id for every agent: the old one's socket may linger in the server and take ours with it.
        self.listener = Listener(server.url, uuid.uuid4().hex, headers=server.headers, fresh_client_id=True)

    def wake(self) -> None:
        """There may be work or a wish to cancel: the acting thread looks now. From any thread."""
        if not self._is_woken.is_set():  # else it is going to look anyway
            self._is_woken.set()
            self.inbox.put(None)

    def woken(self) -> None:
        """The acting thread looks at everything anew."""
        self._is_woken.clear()
        self.timers.look_around = self.timers.idle = self.timers.line = 0.0

    def reconnect(self, reason: str) -> None:
        """Another socket, and no new work until it is there: this one would not hear what becomes of it."""
        self.listener.reconnect(reason)
        self.timers.pause_claims()

    def rows(self) -> GenerationQuerySet:
        """What the server has, as far as the database knows, loaded with what applying an end reads."""
        rows = Generation.objects.upstream_on(self.server.pk).select_related("version__template", "server")
        if self.finishing:
            rows = rows.exclude(prompt_id__in=list(self.finishing))
        return rows.defer("server__object_info")  # megabytes

    def hears(self, prompt_id: str) -> bool:
        """True when the present socket hears of this prompt."""
        return self.prompts.is_heard(prompt_id, self.connection.client_id)

    def saw_online(self) -> None:
        """The server answers, and is not stuck."""
        ComfyServer.objects.saw_online(
            self.server.pk, version=self.upstream.version, is_simulator=self.upstream.is_simulator
        )

    # ------------------------------------------------------------------------------------ prompts
    def track(self, generation: Generation, *, client_id: str) -> None:
        """The server has it from now on. `client_id`: of the socket that hears it, "" if none does."""
        started_at, limit = generation.started_at, float(generation.version.time_limit_seconds)
        self.prompts.add(
            str(generation.prompt_id),
            Prompt(generation.pk, client_id, limit, generation, Start(started_at, is_written=started_at is not None)),
            running_seconds=None if started_at is None else (timezone.now() - started_at).total_seconds(),
        )

    def started(self, prompt_id: str) -> None:
        """The server began to execute it: those who watch hear so at once, its row says so later. Prompts of others are
        ignored.
        """
        now = timezone.now()
        if not self.prompts.started(prompt_id, now) or self.prompts.was_asked_to_stop(prompt_id):
            return
        generation = self.prompts.generation(prompt_id)
        if generation is not None:
            apply.hear_of_start(generation, at=now)

    def write_starts(self) -> None:
        """Write down those runs that take longer than a moment."""
        for prompt_id in self.prompts.unwritten_starts():
            self.write_start(prompt_id)

    def write_start(self, prompt_id: str) -> datetime | None:
        """Write down that it started, if that was heard; whatever else is written of it comes after that."""
        start = self.prompts.start_of(prompt_id)
        if start.at is not None and not start.is_written:
            apply.started(uuid.UUID(prompt_id), at=start.at)
            self.prompts.start_is_written(prompt_id)
        return start.at

    def finished(self, finished: Finished) -> None:
        """Nothing is at its result any more."""
        self.finishing.discard(finished.entry.prompt_id)
        if finished.is_over and not self.server.is_history_kept:
            self._stored[finished.entry.prompt_id] = time.monotonic() + timing.HISTORY_SECONDS

    def forget_histories(self) -> None:
        """Have ComfyUI forget what was stored a while ago: its history lies in memory. What fails there does no harm.

        A database that crashed meanwhile has undone what it took last, and nobody need have noticed: it is asked, and
        what it knows nothing of stays, to be found again. A DatabaseError leaves all of them for later.
        """
        now = time.monotonic()
        due = [prompt_id for prompt_id, at in self._stored.items() if at <= now]
        if not due or now < self.timers.histories:
            return
        self.timers.histories = now + timing.TICK_SECONDS
        undone = set(Generation.objects.upstream().filter(prompt_id__in=due).values_list("prompt_id", flat=True))
        for prompt_id in due:
            del self._stored[prompt_id]
        if stored := [prompt_id for prompt_id in due if uuid.UUID(prompt_id) not in undone]:
            with suppress(ComfyError):
                self.client.delete_history(*stored)

    def adopt(self, generation: Generation, actual: uuid.UUID) -> None:
        """The server has it under an id of its own. What it said before we knew is found by reconciling."""
        Generation.objects.adopt_prompt_id(generation.prompt_id, actual=actual)
        self.move(generation, actual)
        self.prompts.remember(generation)

    def move(self, generation: Generation, actual: uuid.UUID) -> None:
        """What we know of it holds for another prompt_id from now on."""
        former, graph = str(generation.prompt_id), generation.version.graph
        self.prompts.move(former, str(actual))
        self.frames.follow(str(actual), graph)  # before the former is forgotten, which tells where this one belongs
        self.forget(former)
        generation.prompt_id = actual
        self.broadcast.follow(generation, graph)
        self.timers.reconcile = 0.0

    def forget(self, prompt_id: str) -> None:
        """It ended there or was given up. There may be room for another one."""
        self.prompts.forget(prompt_id)
        self.broadcast.forget(prompt_id)
        self.frames.forget(prompt_id)
        self.health.forget(prompt_id)
        self.timers.idle = 0.0
