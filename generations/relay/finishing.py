"""Small results are stored by the relay that hears their end, in threads that hold up neither socket nor agent."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.db import close_old_connections
from django.utils import timezone

from generations.comfy.outputs import OutputItem
from generations.comfy.state import HistoryEntry
from generations.lifecycle import at_once
from generations.lifecycle.at_once import Ended
from generations.models import Generation
from generations.relay import timing
from generations.relay.session import Finished, Session

logger = logging.getLogger(__name__)

THREADS = 4  # of a relay process, for all its servers
ROOM = 8  # results that are copied or wait for a thread; workers take what is more


class Pool:
    """A few threads that end with the process, whatever they are at."""

    def __init__(self, threads: int, room: int) -> None:
        self._threads = threads
        self._room = threading.BoundedSemaphore(room)
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def offer(self, work: Callable[[], None]) -> bool:
        """Have it done soon. False: there is no room. It must not raise anything."""
        if not self._room.acquire(blocking=False):
            return False
        with self._lock:
            missing, self._threads = self._threads, 0
        for number in range(missing):
            threading.Thread(target=self._serve, name=f"finisher {number}", daemon=True).start()
        self._work.put(work)
        return True

    def _serve(self) -> None:
        while True:
            work = self._work.get()
            try:
                work()
            finally:
                self._room.release()


pool = Pool(THREADS, ROOM)


@dataclass(slots=True)
class Finisher:
    """For one server. Only the acting thread of its agent calls it."""

    session: Session

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
        session.finishing.add(entry.prompt_id)
        if not pool.offer(partial(_store, session, ended, items, entry)):
            session.finishing.discard(entry.prompt_id)
            return False
        session.forget(entry.prompt_id)
        return True

    def wait(self) -> None:
        """Before the agent ends: what is not finished in FINISHING_SECONDS is found by the next one."""
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
        is_over = at_once.store(ended, items, session.client)
        if not is_over:
            close_old_connections()  # the database may be why
    except Exception:
        logger.exception("Storing generation %s at once failed", ended.generation.pk)
    finally:
        session.inbox.put(Finished(entry, ended.started_at, is_over=is_over))
