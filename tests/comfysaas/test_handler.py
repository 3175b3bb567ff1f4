"""One trip into a thread for each request, which holds neither thread nor connection when its view is done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any

import pytest
from django.core.handlers import base
from django.core.signals import request_finished
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, URLResolver, get_resolver, path

from accounts.concurrency import aside
from accounts.models import User
from comfysaas import handler as module
from comfysaas.handler import OneTripHandler
from comfysaas.urls import urlpatterns as site
from tests.support.factories import make_asset, make_key
from tests.support.waiting import patient

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


# ------------------------------------------------------------------------------------------ views of these tests
@dataclass
class Stage:
    """What views wait for, and what they have seen."""

    has_begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    may_end: threading.Event = field(default_factory=threading.Event)
    ended: list[str] = field(default_factory=list)


stage = Stage()


def _slow(request: HttpRequest) -> HttpResponse:
    with aside() if "aside" in request.GET else nullcontext():
        stage.has_begun.release()
        stage.may_end.wait(patient(20))
    stage.ended.append("view")
    return HttpResponse("slow")


def _broken(request: HttpRequest) -> HttpResponse:
    msg = "broken on purpose"
    raise RuntimeError(msg)


async def _endless() -> AsyncIterator[bytes]:
    try:
        while True:
            yield b"more"
            await asyncio.sleep(0)
    finally:
        stage.ended.append("body")


async def _breaks_off() -> AsyncIterator[bytes]:
    yield b"begin"
    msg = "the disk is gone"
    raise OSError(msg)


def _query() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _stream(request: HttpRequest) -> StreamingHttpResponse:
    _query()
    return StreamingHttpResponse(_endless() if "endless" in request.GET else _breaks_off())


def _ask_database(request: HttpRequest) -> HttpResponse:
    _query()
    return HttpResponse(threading.current_thread().name)


urlpatterns = [
    path("slow", _slow),
    path("broken", _broken),
    path("stream", _stream),
    path("query", _ask_database),
    *site,
]


# ------------------------------------------------------------------------------------------ a client
@dataclass
class Client:
    """One request to a handler, as a server passes it on."""

    handler: OneTripHandler
    status: int = 0
    body: bytes = b""
    leaves: asyncio.Event = field(default_factory=asyncio.Event)
    has_body: asyncio.Event = field(default_factory=asyncio.Event)
    has_asked: bool = False

    async def ask(self, address: str, **headers: str) -> Client:
        """The answer. `self`, once the handler is done."""
        where, _, query = address.partition("?")
        pairs = {"host": "127.0.0.1", **headers}
        scope = {
            "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": where,
            "raw_path": where.encode(), "query_string": query.encode("latin-1"), "root_path": "",
            "client": ["127.0.0.1", 1], "server": ["127.0.0.1", 80],
            "headers": [(n.encode(), v.encode()) for n, v in pairs.items()],
        }  # fmt: skip
        await asyncio.wait_for(self.handler(scope, self._receive, self._send), patient(20))
        return self

    async def _receive(self) -> dict[str, Any]:
        if not self.has_asked:
            self.has_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")
        if self.body:
            self.has_body.set()


@pytest.fixture
def handler() -> OneTripHandler:
    return OneTripHandler()


@pytest.fixture(autouse=True)
def fresh_stage() -> Iterator[None]:
    stage.__init__()  # type: ignore[misc]
    yield
    stage.may_end.set()


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was given to threads by the event loop."""
    found: list[str] = []
    run = asyncio.BaseEventLoop.run_in_executor

    def counting(self: Any, executor: Any, work: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
        found.append(str(work))
        return run(self, executor, work, *arguments)

    monkeypatch.setattr(asyncio.BaseEventLoop, "run_in_executor", counting)
    return found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every connection that was opened, in whichever thread."""
    found: list[Any] = []
    connect = BaseDatabaseWrapper.connect

    def noticed(self: Any) -> None:
        connect(self)
        found.append(self)

    monkeypatch.setattr(BaseDatabaseWrapper, "connect", noticed)
    return found


def _made_for(user: User) -> tuple[Any, str]:
    """A file and a key."""
    try:
        return make_asset(user, b"x" * 200_000), make_key(user)
    finally:
        connections.close_all()


# ------------------------------------------------------------------------------------------ one trip
@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/", 302),
        ("/accounts/login/", 200),
        ("/admin/", 302),
        ("/nowhere", 404),
        ("/api/v2/jobs", 401),
        ("/broken", 500),
        ("/static/js/site.js", 200),
        ("/static/nowhere.js", 404),
    ],
)
async def test_a_request_goes_to_a_thread_once(
    handler: OneTripHandler, trips: list[str], address: str, status: int
) -> None:
    assert (await Client(handler).ask(address)).status == status
    assert len(trips) == 1, trips


async def test_a_program_with_a_key_goes_to_a_thread_once(
    handler: OneTripHandler, trips: list[str], owner: User
) -> None:
    _, secret = await asyncio.to_thread(_made_for, owner)
    trips.clear()
    client = await Client(handler).ask("/api/v2/jobs", authorization=f"Bearer {secret}")
    assert (client.status, len(trips)) == (200, 1)


def test_nothing_in_the_chain_is_adapted_to_be_called_from_the_other_world(monkeypatch: pytest.MonkeyPatch) -> None:
    def adapt(method: Any, *_: Any, **__: Any) -> Any:
        pytest.fail(f"{method} would be called through another thread")

    monkeypatch.setattr(base, "async_to_sync", adapt)
    monkeypatch.setattr(base, "sync_to_async", adapt)
    assert not iscoroutinefunction(OneTripHandler()._middleware_chain)


def _views(patterns: list[URLPattern | URLResolver]) -> Iterator[Any]:
    for each in patterns:
        if isinstance(each, URLResolver):
            yield from _views(each.url_patterns)
        else:
            yield each.callback


def test_no_view_is_a_coroutine_which_would_go_back_to_the_event_loop() -> None:
    views = list(_views(get_resolver("comfysaas.urls").url_patterns))
    assert len(views) > 100
    assert [view for view in views if iscoroutinefunction(view) or getattr(view, "view_is_async", False)] == []


# ------------------------------------------------------------------------------------------ errors
async def test_an_exception_in_a_view_is_our_error_page(handler: OneTripHandler) -> None:
    client = await Client(handler).ask("/broken")
    assert client.status == 500
    assert b"<html" in client.body
    assert b"broken on purpose" not in client.body


async def test_a_stream_that_breaks_is_an_error_and_ends_the_request(handler: OneTripHandler) -> None:
    finished: list[object] = []

    def receiver(**_: object) -> None:
        finished.append(True)

    request_finished.connect(receiver)
    client = Client(handler)
    try:
        with pytest.raises(OSError, match="the disk is gone"):
            await client.ask("/stream")
    finally:
        request_finished.disconnect(receiver)
    assert (client.status, client.body, len(finished)) == (200, b"begin", 1)


async def test_an_address_that_cannot_be_read_is_a_400(handler: OneTripHandler) -> None:
    assert (await Client(handler).ask("/query?\xff")).status == 400


# ------------------------------------------------------------------------------------------ leaving
async def test_a_client_that_leaves_ends_the_body_of_its_stream(handler: OneTripHandler) -> None:
    client = Client(handler)
    asking = asyncio.create_task(client.ask("/stream?endless"))
    await asyncio.wait_for(client.has_body.wait(), patient(20))
    assert stage.ended == []
    client.leaves.set()
    await asking
    assert stage.ended == ["body"]


async def test_a_server_that_stops_ends_the_body_of_a_stream(handler: OneTripHandler) -> None:
    client = Client(handler)
    asking = asyncio.create_task(client.ask("/stream?endless"))
    await asyncio.wait_for(client.has_body.wait(), patient(20))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert stage.ended == ["body"]


async def test_a_view_works_to_its_end_when_its_client_leaves(handler: OneTripHandler) -> None:
    client = Client(handler)
    asking = asyncio.create_task(client.ask("/slow"))
    await asyncio.to_thread(stage.has_begun.acquire)
    client.leaves.set()
    stage.may_end.set()
    await asking
    assert stage.ended == ["view"]


async def test_a_client_that_leaves_before_its_body_is_there_reaches_no_view(
    handler: OneTripHandler, trips: list[str]
) -> None:
    client = Client(handler, has_asked=True)
    client.leaves.set()
    await client.ask("/broken")
    assert (client.status, trips) == (0, [])


# ------------------------------------------------------------------------------------------ threads and connections
async def test_a_stream_keeps_neither_thread_nor_connection(monkeypatch: pytest.MonkeyPatch, opened: list[Any]) -> None:
    monkeypatch.setattr(module, "TURNS", 1)
    handler = OneTripHandler()
    client = Client(handler)
    asking = asyncio.create_task(client.ask("/stream?endless"))
    await asyncio.wait_for(client.has_body.wait(), patient(20))
    assert [each.connection for each in opened] == [None]
    assert (await Client(handler).ask("/query")).status == 200
    client.leaves.set()
    await asking


async def test_the_connection_is_back_before_the_answer_is_sent(handler: OneTripHandler, opened: list[Any]) -> None:
    seen: list[Any] = []

    class Watching(Client):
        async def _send(self, message: Any) -> None:
            seen.append(opened[0].connection)
            await super()._send(message)

    await Watching(handler).ask("/query")
    assert set(seen) == {None}


async def test_threads_are_used_again(handler: OneTripHandler) -> None:
    names = {(await Client(handler).ask("/query")).body for _ in range(50)}
    assert len(names) < 50  # the first may not have gone to sleep yet when the second comes


async def test_healthz_answers_while_all_threads_are_busy_and_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURNS", 3)
    handler = OneTripHandler()
    slow = [asyncio.create_task(Client(handler).ask("/slow")) for _ in range(3)]
    for _ in slow:
        await asyncio.to_thread(stage.has_begun.acquire)
    waiting = asyncio.create_task(Client(handler).ask("/query"))
    assert (await Client(handler).ask("/healthz")).status == 200
    assert (waiting.done(), stage.ended) == (False, [])
    stage.may_end.set()
    assert {client.status for client in await asyncio.gather(waiting, *slow)} == {200}


async def test_requests_that_do_slow_work_hold_up_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURNS", 1)
    handler = OneTripHandler()
    slow = [asyncio.create_task(Client(handler).ask("/slow?aside")) for _ in range(3)]
    for _ in slow:
        await asyncio.to_thread(stage.has_begun.acquire)
    assert (await Client(handler).ask("/query")).status == 200
    assert stage.ended == []
    stage.may_end.set()
    assert {client.status for client in await asyncio.gather(*slow)} == {200}
    last = asyncio.create_task(Client(handler).ask("/query"))
    await last
    assert (last.result().status, handler._turns.locked()) == (200, False)  # all came back, and went


async def test_files_that_hang_hold_up_no_other_download(handler: OneTripHandler) -> None:
    await Client(handler).ask("/query")
    hanging = [asyncio.create_task(asyncio.to_thread(stage.may_end.wait, patient(20))) for _ in range(30)]
    await asyncio.wait_for(asyncio.to_thread(bytes), patient(10))
    stage.may_end.set()
    assert await asyncio.gather(*hanging) == [True] * 30


async def test_many_requests_at_once_are_all_answered(handler: OneTripHandler) -> None:
    clients = await asyncio.gather(*(Client(handler).ask("/query") for _ in range(2 * module.THREADS)))
    assert {client.status for client in clients} == {200}


async def test_a_download_keeps_no_connection(handler: OneTripHandler, owner: User, opened: list[Any]) -> None:
    asset, secret = await asyncio.to_thread(_made_for, owner)
    opened.clear()
    held: list[Any] = []

    class Watching(Client):
        async def _send(self, message: Any) -> None:
            held.extend(each for each in opened if each.connection is not None)
            await super()._send(message)

    client = await Watching(handler).ask(f"/api/v2/assets/{asset.pk}/content", authorization=f"Bearer {secret}")
    assert (client.status, len(client.body), held) == (200, 200_000, [])
    assert opened
