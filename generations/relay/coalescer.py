"""Latest wins: many values a second become at most one each `interval`, the first at once, the last never lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from generations.live.publisher import LoopThread

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Coalescer(Generic[K, V]):
    """Hands values to `send`, which must not block: at once, or from the loop of `timer` when their time has come."""

    def __init__(self, timer: LoopThread, send: Callable[[K, V], None], *, interval_seconds: float) -> None:
        self._timer = timer
        self._send = send
        self._interval = interval_seconds
        self._lock = threading.Lock()
        self._sent_at: dict[K, float] = {}
        self._waiting: dict[K, V] = {}

    def offer(self, key: K, value: V) -> None:
        """Send `value` now, or when the interval since the last one is over, unless a newer one replaces it."""
        now = time.monotonic()
        with self._lock:
            if key in self._waiting:
                self._waiting[key] = value
                return
            left = self._sent_at.get(key, -self._interval) + self._interval - now
            if left <= 0:
                self._sent_at[key] = now
            else:
                self._waiting[key] = value
        if left <= 0:
            self._send(key, value)
        else:
            loop = self._timer.loop
            loop.call_soon_threadsafe(loop.call_later, left, self._send_waiting, key)

    def forget(self, key: K) -> None:
        """Drop what is not sent yet: it is out of date."""
        with self._lock:
            self._waiting.pop(key, None)
            self._sent_at.pop(key, None)

    def _send_waiting(self, key: K) -> None:
        with self._lock:
            if key not in self._waiting:
                return
            value = self._waiting.pop(key)
            self._sent_at[key] = time.monotonic()
        self._send(key, value)
