"""Websockets. They authenticate, join groups, send the state, forward events, and know nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache

from accounts import current, impersonation
from accounts.access import SLOT_SECONDS, Access, key_for_reading, take_slot
from accounts.addresses import address_of_scope
from accounts.models import SuspendedError
from accounts.rates import RateLimitedError
from generations.live import events, snapshot
from generations.live.outgoing import Outgoing
from generations.live.publisher import channel_layer
from generations.models import Generation, Status

if TYPE_CHECKING:
    from accounts.models import User, Workspace
    from generations.models.generation import GenerationQuerySet

AUTHORISE_SECONDS = 30.0
QUEUE_POLL_SECONDS = 2.0
ACTIVE_AT_MOST = 50
CLOSE_UNAUTHENTICATED = 4401
CLOSE_NOT_FOUND = 4404
CLOSE_TOO_MANY = 4429
CONNECTION = "comfysaas.connection"  # of the web server, in the scope's extensions
_REPLACED = {"progress", "preview"}  # whose newest is enough for a client that does not keep up


class _EventConsumer(AsyncJsonWebsocketConsumer):
    """What both sockets share: access is checked when they connect and every AUTHORISE_SECONDS."""

    user: User

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one socket: what the client does, and beside that what is sent to its groups.

        Two loops, where channels has one that waits for a client before it takes the next event: meanwhile events
        would pile up in the channel layer, which on Redis has no limit.
        """
        self.scope, self.base_send = scope, send
        self.channel_layer = channel_layer()
        self.channel_name = await self.channel_layer.new_channel()
        connection = scope.get("extensions", {}).get(CONNECTION)
        self.outgoing = Outgoing(self.send, connection)
        tasks = [asyncio.create_task(self._serve(receive)), asyncio.create_task(self._hear())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self.outgoing.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, receive: Any) -> None:
        with contextlib.suppress(StopConsumer):
            while True:
                await self.dispatch(await receive())

    async def _hear(self) -> None:
        while True:
            await self.dispatch(await self.channel_layer.receive(self.channel_name))

    async def connect(self) -> None:
        """Accept, then close with a code that tells a browser why; a refused handshake would not.

        4401: not signed in. 4404: no such generation. 4408, later on: the client reads too slowly. 4429: the plan
        allows no more sockets at a time.
        """
        self._guard: asyncio.Task[None] | None = None
        self._joined: list[str] = []
        self._slot: str | None = None
        await self.accept()
        user = self.scope.get("user")
        if user is None or not user.is_authenticated or not user.is_active or user.is_suspended:
            await self.close(CLOSE_UNAUTHENTICATED)
            return
        self.user = cast("User", user)
        by_key = cast("Access | None", self.scope.get("access"))
        self.access = by_key or Access(self.user.pk, session_key=self.scope["session"].session_key)
        if by_key is None and not await self._is_impersonation_valid():
            await self.close(CLOSE_UNAUTHENTICATED)
            return
        self._slot = await self._take_slot()
        if self._slot is None:
            await self.close(CLOSE_TOO_MANY)
            return
        await self.enter()

    async def enter(self) -> None:
        """Join the group, then send the state: in this order, so that nothing falls between the two."""
        raise NotImplementedError

    async def join(self, workspace_id: int | None, *joined: str) -> None:
        """Hear this workspace and these groups from now on, as long as the user is a member of it. What is heard waits
        for `outgoing.release`.
        """
        self.access = replace(self.access, workspace_id=workspace_id)
        self.outgoing.hold()
        for group in (events.user_group(self.user.pk), events.workspace_group(workspace_id), *joined):
            self._joined.append(group)
            await self.channel_layer.group_add(group, self.channel_name)
        self._guard = asyncio.create_task(self._stay_authorised())

    async def disconnect(self, code: int) -> None:
        """Leave the groups and free the slot."""
        if self._guard is not None:
            self._guard.cancel()
        for group in self._joined:
            await self.channel_layer.group_discard(group, self.channel_name)
        if self._slot is not None:
            await cache.adelete(self._slot)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        """Clients send nothing: ignore it."""

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Events go straight through: channels would look after database connections, in a thread, for each."""
        if message["type"] == "generation.events":
            for event in message["events"]:
                await self.forward(event)
        else:
            await super().dispatch(message)

    async def forward(self, event: dict[str, Any]) -> None:
        """Send it to the client."""
        kind = event["type"]
        replaces = (kind, event["prompt_id"]) if kind in _REPLACED else None
        await self.outgoing.put(json.dumps(event), replaces=replaces)

    async def access_changed(self, message: dict[str, Any]) -> None:
        """The user's keys or sessions changed: close the socket if its own is no longer valid."""
        await self._check_access()

    async def _stay_authorised(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(AUTHORISE_SECONDS)
                if not await self._check_access():
                    return
                await cache.aset(self._slot, True, SLOT_SECONDS)

    @database_sync_to_async
    def _take_slot(self) -> str | None:
        self._workspace = self.workspace()
        return take_slot("socket", self._workspace, most=self._workspace.limits.max_sockets)

    def rows(self) -> GenerationQuerySet:
        """What the user may follow: of all their workspaces, with a key of the key's alone."""
        rows = Generation.objects.for_member(self.user)
        return rows if self.access.workspace_id is None else rows.filter(workspace=self.access.workspace_id)

    def workspace(self) -> Workspace:
        """The key's, or the one that was chosen in the session."""
        key_workspace = cast("Workspace | None", self.scope.get("workspace"))
        return key_workspace or current.chosen_in(self.scope["session"], self.user).workspace

    @database_sync_to_async
    def _is_impersonation_valid(self) -> bool:
        return impersonation.holds(self.scope["session"])

    async def _check_access(self) -> bool:
        holds: bool = await database_sync_to_async(self.access.holds)()
        if not holds:
            await self.close(CLOSE_UNAUTHENTICATED)
        return holds


class UserConsumer(_EventConsumer):
    """`/ws/generations/`: all generations of the workspace. Starts with a snapshot of each active one."""

    async def enter(self) -> None:
        """Join, then send the snapshots."""
        await self.join(self._workspace.pk)
        for event in await self._snapshots():
            await self.outgoing.first(json.dumps(event))
        self.outgoing.release()

    @database_sync_to_async
    def _snapshots(self) -> list[events.SnapshotEvent]:
        rows = self.rows().in_workspace(self._workspace).active().newest_first().with_details()
        return [snapshot.snapshot_event(row) for row in rows[:ACTIVE_AT_MOST]]


class GenerationConsumer(_EventConsumer):
    """`/ws/generations/<prompt_id>/`: one generation of a workspace, with previews. Closes with 4404 for any other."""

    async def enter(self) -> None:
        """Join and send the snapshot; while it is queued, send each change of its place."""
        self._ticker: asyncio.Task[None] | None = None
        self.prompt_id: uuid.UUID = self.scope["url_route"]["kwargs"]["prompt_id"]
        found = await self._mine().values_list("workspace").afirst()
        if found is None:
            await self.close(CLOSE_NOT_FOUND)
            return
        await self.join(found[0], events.preview_group(self.prompt_id))
        first = await self._snapshot()
        if first is None:
            await self.close(CLOSE_NOT_FOUND)
            return
        await self.outgoing.first(json.dumps(first))
        self.outgoing.release()
        self._ticker = asyncio.create_task(self._tick(first["generation"]))

    async def forward(self, event: dict[str, Any]) -> None:
        """Only what concerns this generation."""
        if event["prompt_id"] == str(self.prompt_id):
            await super().forward(event)

    async def disconnect(self, code: int) -> None:
        """Leave, and stop ticking."""
        ticker = getattr(self, "_ticker", None)
        if ticker is not None:
            ticker.cancel()
        await super().disconnect(code)

    async def _tick(self, sent: events.State) -> None:
        """Keep previews coming while somebody looks, and the place in the queue up to date."""
        last = (sent["status"], sent["queue_position"], sent["message"])
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await cache.aset(events.watched_cache_key(self.prompt_id), True, events.WATCHED_SECONDS)
                event = await self._status()
                if event is None or event["is_terminal"]:
                    return
                place = (event["status"], event["queue_position"], event["message"])
                if place != last:
                    await self.forward(cast("dict[str, Any]", event))
                last = place
                is_waiting = event["status"] in {Status.QUEUED, Status.SUBMITTED}
                await asyncio.sleep(QUEUE_POLL_SECONDS if is_waiting else events.WATCHED_SECONDS / 4)

    def _mine(self) -> GenerationQuerySet:
        return self.rows().filter(pk=self.prompt_id)

    @database_sync_to_async
    def _status(self) -> events.StatusEvent | None:
        row = self._mine().select_related("version__template").first()
        return snapshot.status_event(row, snapshot.progress(row)) if row else None

    @database_sync_to_async
    def _snapshot(self) -> events.SnapshotEvent | None:
        row = self._mine().with_details().first()
        return snapshot.snapshot_event(row) if row else None


class KeyAuthentication:
    """ASGI: sockets of programs, which send their API key in the handshake's Authorization header.

    A browser's page cannot send that header, so its origin does not matter. With a wrong key, a session does not help.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        """Put the key's user into the scope; for a wrong key, an anonymous one."""
        key = None
        with contextlib.suppress(RateLimitedError, SuspendedError):
            key = await database_sync_to_async(key_for_reading)(authorization_of(scope), address_of_scope(scope))
        about: dict[str, Any] = {"user": AnonymousUser()}
        if key is not None:
            workspace = await database_sync_to_async(current.workspace_of_key)(key)
            about = {"user": key.user, "workspace": workspace, "access": Access.by_key(key)}
        return await self._application({**scope, **about}, receive, send)


class ByCredentials:
    """ASGI: connections with an Authorization header go to `programs`, all others to `browsers`."""

    def __init__(self, *, programs: Any, browsers: Any) -> None:
        self._programs = programs
        self._browsers = browsers

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        application = self._programs if authorization_of(scope) else self._browsers
        return await application(scope, receive, send)


def authorization_of(scope: dict[str, Any]) -> str:
    """The header's value; empty when there is none."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"), "")
