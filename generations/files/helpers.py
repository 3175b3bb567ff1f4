"""Threads that do one part of a piece of work while its owner does another.

They live as long as the process, because a connection to S3 belongs to its thread and is expensive to make. They hold
up no process that ends, as those of concurrent.futures would.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Helpers:
    """At most so many threads, started when they are needed."""

    def __init__(self, at_most: int) -> None:
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._left = at_most
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()

    def start(self, work: Callable[[], T]) -> Future[T] | None:
        """Have a helper do it now. None when all of them are busy: the caller does it. From any thread."""
        if not self._idle.acquire(blocking=False) and not self._one_more():
            return None
        future: Future[T] = Future()
        self._work.put((work, future))
        return future

    def _one_more(self) -> bool:
        with self._lock:
            if not self._left:
                return False
            self._left -= 1
        threading.Thread(target=self._serve, name="helper", daemon=True).start()
        return True

    def _serve(self) -> None:
        while True:
            work, future = self._work.get()
            try:
                result = work()
            except BaseException as error:
                self._idle.release()
                future.set_exception(error)
            else:
                self._idle.release()
                future.set_result(result)
