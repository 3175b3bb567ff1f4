"""What goes out to one websocket: in order, never more than the client can catch up with, and bounded in bytes.

While the client takes what it is sent, a message goes straight to the web server. When the server says that the
connection is full, messages wait here, where the newest progress and preview of a generation replace those before. A
client for which more than MOST_BYTES would wait is cut off: it comes back and begins with a snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Protocol

MOST_BYTES = 1024 * 1024  # for one client, together with what the web server has of it
MESSAGE_BYTES = 512  # what a waiting message weighs besides its text


class Connection(Protocol):
    """What the web server says of the client (`comfysaas.http_server`)."""

    @property
    def is_full(self) -> bool:
        """True while the client has yet to take what was sent."""

    @property
    def unsent_bytes(self) -> int:
        """How much of what was sent still lies in the server."""

    async def drained(self) -> bool:
        """Wait until there is room for more. False when there was none for too long: the client is cut off."""

    def cut_off(self) -> None:
        """End the connection: the client does not read."""


class Outgoing:
    """One socket's messages. For the event loop's thread only. Without a `connection`, nothing ever waits."""

    def __init__(self, send: Callable[[str], Awaitable[None]], connection: Connection | None) -> None:
        self._send, self._connection = send, connection
        self._waiting: dict[Hashable, str] = {}
        self._waiting_bytes = 0
        self._number = 0
        self._is_held = self._is_closed = False
        self._writer: asyncio.Task[None] | None = None

    def hold(self) -> None:
        """Let messages wait until `release`: what is sent with `first` comes before them."""
        self._is_held = True

    def release(self) -> None:
        """Send what waits."""
        self._is_held = False
        if self._waiting:
            self._start()

    async def first(self, text: str) -> None:
        """Send it ahead of what waits, as soon as the client has taken what was sent before."""
        if not self._is_closed and (self._connection is None or await self._connection.drained()):
            await self._send(text)

    async def put(self, text: str, *, replaces: Hashable | None = None) -> None:
        """Send it now, or when the client is ready; until then, a later one that `replaces` the same does so."""
        if self._is_closed:
            return
        if not self._is_held and self._writer is None and not self._is_full():
            await self._send(text)
            return
        self._add(text, replaces)
        if self._connection is not None and self._waiting_bytes + self._connection.unsent_bytes > MOST_BYTES:
            self.close()
            self._connection.cut_off()
        elif not self._is_held:
            self._start()

    def close(self) -> None:
        """Let go of everything."""
        self._is_closed = True
        self._waiting.clear()
        if self._writer is not None:
            self._writer.cancel()

    def _add(self, text: str, replaces: Hashable | None) -> None:
        self._number += 1
        key = self._number if replaces is None else replaces
        self._waiting_bytes += _weight(text) - _weight(self._waiting.pop(key, None))
        self._waiting[key] = text

    def _start(self) -> None:
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while self._waiting and (self._connection is None or await self._connection.drained()):
            text = self._waiting.pop(next(iter(self._waiting)))
            self._waiting_bytes -= _weight(text)
            await self._send(text)
        self._writer = None

    def _is_full(self) -> bool:
        return self._connection is not None and self._connection.is_full


def _weight(text: str | None) -> int:
    return 0 if text is None else len(text) + MESSAGE_BYTES
