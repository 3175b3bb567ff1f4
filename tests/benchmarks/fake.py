"""A ComfyUI that only talks: prompts "run" side by side for ever and report steps at a steady rate, drawing nothing.

`python -m tests.benchmarks.fake PORT EVENTS_PER_SECOND_AND_PROMPT`. Every socket is sent everything, so that a socket
of the measurement hears the same as the relay's. POST /quiet ends the reporting.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from aiohttp import web

from tests.support.simulator import usual_catalog

NEVER = 1_000_000


class Fake:
    """One server."""

    def __init__(self, rate: float) -> None:
        self._pause = 1 / rate
        self._sockets: set[web.WebSocketResponse] = set()
        self._prompts: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_quiet = False

    def application(self) -> web.Application:
        """Its routes."""
        app = web.Application()
        app.router.add_get("/api/ws", self._ws)
        app.router.add_post("/api/prompt", self._prompt)
        app.router.add_get("/api/queue", self._queue)
        app.router.add_post("/quiet", self._quiet)
        for path, body in {
            "/api/history/{id}": {},
            "/api/object_info": json.loads(usual_catalog()),
            "/api/system_stats": {"system": {"comfyui_version": "0.3.64"}, "devices": []},
            "/api/features": {"supports_preview_metadata": True},
        }.items():
            app.router.add_get(path, lambda _, body=body: _answer(body))
        return app

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        status = {"status": {"exec_info": {"queue_remaining": 0}}, "sid": request.query["clientId"]}
        await socket.send_str(json.dumps({"type": "status", "data": status}))
        self._sockets.add(socket)
        try:
            async for _ in socket:
                pass
        finally:
            self._sockets.discard(socket)
        return socket

    async def _say(self, kind: str, data: dict[str, Any]) -> None:
        frame = json.dumps({"type": kind, "data": data})
        for socket in list(self._sockets):
            if not socket.closed:
                await socket.send_str(frame)

    async def _prompt(self, request: web.Request) -> web.Response:
        prompt_id = (await request.json())["prompt_id"]
        self._prompts.append(prompt_id)
        task = asyncio.create_task(self._run(prompt_id))
        self._tasks.add(task)
        return web.json_response({"prompt_id": prompt_id, "number": 1, "node_errors": {}})

    async def _run(self, prompt_id: str) -> None:
        await self._say("execution_start", {"prompt_id": prompt_id, "timestamp": 1})
        step = 0
        while not self._is_quiet:
            await asyncio.sleep(self._pause)
            step += 1
            await self._say("progress", {"value": step, "max": NEVER, "prompt_id": prompt_id, "node": "3"})

    async def _queue(self, request: web.Request) -> web.Response:
        running = [[1, prompt_id, {}, {}, []] for prompt_id in self._prompts]
        return web.json_response({"queue_running": running, "queue_pending": []})

    async def _quiet(self, request: web.Request) -> web.Response:
        self._is_quiet = True
        return web.Response()


async def _answer(body: dict[str, Any]) -> web.Response:
    return web.json_response(body)


if __name__ == "__main__":
    web.run_app(Fake(float(sys.argv[2])).application(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
