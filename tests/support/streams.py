"""Server-sent events of a job, as a client of the whole ASGI application reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from asgiref.testing import ApplicationCommunicator

from comfysaas.asgi import application
from generations.models import Generation
from tests.support.waiting import patient

Headers = Sequence[tuple[bytes, bytes]]


class Stream:
    """One GET …/events."""

    def __init__(self, generation: Generation, secret: str = "", *, headers: Headers = ()) -> None:
        shown = [(b"authorization", f"Bearer {secret}".encode())] if secret else []
        path = f"/api/v2/jobs/{generation.pk}/events"
        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [(b"host", b"testserver"), *shown, *headers], "http_version": "1.1", "scheme": "http",
            "server": ("testserver", 80),
        }  # fmt: skip
        self._communicator = ApplicationCommunicator(application, scope)
        self._buffer = ""
        self.is_over = False

    async def open(self) -> int:
        """The status of the answer."""
        await self._communicator.send_input({"type": "http.request", "body": b"", "more_body": False})
        start = await self._communicator.receive_output(patient(10))
        self.headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return int(start["status"])

    async def body(self) -> Any:
        """The JSON of an answer that is no stream."""
        return json.loads((await self._communicator.receive_output(patient(10)))["body"])

    async def next(self) -> tuple[str, Any]:
        """(event, data); ("", None) for a comment, ("end", None) at the end."""
        while "\n\n" not in self._buffer:
            message = await self._communicator.receive_output(patient(10))
            self._buffer += message["body"].decode()
            if not message.get("more_body"):
                self.is_over = True
                return "end", None
        frame, self._buffer = self._buffer.split("\n\n", 1)
        if frame.startswith(":"):
            return "", None
        name, data = frame.split("\n")
        return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))

    async def event(self) -> tuple[str, Any]:
        """The next one that is no comment."""
        while (found := await self.next())[0] == "":
            pass
        return found

    async def leave(self) -> None:
        """As a client that goes away."""
        if not self.is_over:
            await self._communicator.send_input({"type": "http.disconnect"})
        await self._communicator.wait(patient(10))
