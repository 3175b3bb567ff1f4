"""What the thread publishes is what channels' Redis layer hears, in its order; a broken connection is opened again."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels_redis.pubsub import RedisPubSubChannelLayer
from redis import Redis

from generations.live.group_publisher import GroupPublisher, PublishingThread
from tests.support.waiting import patient

pytestmark = pytest.mark.redis


@asynccontextmanager
async def listening(url: str, prefix: str, *groups: str) -> AsyncIterator[tuple[Any, str]]:
    """channels' own layer, with a channel that hears these groups."""
    layer = RedisPubSubChannelLayer(hosts=[url], prefix=prefix)
    channel = await layer.new_channel()
    for group in groups:
        await layer.group_add(group, channel)
    try:
        yield layer, channel
    finally:
        await layer.flush()


async def heard(layer: Any, channel: str, number: int) -> list[Any]:
    """The next messages."""
    return [await asyncio.wait_for(layer.receive(channel), patient(10)) for _ in range(number)]


def prefix() -> str:
    return f"test-{uuid.uuid4().hex}"


async def test_the_layer_hears_what_is_published(redis_url: str) -> None:
    publisher = GroupPublisher(redis_url, own := prefix())
    async with listening(redis_url, own, "one", "two") as (layer, channel):
        messages = {group: layer.serialize({"type": "said", "in": group}) for group in ("one", "two", "nobody")}
        await asyncio.to_thread(publisher.publish, messages)
        assert [each["in"] for each in await heard(layer, channel, 2)] == ["one", "two"]
    publisher.close()


async def test_a_connection_that_was_closed_is_opened_again(redis_url: str) -> None:
    publisher = GroupPublisher(redis_url, own := prefix())
    async with listening(redis_url, own, "one") as (layer, channel):
        await asyncio.to_thread(publisher.publish, {"one": layer.serialize({"type": "first"})})
        with Redis.from_url(redis_url) as admin:
            admin.client_kill_filter(_id=publisher.client_id)
        await asyncio.to_thread(publisher.publish, {"one": layer.serialize({"type": "second"})})
        assert [each["type"] for each in await heard(layer, channel, 2)] == ["first", "second"]
    publisher.close()


class Refusing(GroupPublisher):
    """Fails once, then publishes."""

    has_failed = False

    def publish(self, messages: Any) -> None:
        if not self.has_failed:
            self.has_failed = True
            raise OSError("as asked for")
        super().publish(messages)


async def test_the_thread_goes_on_after_a_failure(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    waiting: list[dict[str, bytes]] = []
    publisher = Refusing(redis_url, own := prefix())
    thread = PublishingThread(publisher, lambda: waiting.pop(0) if waiting else {})
    async with listening(redis_url, own, "one") as (layer, channel):
        waiting.extend({"one": layer.serialize({"type": str(number)})} for number in range(3))
        thread.ring()
        assert [each["type"] for each in await heard(layer, channel, 2)] == ["1", "2"]
    assert "could not be sent" in caplog.text


async def test_the_thread_goes_on_after_what_cannot_be_taken(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    publisher = GroupPublisher(redis_url, own := prefix())
    async with listening(redis_url, own, "one") as (layer, channel):
        waiting = [{"one": layer.serialize({"type": "said"})}, None]

        def take() -> dict[str, bytes]:
            messages = waiting.pop() if waiting else {}
            if messages is None:
                raise TypeError("as asked for")
            return messages

        PublishingThread(publisher, take).ring()
        assert [each["type"] for each in await heard(layer, channel, 1)] == ["said"]
    assert "could not be sent" in caplog.text
