"""Sends events to the channel layer, from threads, through ONE event loop that lives as long as the process.

`async_to_sync(group_send)` opens a loop, and with Redis a connection, for every call; a long-lived loop keeps one.
The in-memory layer of a standalone server only works inside the loop of its web server, which `sender.use` names.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

from channels.layers import BaseChannelLayer, get_channel_layer
from django.db import transaction

from generations.live import events
from generations.models import Generation

logger = logging.getLogger(__name__)


class LoopThread:
    """The process's loop for sending; started on first use, or given by the web server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def use(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Send through a loop that somebody else runs."""
        with self._lock:
            self._loop = loop

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="publisher", daemon=True).start()
            return self._loop

    def run(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Start `work` on the loop and return at once."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)


sender = LoopThread()


def channel_layer() -> BaseChannelLayer:
    """The configured layer; there always is one (settings.CHANNEL_LAYERS)."""
    layer = get_channel_layer()
    assert layer is not None  # noqa: S101  (for the type checker)
    return layer


class Outbox:
    """Messages on their way to the channel layer, in order for each group. While they travel, the next events of a
    group become one message, too, and so does waking the relays, however often that is asked for.
    """

    def __init__(self, sender: LoopThread) -> None:
        self._sender = sender
        self._lock = threading.Lock()
        self._waiting: dict[str, list[events.Event]] = {}
        self._is_draining = False

    def put(self, group: str, *found: events.Event) -> None:
        """Send these soon. Never blocks, never raises; from any thread."""
        with self._lock:
            self._waiting.setdefault(group, []).extend(found)
            if self._is_draining:
                return
            self._is_draining = True
        self._sender.run(self._drain())

    async def _drain(self) -> None:
        while True:
            with self._lock:
                batches, self._waiting = self._waiting, {}
                if not batches:
                    self._is_draining = False
                    return
            await asyncio.gather(*(self._send(group, batch) for group, batch in batches.items()))

    async def _send(self, group: str, batch: list[events.Event]) -> None:
        """A failing layer loses them, loudly: whoever watches gets a snapshot when the socket is back, and relays look
        for work every second anyway.
        """
        is_wake = group == events.RELAY_GROUP
        message = {"type": "relay.wake"} if is_wake else {"type": "generation.events", "events": batch}
        try:
            await channel_layer().group_send(group, message)
        except Exception:
            logger.exception("%s for %s could not be sent", "A wake-up" if is_wake else f"{len(batch)} events", group)


outbox = Outbox(sender)


def publish(generation: Generation, event: events.Event) -> None:
    """Send once the current transaction is committed (at once outside of one). Never blocks, never raises."""
    transaction.on_commit(lambda: outbox.put(events.user_group(generation.user_id), event))


def announce_access(user_id: int) -> None:
    """Have everything that is open on behalf of this user check, after commit, whether it still may be."""
    transaction.on_commit(lambda: sender.run(_send_access(user_id)))


async def _send_access(user_id: int) -> None:
    try:
        await channel_layer().group_send(events.user_group(user_id), {"type": "access.changed"})
    except Exception:
        logger.exception("Open connections of user %d could not be told; they check by themselves, too", user_id)


def wake_relays() -> None:
    """Tell the relays, after commit, that there is work, or a wish to cancel."""
    transaction.on_commit(lambda: outbox.put(events.RELAY_GROUP))
