"""Websockets as ComfyUI keeps them: one registry by session id, one publisher that waits for each send in turn.

Its flaws are kept, because clients must live with them (server.py, websocket_handler): a second socket with the same
id takes the place of the first, and when the first closes, the second's entry is removed.
"""

from __future__ import annotations

import asyncio
import json
import struct
import uuid
from collections.abc import Callable
from typing import Any, cast

from aiohttp import WSMsgType, web

MAX_UPLOAD_BYTES = 104_857_600
MAX_INCOMING_BYTES = 4 * 1024 * 1024
SERVER_FLAGS: dict[str, Any] = {"supports_preview_metadata": True, "max_upload_size": MAX_UPLOAD_BYTES}
PREVIEW_IMAGE, TEXT, PREVIEW_IMAGE_WITH_METADATA = 1, 3, 4
BROADCAST = None

Frame = str | bytes


class Sockets:
    """`publish` may be called from any thread; frames leave in that order."""

    def __init__(self, *, has_feature_flags: bool = True) -> None:
        self._has_feature_flags = has_feature_flags
        self._by_id: dict[str, web.WebSocketResponse] = {}
        self._flags: dict[str, dict[str, Any]] = {}
        self._transports: dict[web.WebSocketResponse, asyncio.Transport] = {}
        self._muted: set[web.WebSocketResponse] = set()
        self._outbox: asyncio.Queue[tuple[str | None, Frame]] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._publisher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to publish."""
        self._loop = asyncio.get_running_loop()
        self._publisher = asyncio.create_task(self._publish_forever())

    async def stop(self) -> None:
        """End it and cut every socket off."""
        if self._publisher is not None:
            self._publisher.cancel()
        self._drop()

    def drop(self) -> None:
        """Cut every socket off without a close frame, as the end of the process does. From any thread."""
        self._soon(self._drop)

    def mute(self) -> None:
        """Keep the present sockets open, but read and send nothing on them. From any thread."""
        self._soon(self._mute)

    def _drop(self) -> None:
        for transport in list(self._transports.values()):
            transport.abort()
        self._by_id.clear()
        self._flags.clear()
        while not self._outbox.empty():
            self._outbox.get_nowait()

    def _mute(self) -> None:
        for socket, transport in self._transports.items():
            transport.pause_reading()  # no pong either
            self._muted.add(socket)

    def wants_metadata(self, sid: str | None) -> bool:
        """True when this session negotiated previews with metadata."""
        return sid is not None and self._flags.get(sid, {}).get("supports_preview_metadata") is True

    def publish(self, kind: str, data: dict[str, Any], sid: str | None = BROADCAST) -> None:
        """Send a JSON message to one session, or to all."""
        self._put(sid, encode(kind, data))

    def publish_preview(self, image: bytes, *, image_format: int, metadata: dict[str, Any], sid: str | None) -> None:
        """A preview picture: with its metadata where that was negotiated (type 4), else without (type 1)."""
        if self.wants_metadata(sid):
            head = json.dumps(metadata).encode()
            self._put(sid, struct.pack(">II", PREVIEW_IMAGE_WITH_METADATA, len(head)) + head + image)
        else:
            self._put(sid, struct.pack(">II", PREVIEW_IMAGE, image_format) + image)

    def publish_raw(self, frame: Frame, sid: str | None) -> None:
        """Any frame, for faults."""
        self._put(sid, frame)

    def _put(self, sid: str | None, frame: Frame) -> None:
        self._soon(self._outbox.put_nowait, (sid, frame))

    def _soon(self, call: Callable[..., None], *arguments: Any) -> None:
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:  # the loop is closed: the worker outlived its server for a moment
            return

    async def _publish_forever(self) -> None:
        while True:
            sid, frame = await self._outbox.get()
            for socket in self._hearers(sid):
                if socket not in self._muted:
                    await _send(socket, frame)

    def _hearers(self, sid: str | None) -> list[web.WebSocketResponse]:
        if sid is None:
            return list(self._by_id.values())
        return [self._by_id[sid]] if sid in self._by_id else []

    async def handle(
        self, request: web.Request, *, queue_remaining: Callable[[], int], active_node: Callable[[str], str | None]
    ) -> web.WebSocketResponse:
        """One client, until it leaves."""
        socket = web.WebSocketResponse(max_msg_size=MAX_INCOMING_BYTES)
        await socket.prepare(request)
        sid = request.query.get("clientId") or uuid.uuid4().hex
        self._by_id[sid] = socket
        self._flags.pop(sid, None)
        self._transports[socket] = cast("asyncio.Transport", request.transport)
        try:
            status = {"status": {"exec_info": {"queue_remaining": queue_remaining()}}, "sid": sid}
            await _send(socket, encode("status", status))
            if (node := active_node(sid)) is not None:
                await _send(socket, encode("executing", {"node": node}))
            await self._listen(socket, sid)
        finally:
            self._by_id.pop(sid, None)  # by id, whoever's socket that is by now
            self._flags.pop(sid, None)
            self._transports.pop(socket, None)
            self._muted.discard(socket)
        return socket

    async def _listen(self, socket: web.WebSocketResponse, sid: str) -> None:
        is_first = True
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            try:
                body = json.loads(message.data)
                kind, data = body.get("type"), body.get("data", {})
            except (ValueError, AttributeError):
                continue
            if is_first and kind == "feature_flags" and self._has_feature_flags:
                self._flags[sid] = data if isinstance(data, dict) else {}
                await _send(socket, encode("feature_flags", SERVER_FLAGS))
            is_first = False


def encode(kind: str, data: dict[str, Any]) -> str:
    """The frame of a JSON message."""
    return json.dumps({"type": kind, "data": data})


async def _send(socket: web.WebSocketResponse, frame: Frame) -> None:
    try:
        if isinstance(frame, bytes):
            await socket.send_bytes(frame)
        else:
            await socket.send_str(frame)
    except (ConnectionError, RuntimeError):
        pass  # it left; its handler cleans up
