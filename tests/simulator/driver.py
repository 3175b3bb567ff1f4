"""A plain client for the simulator's tests: it shows what is on the wire, and does not interpret it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx
from websocket import WebSocket, WebSocketTimeoutException, create_connection

from tests.support.waiting import eventually, patient

PATIENCE_SECONDS = patient(10.0)

Frame = dict[str, Any] | bytes


def kind_of(frame: Frame) -> str:
    """The `type` of a message; `binary N` for a binary frame of type N."""
    return f"binary {int.from_bytes(frame[:4], 'big')}" if isinstance(frame, bytes) else str(frame["type"])


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """The first truthy answer; fails after a while, naming what did not happen."""
    return eventually(condition, what=what)


class Socket:
    """One websocket. `frames` grows by what was read."""

    def __init__(self, url: str, client_id: str, flags: dict[str, Any] | None = None) -> None:
        address = f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}"
        self.client_id = client_id
        self.frames: list[Frame] = []
        self.raw: WebSocket = create_connection(address, timeout=PATIENCE_SECONDS, skip_utf8_validation=True)
        self.read()
        if flags is not None:
            self.raw.send(json.dumps({"type": "feature_flags", "data": flags}))
            self.read()

    def read(self) -> Frame:
        """The next frame, which is remembered. Frames that are no JSON are given as `{"type": "broken"}`."""
        data = self.raw.recv()
        frame: Frame
        if isinstance(data, bytes):
            frame = data
        else:
            try:
                frame = json.loads(data)
            except ValueError:
                frame = {"type": "broken", "data": data}
        self.frames.append(frame)
        return frame

    def read_until(self, kind: str, **data: Any) -> Frame:
        """Read up to a message of that type with those values in its data, and give it."""
        while True:
            frame = self.read()
            if kind_of(frame) == kind and (
                isinstance(frame, bytes) or all(frame["data"].get(key, ...) == value for key, value in data.items())
            ):
                return frame

    def is_silent(self, seconds: float = 0.25) -> bool:
        """True when nothing comes for that long."""
        self.raw.settimeout(seconds)
        try:
            self.read()
        except WebSocketTimeoutException:
            return True
        finally:
            self.raw.settimeout(PATIENCE_SECONDS)
        return False

    def kinds(self) -> list[str]:
        """The types of all frames so far."""
        return [kind_of(frame) for frame in self.frames]

    def data(self, kind: str) -> list[dict[str, Any]]:
        """The data of all messages of one type so far."""
        return [frame["data"] for frame in self.frames if not isinstance(frame, bytes) and frame["type"] == kind]

    def close(self) -> None:
        """With a close frame."""
        self.raw.close()


class Driver:
    """HTTP and one socket. A context manager."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=PATIENCE_SECONDS)
        self.socket = self.connect()
        self._others: list[Socket] = []

    def connect(self, client_id: str | None = None, flags: dict[str, Any] | None = None) -> Socket:
        """A further socket, closed with the driver."""
        socket = Socket(self.url, client_id or uuid.uuid4().hex, flags)
        if hasattr(self, "_others"):
            self._others.append(socket)
        return socket

    def post(self, prompt: Any, **body: Any) -> httpx.Response:
        """POST /prompt with this driver's client_id (None leaves it out)."""
        body = {"client_id": self.socket.client_id, "prompt": prompt, **body}
        return self.http.post("/prompt", json={key: value for key, value in body.items() if value is not None})

    def submit(self, prompt: Any, **body: Any) -> str:
        """The id of a prompt that was accepted."""
        response = self.post(prompt, **body)
        assert response.status_code == 200, response.text
        return str(response.json()["prompt_id"])

    def run(self, prompt: Any, **body: Any) -> dict[str, Any]:
        """Submit and wait for the end; the history entry."""
        prompt_id = self.submit(prompt, **body)
        self.socket.read_until("executing", node=None, prompt_id=prompt_id)
        return self.history(prompt_id)

    def history(self, prompt_id: str) -> dict[str, Any]:
        """The entry; KeyError if there is none."""
        entry: dict[str, Any] = self.http.get(f"/history/{prompt_id}").json()[prompt_id]
        return entry

    def remaining(self) -> int:
        """Pending and running."""
        return int(self.http.get("/prompt").json()["exec_info"]["queue_remaining"])

    def view(self, reference: dict[str, str], **query: str) -> httpx.Response:
        """GET /view of a file as an output names it."""
        return self.http.get("/view", params={**reference, **query})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for socket in (self.socket, *self._others):
            socket.raw.shutdown()
        self.http.close()


def executed_nodes(driver: Driver, prompt_id: str) -> list[str]:
    """Node ids in the order in which they were begun."""
    return [data["node"] for data in driver.socket.data("executing") if data["prompt_id"] == prompt_id and data["node"]]


def run(driver: Driver, graph: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """(nodes that were run, history entry)."""
    entry = driver.run(graph)
    return executed_nodes(driver, entry["prompt"][1]), entry
