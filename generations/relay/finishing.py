"""Small results are stored by the relay that hears their end, in threads that hold up neither socket nor agent."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from django.db import close_old_connections, connections
from django.utils import timezone

from generations.comfy.outputs import OutputItem
from generations.comfy.state import HistoryEntry
from generations.database import keep, release
from generations.lifecycle import at_once
from generations.lifecycle.at_once import Ended
from generations.models import Generation
from generations.relay import timing
from generations.relay.session import Finished, Session

logger = logging.getLogger(__name__)

THREADS = 4  # of a relay process, for all its servers
ROOM = 8  # results that are copied or wait for a thread
WAITING = 16  # results of one server that wait for room, PATIENCE_SECONDS at most; workers take what is more
PATIENCE_SECONDS = 2.0


class Pool:
    """A few threads with connections of their own, which start with the first work and hold up no process that ends."""

    def __init__(self, threads: int = THREADS, room: int = ROOM) -> None:
        self._room = threading.BoundedSemaphore(room)
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._number = threads
        self._threads: list[threading.Thread] = []  # that run
        self._lock = threading.Lock()

    def offer(self, work: Callable[[], None]) -> bool:
        """Have this done soon, from any thread; `work` must not raise. False when there is no room or no thread."""
        if not self._room.acquire(blocking=False):
            return False
        if not self._has_begun():
            self._room.release()
            return False
        self._work.put(work)
        return True

    def _has_begun(self) -> bool:
        """Start those threads that do not run yet. False when none does: the next work tries again."""
        with self._lock:
            try:
                while len(self._threads) < self._number:
                    name = f"finisher {len(self._threads)}"
                    thread = threading.Thread(target=self._serve, name=name, daemon=True)
                    thread.start()
                    self._threads.append(thread)
            except Exception as error:  # the system has no more threads to give
                logger.warning("%d of %d finishers run: %s", len(self._threads), self._number, error)
            return bool(self._threads)

    def close(self, timeout_seconds: float) -> None:
        """End the threads after what they are at, and wait for them that long."""
        give_up = time.monotonic() + timeout_seconds
        with self._lock:
            threads = list(self._threads)
        for _ in threads:
            self._work.put(None)
        for thread in threads:
            thread.join(max(0.0, give_up - time.monotonic()))

    def _serve(self) -> None:
        try:
            while (work := self._work.get()) is not None:
                try:
                    work()
                    release()  # while it waits for the next, unless the connection is its own
                except Exception:
                    logger.exception("A finisher met something unexpected")
                finally:
                    self._room.release()
        finally:
            connections.close_all()


@dataclass(frozen=True, slots=True)
class _Waiting:
    work: Callable[[], None]
    ended: Ended
    entry: HistoryEntry
    since: float  # time.monotonic


@dataclass(slots=True)
class Finisher:
    """For one server, in threads of a pool. Only the acting thread of its agent calls it.

    Should the server or the storage stall, it has all threads but one: others find one.
    """

    session: Session
    pool: Pool
    _at_work: int = 0  # whose `Finished` was not read yet
    _waiting: deque[_Waiting] = field(default_factory=deque)

    def take(self, generation: Generation, entry: HistoryEntry) -> bool:
        """Store it, unless its result is large or in any way special; the agent's inbox gets a `Finished` in the end.

        The session forgets the prompt, and its slot is free: for ComfyUI it is over. False: it was not taken.
        """
        items = at_once.items_of(generation, entry.outputs)
        if items is None:
            return False
        session, now = self.session, timezone.now()
        start = session.prompts.start_of(entry.prompt_id)
        ended = Ended(
            generation,
            entry.outputs,
            seconds=entry.execution_seconds,
            started_at=start.at or generation.started_at or now,
            executed_at=now,
            is_start_known=start.is_written,
        )
        one = _Waiting(partial(_store, session, ended, items, entry), ended, entry, time.monotonic())
        self._begin_waiting()
        if self._waiting or not self._begin(one):
            if not self._at_work or len(self._waiting) >= WAITING:
                return False  # nothing would have it go on, or too late
            self._waiting.append(one)
        session.finishing.add(entry.prompt_id)  # in time: its `Finished` is read by this thread, later
        session.forget(entry.prompt_id)
        return True

    def _begin(self, one: _Waiting) -> bool:
        if self._at_work >= THREADS - 1 or not self.pool.offer(one.work):
            return False
        self._at_work += 1
        return True

    def go_on(self) -> None:
        """A `Finished` was read: there may be room for one that waits."""
        self._at_work -= 1
        self.look()

    def _begin_waiting(self) -> None:
        while self._waiting and self._begin(self._waiting[0]):
            self._waiting.popleft()

    def look(self) -> None:
        """Begin what there is room for. Those that waited too long are a worker's: call it now and then."""
        self._begin_waiting()
        too_long = time.monotonic() - PATIENCE_SECONDS
        while self._waiting and (not self._at_work or self._waiting[0].since < too_long):
            one = self._waiting.popleft()
            self.session.inbox.put(Finished(one.entry, one.ended.started_at, is_over=False))
            self._at_work += 1

    def wait(self) -> None:
        """Before the agent ends: what waits, or is not finished in FINISHING_SECONDS, is found by the next one."""
        for one in self._waiting:
            self.session.finishing.discard(one.entry.prompt_id)
        self._waiting.clear()
        give_up = time.monotonic() + timing.FINISHING_SECONDS
        while self.session.finishing and (left := give_up - time.monotonic()) > 0:
            try:
                event = self.session.inbox.get(timeout=left)
            except queue.Empty:
                return
            if isinstance(event, Finished):
                self.session.finished(event)


def _store(session: Session, ended: Ended, items: list[OutputItem], entry: HistoryEntry) -> None:
    """In a thread of the pool."""
    is_over = False
    try:
        keep()
        close_old_connections()  # those that broke meanwhile
        is_over = at_once.store(ended, items, session.client)
    except Exception:
        logger.exception("Storing generation %s at once failed", ended.generation.pk)
    finally:
        session.inbox.put(Finished(entry, ended.started_at, is_over=is_over))
