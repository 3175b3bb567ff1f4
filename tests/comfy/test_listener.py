import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from generations.comfy.listener import Backoff, Connected, Disconnected, Event, Listener
from generations.comfy.messages import Executing, ExecutionStart, Progress, Status, Unknown
from tests.comfy.fake_server import serving
from tests.support.waiting import eventually, patient

QUICK = Backoff(initial=0.01, maximum=0.02)
SILENCE_SECONDS = patient(0.25)
STATUS: dict[str, Any] = {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}}}


@dataclass
class Script:
    """What the server does with a socket: sends frames, then closes, aborts, falls silent or listens."""

    frames: list[str | bytes] = field(default_factory=list)
    then: str = "listen"


class FakeComfy:
    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.requests: list[web.Request] = []
        self.received: list[Any] = []
        self.open_sockets: list[str] = []
        self.log: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        script = self.scripts.pop(0) if self.scripts else Script()
        if script.then == "refuse":
            return web.Response(status=403, text="secret")
        self.requests.append(request)
        self.log.append(f"open {len(self.requests)}")
        number = len(self.requests)
        socket = web.WebSocketResponse(autoping=script.then != "silence")
        await socket.prepare(request)
        if script.then != "silence":
            sid = request.query["clientId"]
            await socket.send_json({**STATUS, "data": {**STATUS["data"], "sid": sid}})
            self.received.append(json.loads(await socket.receive_str()))
        for frame in script.frames:
            await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
        if script.then == "close":
            await socket.close()
        elif script.then == "abort":
            assert request.transport is not None
            request.transport.abort()
        else:
            async for message in socket:
                if message.type == WSMsgType.PING:
                    self.log.append(f"ping {number}")
        self.log.append(f"closed {number}")
        return socket

    @contextmanager
    def running(self) -> Iterator[str]:
        app = web.Application()
        app.add_routes([web.get("/api/ws", self.handle), web.get("/pre/api/ws", self.handle)])
        with serving(app) as url:
            yield url


def listen(listener: Listener, until: int, *, deadline: float = 10) -> list[Event]:
    """The first `until` events; fails when they do not come in time."""
    guard = threading.Timer(deadline, listener.stop)
    guard.start()
    events: list[Event] = []
    try:
        for event in listener:
            events.append(event)
            if len(events) == until:
                break
    finally:
        guard.cancel()
    assert len(events) == until, events
    return events


def text(type: str, **data: object) -> str:
    return json.dumps({"type": type, "data": data})


def test_connects_negotiates_and_yields_typed_messages() -> None:
    comfy = FakeComfy(Script([text("execution_start", prompt_id="p"), text("progress", value=1, max=2)]))
    with comfy.running() as url:
        events = listen(Listener(url, "me"), 4)
    assert events[0] == Connected("me", "me", was_reconnect=False)
    assert events[1:] == [Status(0, "me"), ExecutionStart("p"), Progress(1, 2)]
    assert comfy.received == [{"type": "feature_flags", "data": {"supports_preview_metadata": True}}]


def test_credentials_prefix_and_headers_are_on_the_handshake_but_no_origin() -> None:
    comfy = FakeComfy()
    with comfy.running() as url:
        address = url.replace("http://", "http://user:pw@") + "/pre?token=t"
        listen(Listener(address, "a b/c", headers={"X-Key": "1"}), 1)
    request = comfy.requests[0]
    assert request.path == "/pre/api/ws"
    assert dict(request.query) == {"token": "t", "clientId": "a b/c"}
    assert request.headers["Authorization"] == "Basic dXNlcjpwdw=="
    assert request.headers["X-Key"] == "1"
    assert "Origin" not in request.headers


def test_reconnects_after_a_close_and_says_so() -> None:
    comfy = FakeComfy(Script(then="close"))
    with comfy.running() as url:
        events = listen(Listener(url, "me", backoff=QUICK, fresh_client_id=True), 5)
    assert [type(event) for event in events] == [Connected, Status, Disconnected, Connected, Status]
    lost, again = events[2], events[3]
    assert isinstance(lost, Disconnected)
    assert lost.was_connected
    assert not lost.is_unclean
    assert again == Connected("me", "me", was_reconnect=True)
    assert len(comfy.received) == 2


def test_the_old_socket_is_closed_before_the_new_one_opens() -> None:
    comfy = FakeComfy(Script(then="close"), Script(then="close"))
    with comfy.running() as url:
        listen(Listener(url, "me", backoff=QUICK), 7)
    assert comfy.log[:5] == ["open 1", "closed 1", "open 2", "closed 2", "open 3"]


def test_failed_attempts_are_told_and_repeated() -> None:
    comfy = FakeComfy(Script(then="refuse"), Script(then="refuse"))
    with comfy.running() as url:
        events = listen(Listener(url, "me", backoff=QUICK), 3)
    assert [type(event) for event in events] == [Disconnected, Disconnected, Connected]
    first = events[0]
    assert isinstance(first, Disconnected)
    assert not first.was_connected
    assert "HTTP 403" in first.reason
    assert "secret" not in first.reason


def test_a_silent_server_is_given_up_and_a_fresh_id_used() -> None:
    comfy = FakeComfy(Script([json.dumps(STATUS)], then="silence"))
    with comfy.running() as url:
        listener = Listener(
            url, "old", ping_interval=0.05, pong_timeout=SILENCE_SECONDS, backoff=QUICK, fresh_client_id=True
        )
        started = time.monotonic()
        events = listen(listener, 4)
        assert time.monotonic() - started >= SILENCE_SECONDS
    lost, again = events[2], events[3]
    assert isinstance(lost, Disconnected)
    assert lost.is_unclean
    assert "silent" in lost.reason
    assert isinstance(again, Connected)
    assert again.client_id == listener.client_id != "old"
    assert again.sid == again.client_id == comfy.requests[1].query["clientId"]
    assert "ping 1" in comfy.log


def test_without_the_option_the_id_stays() -> None:
    comfy = FakeComfy(Script([json.dumps(STATUS)], then="silence"))
    with comfy.running() as url:
        listener = Listener(url, "me", ping_interval=0.05, pong_timeout=SILENCE_SECONDS, backoff=QUICK)
        events = listen(listener, 4)
    assert events[3] == Connected("me", "me", was_reconnect=True)


def test_a_quiet_server_that_answers_pings_is_kept() -> None:
    comfy = FakeComfy(Script())
    with comfy.running() as url:
        listener = Listener(url, "me", ping_interval=0.02, pong_timeout=SILENCE_SECONDS)
        threading.Timer(2 * SILENCE_SECONDS, listener.stop).start()
        events = list(listener)
    assert [type(event) for event in events] == [Connected, Status]


def test_malformed_frames_are_skipped() -> None:
    frames: list[str | bytes] = [
        "{",
        "[]",
        b"\0",
        text("executing", node=None, prompt_id="p"),
        text("new", a=1),
    ]
    comfy = FakeComfy(Script(frames))
    with comfy.running() as url:
        events = listen(Listener(url, "me"), 4)
    assert events[2:] == [Executing(None, None, "p"), Unknown("new", {"a": 1})]


def test_large_frames_come_through() -> None:
    comfy = FakeComfy(Script([text("executed_by_custom", text="x" * 6_000_000), b"\0\0\0\x63" + b"y" * 6_000_000]))
    with comfy.running() as url:
        events = listen(Listener(url, "me"), 4)
    assert isinstance(events[2], Unknown)
    assert isinstance(events[3], Unknown)
    assert events[3].data == b"y" * 6_000_000


@pytest.mark.parametrize("then", ["listen", "refuse"])
def test_stop_ends_the_iteration_promptly(then: str) -> None:
    comfy = FakeComfy(Script(then=then))
    with comfy.running() as url:
        listener = Listener(url, "me", backoff=Backoff(initial=60, maximum=60))
        heard = threading.Event()
        ended = threading.Event()

        def run() -> None:
            for _event in listener:
                heard.set()
            ended.set()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert heard.wait(patient(10))
        listener.stop()
        assert ended.wait(patient(2))
        thread.join(patient(2))


def test_leaving_the_loop_closes_the_socket() -> None:
    comfy = FakeComfy()
    with comfy.running() as url:
        listen(Listener(url, "me"), 1)
        eventually(lambda: "closed 1" in comfy.log)


def test_an_address_where_nobody_listens_is_told() -> None:
    async def free_port() -> int:
        server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return port

    url = f"http://127.0.0.1:{asyncio.run(free_port())}"
    (event,) = listen(Listener(url, "me"), 1)
    assert isinstance(event, Disconnected)
    assert "refused" in event.reason


def test_pauses_double_up_to_the_maximum_less_a_random_part() -> None:
    backoff = Backoff(initial=0.5, maximum=10, jitter=0.5)
    for attempt, full in enumerate([0.5, 1, 2, 4, 8, 10, 10]):
        assert all(full / 2 <= backoff.delay(attempt) <= full for _ in range(20))
    assert backoff.delay(10_000) <= 10


def test_a_listener_needs_an_id() -> None:
    with pytest.raises(ValueError, match="client_id"):
        Listener("http://x", "")
