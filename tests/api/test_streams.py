"""Server-sent events and sockets of programs, through the whole ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.core.cache import cache
from django.utils import timezone

from accounts import standing
from accounts.models import ApiKey, Plan, User
from comfysaas.asgi import application
from generations.api import streams
from generations.lifecycle import services
from generations.lifecycle.transitions import transition
from generations.live import events, publisher
from generations.models import Generation, Status
from tests.support.factories import make_generation, make_key, make_output, make_user
from tests.support.streams import Stream
from tests.support.waiting import patient

pytestmark = pytest.mark.django_db(transaction=True)
PROGRESS: events.ProgressState = {
    "value": 0.5, "nodes_done": 1, "nodes_total": 2, "node_id": "3", "node_title": "KSampler", "node_class": "KSampler",
    "step": 1, "steps": 4,
}  # fmt: skip


@pytest.fixture
async def loop() -> AsyncIterator[None]:
    """Events travel through this test's loop."""
    publisher.sender.use(asyncio.get_running_loop())
    yield
    publisher.sender.use(None)


@database_sync_to_async
def made(**fields: Any) -> tuple[Any, Generation, str]:
    user = make_user()
    return user, make_generation(user, **fields), make_key(user)


async def test_the_state_comes_first_and_then_what_changes(loop: None) -> None:
    user, generation, secret = await made(status=Status.RUNNING)
    await cache.aset(events.progress_cache_key(generation.pk), PROGRESS)
    preview = {"prompt_id": str(generation.pk), "node_id": "3", "content_type": "image/jpeg", "data_base64": "AA=="}
    await cache.aset(events.preview_cache_key(generation.pk), {"type": "preview", **preview})
    stream = Stream(generation, secret)
    assert await stream.open() == 200
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in stream.headers
    assert await stream.event() == ("status", {"status": "running", "queue_position": None})
    name, data = await stream.event()
    assert (name, data["value"], data["current_node_class"], data["message"]) == (
        "progress",
        0.5,
        "KSampler",
        "KSampler 1/4",
    )
    assert await stream.event() == (
        "preview",
        {key: preview[key] for key in ("node_id", "content_type", "data_base64")},
    )

    later: events.ProgressEvent = {
        "type": "progress",
        "prompt_id": str(generation.pk),
        "progress": {**PROGRESS, "value": 0.9},
    }
    publisher.outbox.put(events.user_group(user.pk), {**later, "prompt_id": "another"})
    publisher.outbox.put(events.user_group(user.pk), later)
    name, data = await stream.event()
    assert (name, data["value"]) == ("progress", 0.9)

    output = await database_sync_to_async(make_output)(generation)
    await database_sync_to_async(_succeed)(generation)
    assert (await stream.event())[1]["id"] == str(output.asset_id)
    name, data = await stream.event()
    assert (name, data["status"], len(data["outputs"])) == ("status", "succeeded", 1)
    assert (await stream.next())[0] == "end"
    await stream.leave()


def _succeed(generation: Generation) -> None:
    def change() -> int:
        return Generation.objects.filter(pk=generation.pk).update(status=Status.SUCCEEDED, finished_at=timezone.now())

    transition(change, pk=generation.pk)


async def test_progress_that_came_along_with_the_end_is_told_before_it() -> None:
    user, generation, secret = await made(status=Status.RUNNING)
    stream = Stream(generation, secret)
    await stream.open()
    assert (await stream.event())[0] == "status"
    about = {"prompt_id": str(generation.pk)}
    together = [{"type": "progress", "progress": PROGRESS, **about}, {"type": "status", **about}]
    done = {"status": Status.SUCCEEDED, "finished_at": timezone.now()}
    await Generation.objects.filter(pk=generation.pk).aupdate(**done)
    message = {"type": "generation.events", "events": together}
    await publisher.channel_layer().group_send(events.user_group(user.pk), message)
    found = [await stream.event() for _ in range(3)]
    assert [name for name, _data in found] == ["progress", "status", "end"]
    await stream.leave()


async def test_a_finished_job_ends_the_stream_at_once() -> None:
    _user, generation, secret = await made(status=Status.FAILED)
    stream = Stream(generation, secret)
    assert await stream.open() == 200
    name, data = await stream.event()
    assert (name, data["status"], data["error"]["code"]) == ("status", "failed", "node_execution_error")
    assert (await stream.next())[0] == "end"
    await stream.leave()


async def test_the_place_in_the_queue_is_told(loop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "QUEUE_POLL_SECONDS", 0.05)
    user, generation, secret = await made()
    first = await database_sync_to_async(make_generation)(user, tag=-1.0)
    stream = Stream(generation, secret)
    await stream.open()
    name, waiting = await stream.event()
    assert (name, waiting["status"], waiting["queue_position"]) == ("status", "queued", 2)
    assert waiting["message"].startswith("No ComfyUI server is set up yet.")
    await database_sync_to_async(services.cancel)(first)
    assert await stream.event() == ("status", {**waiting, "queue_position": 1})
    await stream.leave()


async def test_comments_keep_the_connection_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.05)
    _user, generation, secret = await made(status=Status.RUNNING)
    stream = Stream(generation, secret)
    await stream.open()
    await stream.event()
    assert [(await stream.next())[0] for _ in range(3)] == ["", "", ""]
    await stream.leave()


@pytest.mark.parametrize("who", ["anonymous", "stranger"])
async def test_others_hear_nothing(who: str) -> None:
    _user, generation, _secret = await made(status=Status.RUNNING)
    other = database_sync_to_async(lambda: make_key(make_user("other@example.com")))
    secret = await other() if who == "stranger" else ""
    stream = Stream(generation, secret)
    assert await stream.open() == {"anonymous": 401, "stranger": 404}[who]
    assert (await stream.body())["error"]["code"] == {"anonymous": "unauthorized", "stranger": "not_found"}[who]
    await stream.leave()


async def test_only_so_many_streams_are_open_and_a_closed_one_makes_room() -> None:
    user, generation, secret = await made(status=Status.RUNNING)

    @database_sync_to_async
    def limit() -> None:
        user.plan = Plan.objects.create(name="two", max_streams=2)
        user.save()

    await limit()
    open_ones = [Stream(generation, secret) for _ in range(2)]
    for each in open_ones:
        assert await each.open() == 200
        await each.event()
    third = Stream(generation, secret)
    assert await third.open() == 429
    assert int(third.headers["retry-after"]) > 0
    assert (await third.body())["error"]["code"] == "too_many_streams"
    await open_ones[0].leave()
    fourth = Stream(generation, secret)
    assert await fourth.open() == 200
    for each in (open_ones[1], fourth):
        await each.leave()


def revoke(user: User) -> None:
    ApiKey.objects.filter(user=user).revoke()


def suspend(user: User) -> None:
    staff = make_user("staff@example.com", is_staff=True)
    standing.suspend(user, by=staff, reason="spam")


@pytest.mark.parametrize("end", [revoke, suspend])
async def test_a_revoked_key_or_a_suspension_ends_streams_and_sockets_at_once(
    loop: None, end: Callable[[User], None]
) -> None:
    user, generation, secret = await made(status=Status.RUNNING)
    stream = Stream(generation, secret)
    await stream.open()
    await stream.event()
    socket = by_key("/ws/generations/", secret)
    assert (await socket.connect())[0]
    assert (await socket.receive_json_from(patient(5)))["type"] == "snapshot"
    await database_sync_to_async(end)(user)
    assert (await stream.event())[0] == "end"
    message = await socket.receive_output(patient(5))
    assert (message["type"], message["code"]) == ("websocket.close", 4401)
    await stream.leave()


def by_key(path: str, secret: str) -> WebsocketCommunicator:
    """A program's socket: no Origin, as browsers send it."""
    return WebsocketCommunicator(application, path, headers=[(b"authorization", f"Bearer {secret}".encode())])


async def test_a_program_follows_one_of_its_jobs_by_socket() -> None:
    _user, generation, secret = await made(status=Status.RUNNING)
    socket = by_key(f"/ws/generations/{generation.pk}/", secret)
    assert (await socket.connect())[0]
    assert (await socket.receive_json_from(patient(5)))["generation"]["id"] == str(generation.pk)
    await socket.disconnect()


@pytest.mark.parametrize(("who", "code"), [("wrong key", 4401), ("no reader", 4401), ("stranger", 4404)])
async def test_sockets_of_others_are_closed(who: str, code: int) -> None:
    user, generation, _secret = await made(status=Status.RUNNING)
    secrets = {
        "wrong key": lambda: "csk_no_no",
        "no reader": lambda: make_key(user, scopes=["run"]),
        "stranger": lambda: make_key(make_user("other@example.com")),
    }
    socket = by_key(f"/ws/generations/{generation.pk}/", await database_sync_to_async(secrets[who])())
    assert (await socket.connect())[0]
    assert (await socket.receive_output(patient(5)))["code"] == code
