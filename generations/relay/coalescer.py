"""Latest wins: many values a second become at most one each `interval`, the first at once, the last never lost."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from generations.publisher import LoopThread

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Coalescer(Generic[K, V]):
    """Hands values to `send` on the loop of `sender`. `offer` never blocks, whatever `send` waits for."""

    def __init__(self, sender: LoopThread, send: Callable[[K, V], Awaitable[None]], *, interval_seconds: float) -> None:
        self._sender = sender
        self._send = send
        self._interval = interval_seconds
        self._lock = threading.Lock()
        self._latest: dict[K, V] = {}
        self._busy: set[K] = set()

    def offer(self, key: K, value: V) -> None:
        """Send `value` now, or when the interval since the last one is over, unless a newer one replaces it."""
        with self._lock:
            self._latest[key] = value
            if key in self._busy:
                return
            self._busy.add(key)
        self._sender.run(self._drain(key))

    def forget(self, key: K) -> None:
        """Drop what is not sent yet: it is out of date."""
        with self._lock:
            self._latest.pop(key, None)

    async def _drain(self, key: K) -> None:
        while True:
            with self._lock:
                if key not in self._latest:
                    self._busy.discard(key)
                    return
                value = self._latest.pop(key)
            try:
                await self._send(key, value)
            except Exception:
                logger.exception("A progress message could not be sent")
            await asyncio.sleep(self._interval)
