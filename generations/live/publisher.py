"""Sends events to the channel layer, from threads.

With Redis, a thread of its own publishes them (`group_publisher.py`). Whatever else is asked of the layer runs in ONE
event loop that lives as long as the process: `async_to_sync` opens a loop, and with Redis a connection, for every call.
The in-memory layer of a standalone server only works inside the loop of its web server, which `sender.use` names.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, cast

from channels.layers import BaseChannelLayer, get_channel_layer
from django.conf import settings
from django.db import transaction

from generations.live import events
from generations.live.group_publisher import GroupPublisher, PublishingThread
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
        """The running loop. RuntimeError: the system has no thread for it now; ask again."""
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                self._loop = _started_loop()
            return self._loop

    def run(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Start `work` on the loop and return at once. RuntimeError: there is no loop."""
        try:
            loop = self.loop
        except BaseException:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, loop)


def _started_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    try:
        threading.Thread(target=loop.run_forever, name="publisher", daemon=True).start()
    except BaseException:
        loop.close()
        raise
    return loop


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
        self._thread: PublishingThread | None = None

    def put(self, group: str, *found: events.Event) -> None:
        """Send these soon. Never blocks, never raises; from any thread."""
        with self._lock:
            self._waiting.setdefault(group, []).extend(found)
            if self._is_draining:
                return
            self._is_draining = True
        try:
            self._start_draining()
        except Exception:
            logger.exception("Events wait until the next one: sending could not start")
            with self._lock:
                self._is_draining = False

    def _start_draining(self) -> None:
        """By one caller at a time: who finds `_is_draining` returns."""
        if settings.REDIS_URL and self._thread is None:
            self._thread = PublishingThread(_group_publisher(), self._take_packed)
        if self._thread is not None:
            self._thread.ring()
        else:
            self._sender.run(self._drain())

    def _take(self) -> dict[str, list[events.Event]]:
        """What waits, by group. Nothing: whoever asks may end, and the next `put` begins anew."""
        with self._lock:
            batches, self._waiting = self._waiting, {}
            self._is_draining = bool(batches)
            return batches

    def _take_packed(self) -> dict[str, bytes]:
        batches, layer = self._take(), cast("Any", channel_layer())
        return {group: layer.serialize(_message(group, batch)) for group, batch in batches.items()}

    async def _drain(self) -> None:
        while batches := self._take():
            await asyncio.gather(*(self._send(group, batch) for group, batch in batches.items()))

    async def _send(self, group: str, batch: list[events.Event]) -> None:
        """A failing layer loses them, loudly: whoever watches gets a snapshot when the socket is back, and relays look
        for work every second anyway.
        """
        try:
            await channel_layer().group_send(group, _message(group, batch))
        except Exception:
            logger.exception("%d messages for %s could not be sent", max(1, len(batch)), group)


def _message(group: str, batch: list[events.Event]) -> dict[str, Any]:
    return {"type": "relay.wake"} if group == events.RELAY_GROUP else {"type": "generation.events", "events": batch}


def _group_publisher() -> GroupPublisher:
    return GroupPublisher(str(settings.REDIS_URL), settings.CHANNEL_PREFIX)


outbox = Outbox(sender)


def publish(generation: Generation, event: events.Event) -> None:
    """Send once the current transaction is committed (at once outside of one). Never blocks, never raises."""
    transaction.on_commit(lambda: outbox.put(events.workspace_group(generation.workspace_id), event))


def announce_access(user_id: int) -> None:
    """Have everything that is open on behalf of this user check, after commit, whether it still may be."""
    transaction.on_commit(lambda: sender.run(_send_access(events.user_group(user_id))), robust=True)


def announce_access_to(workspace_id: int) -> None:
    """As `announce_access`, of everything that is open in this workspace, in one message."""
    transaction.on_commit(lambda: sender.run(_send_access(events.workspace_group(workspace_id))), robust=True)


async def _send_access(group: str) -> None:
    try:
        await channel_layer().group_send(group, {"type": "access.changed"})
    except Exception:
        logger.exception("Open connections of %s could not be told; they check by themselves, too", group)


def wake_relays() -> None:
    """Tell the relays, after commit, that there is work, or a wish to cancel."""
    transaction.on_commit(lambda: outbox.put(events.RELAY_GROUP))
