"""Shares the ComfyUI servers among relay processes: holds leases, and runs an agent for each server it holds."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import uuid
from concurrent.futures import Future

from django.db import DatabaseError, close_old_connections, connections
from django.db.models import Q

from accounts.models.encrypted import UnreadableError
from generations.database import keep
from generations.live.events import RELAY_GROUP
from generations.live.publisher import channel_layer, sender
from generations.models import ComfyServer, Generation
from generations.models.server import LEASE_SECONDS
from generations.relay.agent import ServerAgent
from generations.relay.finishing import Pool
from generations.scheduling import catalogs

logger = logging.getLogger(__name__)

RENEW_SECONDS = LEASE_SECONDS / 4
JOIN_SECONDS = 5.0
POOL_SECONDS = 1.0


class Supervisor:
    """`run()` until `stop()`. Any number of processes may do so: each server has one agent at a time."""

    def __init__(self) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._stopping = threading.Event()
        self._agents: dict[int, ServerAgent] = {}
        self._pool = Pool()

    def stop(self) -> None:
        """End `run` soon."""
        self._stopping.set()

    def run(self) -> None:
        """Hold leases and agents until stopped; gives the leases back at the end."""
        keep()
        waker = sender.run(self._listen_for_wakes())
        try:
            while not self._stopping.is_set():
                try:
                    self._balance()
                except DatabaseError as error:
                    logger.warning("The database cannot be used; trying again: %s", error)
                finally:
                    close_old_connections()
                self._stopping.wait(RENEW_SECONDS)
        finally:
            self._shut_down(waker)

    def _balance(self) -> None:
        # Those in use, and those that were switched off while they still have something of ours.
        is_wanted = Q(is_enabled=True) | Q(pk__in=Generation.objects.upstream().values("server"))
        wanted = {server.pk: server for server in ComfyServer.objects.filter(is_wanted).defer("object_info")}
        catalogs.noted.saw(wanted.values())
        for server_id, agent in list(self._agents.items()):
            server = wanted.get(server_id)
            if server is None or _differs(server, agent.server) or not agent.is_alive:
                self._end(server_id)
            elif not ComfyServer.objects.renew(server_id, token=agent.token):
                logger.warning("The lease of %s went to another relay", server)
                self._end(server_id)
            else:
                agent.update(server)
        for server_id, server in wanted.items():
            if server_id not in self._agents:
                self._begin(server)

    def _begin(self, server: ComfyServer) -> None:
        try:
            server.headers  # noqa: B018  (whether they can be decrypted)
        except UnreadableError as error:
            ComfyServer.objects.saw_unreachable(server.pk, message=str(error))
            return
        token = ComfyServer.objects.acquire(server.pk, owner=self.owner)
        if token is None:
            return
        logger.info("Working for %s at %s", server, server.url)
        agent = ServerAgent(server, token=token, pool=self._pool)
        self._agents[server.pk] = agent
        agent.start()

    def _end(self, server_id: int) -> None:
        agent = self._agents.pop(server_id)
        agent.stop()
        agent.join(JOIN_SECONDS)
        ComfyServer.objects.release(server_id, token=agent.token)

    def _shut_down(self, waker: Future[None]) -> None:
        waker.cancel()
        for agent in self._agents.values():
            agent.stop()
        for server_id in list(self._agents):
            try:
                self._end(server_id)
            except DatabaseError as error:
                logger.warning("A lease was not given back; it runs out by itself: %s", error)
        self._pool.close(POOL_SECONDS)
        connections.close_all()

    async def _listen_for_wakes(self) -> None:
        """Pass on wake-ups of the channel layer. Losing one costs a second: agents look by themselves."""
        layer = channel_layer()
        while not self._stopping.is_set():
            try:
                channel = await layer.new_channel()
                await layer.group_add(RELAY_GROUP, channel)
                while True:
                    await layer.receive(channel)
                    for agent in list(self._agents.values()):
                        agent.wake()
            except asyncio.CancelledError:
                raise
            except Exception:
                logger.warning("Wake-ups are interrupted; joining again", exc_info=True)
                await asyncio.sleep(1)


def _differs(server: ComfyServer, known: ComfyServer) -> bool:
    first, second = ((each.url, each.auth_header_name, each.auth_header_value) for each in (server, known))
    return first != second
