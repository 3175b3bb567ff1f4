"""Publishes to the groups of channels' Redis layer from a plain thread: many messages in one round trip.

The layer's own `group_send` takes a hop to an event loop, a lock and a round trip for each message, which is most of
what a relay does at a thousand events a second.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from redis import ConnectionPool, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

logger = logging.getLogger(__name__)

TIMEOUTS = {"socket_connect_timeout": 1, "socket_timeout": 1}


class GroupPublisher:
    """One connection, for one thread."""

    def __init__(self, url: str, prefix: str) -> None:
        """`prefix` is that of the layer (channels_redis.pubsub, `_get_group_channel_name`)."""
        self._connection: Any = ConnectionPool.from_url(url, **TIMEOUTS).make_connection()  # untyped methods
        self._prefix = prefix

    def publish(self, messages: Mapping[str, bytes]) -> None:
        """Send one message to each of these groups. RedisError, OSError: some may have been lost.

        A connection that Redis closed is opened once more: then some are sent twice, which does no harm.
        """
        commands = [("PUBLISH", f"{self._prefix}__group__{group}", data) for group, data in messages.items()]
        packed = b"".join(self._connection.pack_commands(commands))
        try:
            self._exchange(packed, len(commands))
        except RedisConnectionError:
            self._connection.disconnect()
            self._exchange(packed, len(commands))

    @property
    def client_id(self) -> int:
        """What Redis calls the connection."""
        self._connection.send_command("CLIENT", "ID")
        return int(self._connection.read_response())

    def _exchange(self, packed: bytes, number: int) -> None:
        self._connection.send_packed_command([packed])
        for _ in range(number):
            self._connection.read_response()

    def close(self) -> None:
        """Whatever was not answered is lost; `publish` connects again."""
        with suppress(RedisError, OSError):
            self._connection.disconnect()


class PublishingThread:
    """Publishes what `take` returns whenever it is rung for, until that is nothing. What `take` raises on is lost."""

    def __init__(self, publisher: GroupPublisher, take: Callable[[], Mapping[str, bytes]]) -> None:
        self._publisher, self._take = publisher, take
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="group publisher", daemon=True).start()

    def ring(self) -> None:
        """There is something to take. Never blocks."""
        self._bell.put(None)

    def _run(self) -> None:
        while True:
            self._bell.get()
            while self._publish_some():
                pass

    def _publish_some(self) -> bool:
        """False: there was nothing."""
        messages: Mapping[str, bytes] = {}
        try:
            messages = self._take()
            if not messages:
                return False
            self._publisher.publish(messages)
        except Exception:
            logger.exception("Messages for %s could not be sent", ", ".join(messages) or "some groups")
            self._publisher.close()
        return True
