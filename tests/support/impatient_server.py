"""`python -m tests.support.impatient_server PORT [NAME=SECONDS …]`: daphne with our protocols and shorter deadlines.

The application behind it is small: `/read` answers with the number of bytes of the body, `/refuse` with 413 at once,
`/flood` with bytes without end, `/root` with the site's path; `/fail` fails before its answer and `/fail-late` within
it. A websocket is flooded with messages as fast as it takes them, but for `/quiet`. `/state` counts what still runs,
the messages of bodies, and the bytes that were handed to the server.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any

from daphne.server import Server
from twisted.internet import reactor

from comfysaas import http_server
from comfysaas.connection import EXTENSION

CHUNK = b"x" * 65536
state: Counter[str] = Counter()


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _read(connection: Any, receive: Any, send: Any) -> None:
    size = 0
    connection.invite()
    while (message := await receive())["type"] == "http.request":
        state["messages"] += 1
        if message["more_body"]:
            connection.taken(len(message["body"]))
        size += len(message["body"])
        if not message["more_body"]:
            await _answer(send, 200, str(size).encode())
            return


async def _flood(connection: Any, receive: Any, send: Any, first: dict[str, Any], chunk: dict[str, Any]) -> None:
    async def until_gone() -> None:
        while not (await receive())["type"].endswith(".disconnect"):
            pass

    state["floods"] += 1
    gone = asyncio.create_task(until_gone())
    try:
        await send(first)
        while not gone.done():
            await send(chunk)
            state["bytes"] += len(CHUNK)
            await connection.drained()
            await asyncio.sleep(0)
    finally:
        state["floods"] -= 1


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Does what the path names."""
    connection = scope["extensions"][EXTENSION]
    if scope["path"] == "/quiet":
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()
    elif scope["type"] == "websocket":
        await _flood(
            connection, receive, send, {"type": "websocket.accept"}, {"type": "websocket.send", "bytes": CHUNK}
        )
    elif scope["path"] == "/read":
        await _read(connection, receive, send)
    elif scope["path"] == "/root":
        await _answer(send, 200, json.dumps(scope["root_path"] or []).encode())
    elif scope["path"] == "/refuse":
        await _answer(send, 413, b"too much")
    elif scope["path"] == "/state":
        await _answer(send, 200, json.dumps(state).encode())
    elif scope["path"].startswith("/fail"):
        if scope["path"] == "/fail-late":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"a part", "more_body": True})
        raise RuntimeError("as asked for")
    elif scope["path"] == "/ignore":
        await asyncio.Event().wait()
    elif scope["path"] == "/flood":
        first = {"type": "http.response.start", "status": 200, "headers": []}
        await _flood(connection, receive, send, first, {"type": "http.response.body", "body": CHUNK, "more_body": True})


if __name__ == "__main__":
    port, *limits = sys.argv[1:]
    for name, _, seconds in (each.partition("=") for each in limits):
        assert hasattr(http_server, name), name
        setattr(http_server, name, float(seconds))
    http_server.install()
    server = Server(
        application,
        endpoints=[f"tcp:port={port}:interface=127.0.0.1"],
        ping_interval=1,
        ping_timeout=2,
        ready_callable=lambda: reactor.callLater(0, print, "ready", flush=True),  # type: ignore[attr-defined]
    )
    server.run()
