"""Following a job by server-sent events, without a thread for each stream.

The operation checks everything and leaves a `JobStream` in the ASGI scope. `Streams`, around Django's application,
serves it once Django is done with the request, whose thread and connection are free by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from ninja.errors import HttpError

from accounts.access import SLOT_SECONDS, Access, take_slot, user_of
from accounts.current import workspace_of
from accounts.models import Workspace
from generations import contract
from generations.api.auth import key_of
from generations.live import events
from generations.live.publisher import channel_layer
from generations.models import Generation, Status

SCOPE_KEY = "comfysaas.stream"
HEARTBEAT_SECONDS = 15.0
QUEUE_POLL_SECONDS = 5.0
NEAR_PLACE = 10
PROGRESS_SECONDS = 0.5
PREVIEW_SECONDS = 1.0
LONGEST_SECONDS = 3600.0
RETRY_AFTER_SECONDS = 10


class TooManyStreamsError(Exception):
    """The workspace has as many streams open as its plan allows."""


def stream_job(request: HttpRequest, generation: Generation) -> HttpResponse:
    """The answer that `Streams` goes on with. TooManyStreamsError; HttpError 501 where there is no ASGI server."""
    scope: MutableMapping[str, Any] | None = getattr(request, "scope", None)
    if scope is None:
        raise HttpError(501, "This server cannot stream events. Poll the job instead.")
    user, key = user_of(request), key_of(request)
    workspace = workspace_of(request)
    access = Access.by_key(key) if key else Access(user.pk, None, request.session.session_key, workspace.pk)
    slot = take_slot("stream", workspace, most=workspace.limits.max_streams)
    if slot is None:
        raise TooManyStreamsError
    scope[SCOPE_KEY] = JobStream(generation.pk, workspace, access, slot)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return HttpResponse(content_type="text/event-stream", headers=headers)


class Streams:
    """ASGI: Django, and the streams that it hands over."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Serve one request."""
        held: list[dict[str, Any]] = []

        async def hold(message: dict[str, Any]) -> None:
            if SCOPE_KEY in scope:
                held.append(message)
            else:
                await send(message)

        await self._application(scope, receive, hold)
        if not held:
            return
        if held[0].get("status") == 200:
            await scope[SCOPE_KEY].serve(held[0], receive, send)
        else:
            for message in held:
                await send(message)


@dataclass(slots=True)
class JobStream:
    """One client that follows one job."""

    generation_id: uuid.UUID
    workspace: Workspace
    access: Access
    slot: str
    _send: Any = None
    _sent_outputs: set[uuid.UUID] = field(default_factory=set)
    _sent_status: tuple[object, ...] = ()
    _latest: dict[str, dict[str, Any]] = field(default_factory=dict)  # what its pace, or the client, holds back
    _last_sent: dict[str, float] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _is_moved: bool = False  # the job, or the right to see it, must be read again
    _is_gone: bool = False  # the client

    async def serve(self, start: dict[str, Any], receive: Any, send: Any) -> None:
        """Everything from the response's head to its end. Returns when the job is finished or the client gone."""
        self._send = send
        headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
        await send({**start, "headers": headers})
        layer = channel_layer()
        channel = await layer.new_channel()
        groups = [
            events.user_group(self.access.user_id),
            events.workspace_group(self.workspace.pk),
            events.preview_group(self.generation_id),
        ]
        helpers = [asyncio.create_task(self._until_gone(receive)), asyncio.create_task(self._hear(layer, channel))]
        try:
            for group in groups:  # joined before the first look, so that nothing falls in between
                await layer.group_add(group, channel)
            await self._follow()
            with contextlib.suppress(Exception):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            for group in groups:
                await layer.group_discard(group, channel)
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await _in_thread(cache.delete, self.slot)

    async def _follow(self) -> None:
        begin = time.monotonic()
        look_at, heartbeat_at = begin, begin + HEARTBEAT_SECONDS
        is_first = True
        while time.monotonic() - begin < LONGEST_SECONDS:
            now = time.monotonic()
            await self._flush()
            if now >= look_at:
                pause = await self._look(is_first=is_first)
                if pause is None:
                    return
                look_at, is_first = now + pause, False
            if now >= heartbeat_at:
                heartbeat_at = now + HEARTBEAT_SECONDS
                await self._write(b": still here\n\n")
            await self._wait(min(look_at, heartbeat_at, self._flush_at()) - time.monotonic())
            if self._is_gone:
                return
            if self._is_moved:
                self._is_moved, look_at = False, 0.0

    async def _wait(self, seconds: float) -> None:
        """Until something is new, but no longer."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), max(0.0, seconds))
        self._news.clear()

    async def _hear(self, layer: Any, channel: str) -> None:
        """Take messages as they come, whether or not the client keeps up: only the newest of each kind is kept."""
        while True:
            self._take(await layer.receive(channel))
            self._news.set()

    async def _until_gone(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        self._news.set()

    def _take(self, message: dict[str, Any]) -> None:
        """Keep what is new in a message."""
        if message["type"] == "access.changed":
            self._is_moved = True
        for event in message.get("events", ()):
            if event["prompt_id"] != str(self.generation_id):
                continue
            match event["type"]:
                case "progress":
                    found = contract.progress_of(event["progress"])
                    self._latest["progress"] = found.model_dump(mode="json") if found else {}
                case "preview":
                    self._latest["preview"] = _preview(event)
                case _:
                    self._is_moved = True

    async def _look(self, *, is_first: bool) -> float | None:
        """Send what is new of the job. Seconds until the next look, unless a message comes first; None at the end.

        Messages announce every change but a new place in the queue, which matters less the further back it is.
        """
        job, preview = await _in_thread(self._read, is_first)
        if job is None:
            return None
        is_terminal = job.status in {"succeeded", "failed", "canceled", "expired"}
        if not is_first:
            await self._send_outputs(job)
        status = (job.status, job.queue_position, job.message)
        if status != self._sent_status or is_terminal:
            self._sent_status = status
            await self._event("status", _status(job, is_terminal=is_terminal))
        if is_first and not is_terminal:
            if job.progress:
                await self._event("progress", job.progress.model_dump(mode="json"))
            if preview:
                await self._event("preview", _preview(preview))
            await self._send_outputs(job)
        if is_terminal:
            return None
        is_near = job.queue_position is not None and job.queue_position <= NEAR_PLACE
        return QUEUE_POLL_SECONDS if is_near else HEARTBEAT_SECONDS

    def _read(self, is_first: bool) -> tuple[contract.Job | None, events.PreviewEvent | None]:
        """In a thread: keep the slot, ask for previews, check the right to be here, read the job."""
        if not is_first and not self.access.holds():
            return None, None
        cache.set(self.slot, True, SLOT_SECONDS)
        cache.set(events.watched_cache_key(self.generation_id), True, events.WATCHED_SECONDS)
        rows = Generation.objects.in_workspace(self.workspace).with_details()
        row = rows.filter(pk=self.generation_id).first()
        if row is None:
            return None, None
        wants_preview = is_first and row.status == Status.RUNNING
        preview = cache.get(events.preview_cache_key(self.generation_id)) if wants_preview else None
        return contract.job_of(row, settings.PUBLIC_ORIGIN), preview

    async def _send_outputs(self, job: contract.Job) -> None:
        for output in job.outputs:
            if output.id not in self._sent_outputs:
                self._sent_outputs.add(output.id)
                await self._event("output", output.model_dump(mode="json"))

    async def _flush(self) -> None:
        now = time.monotonic()
        for name in [name for name in self._latest if now >= self._due(name)]:
            self._last_sent[name] = now
            await self._event(name, self._latest.pop(name))

    def _flush_at(self) -> float:
        return min((self._due(name) for name in self._latest), default=float("inf"))

    def _due(self, name: str) -> float:
        return self._last_sent.get(name, 0.0) + (PROGRESS_SECONDS if name == "progress" else PREVIEW_SECONDS)

    async def _event(self, name: str, data: dict[str, Any]) -> None:
        await self._write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())

    async def _write(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": True})


def _status(job: contract.Job, *, is_terminal: bool) -> dict[str, Any]:
    """The last one has the outputs, the error and the warnings."""
    found: dict[str, Any] = {"status": job.status, "queue_position": job.queue_position}
    if job.message:
        found["message"] = job.message
    if is_terminal:
        found |= job.model_dump(mode="json", include={"outputs", "error", "warnings"})
    return found


def _preview(event: Any) -> dict[str, Any]:
    return {
        "node_id": event["node_id"] or "",
        "content_type": event["content_type"],
        "data_base64": event["data_base64"],
    }


async def _in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """In one of a few shared threads: the usual one is a single one for all streams."""
    return await database_sync_to_async(work, thread_sensitive=False)(*arguments)
