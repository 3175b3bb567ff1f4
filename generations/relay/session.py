"""An agent's dealings with its server: the row, the ways to it, and what is known of it and of its prompts."""

from __future__ import annotations

import queue
import threading
import uuid

from django.utils import timezone

from generations.comfy.client import ComfyClient
from generations.comfy.listener import Event, Listener
from generations.models import ComfyServer, Generation
from generations.models.generation import GenerationQuerySet
from generations.relay import apply
from generations.relay.broadcast import Broadcast
from generations.relay.connection import Connection
from generations.relay.frames import Frames
from generations.relay.health import Health
from generations.relay.prompts import Prompt, Prompts
from generations.relay.timing import Timers
from generations.relay.upstream import Upstream


class Session:
    """The parts of an agent share it. Other threads than the acting one may replace `server`, put something into the
    `inbox`, set `stopping`, and use what has locks of its own: `broadcast`, `frames` and `health`.
    """

    def __init__(self, server: ComfyServer, *, token: int) -> None:
        self.server = server
        self.token = token
        self.stopping = threading.Event()
        self.inbox: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self.timers = Timers()
        self.connection = Connection()
        self.prompts = Prompts()
        self.broadcast = Broadcast()
        self.frames = Frames()
        self.health = Health()
        self.client = ComfyClient(server.url, headers=server.headers)
        self.upstream = Upstream(self.client)
        # A fresh id for every agent: the old one's socket may linger in the server and take ours with it.
        self.listener = Listener(server.url, uuid.uuid4().hex, headers=server.headers, fresh_client_id=True)

    def wake(self) -> None:
        """There may be work or a wish to cancel: the acting thread looks now. From any thread."""
        self.inbox.put(None)

    def reconnect(self, reason: str) -> None:
        """Another socket, and no new work until it is there: this one would not hear what becomes of it."""
        self.listener.reconnect(reason)
        self.timers.pause_claims()

    def rows(self) -> GenerationQuerySet:
        """What the server has, as far as the database knows, loaded with what applying an end reads."""
        rows = Generation.objects.upstream_on(self.server.pk).select_related("version__template", "server")
        return rows.defer("server__object_info")  # megabytes

    def hears(self, prompt_id: str) -> bool:
        """True when the present socket hears of this prompt."""
        return self.prompts.is_heard(prompt_id, self.connection.client_id)

    def saw_online(self) -> None:
        """The server answers, and is not stuck."""
        ComfyServer.objects.saw_online(
            self.server.pk, version=self.upstream.version, is_simulator=self.upstream.is_simulator
        )

    # ------------------------------------------------------------------------------------ prompts
    def track(self, generation: Generation, *, client_id: str) -> None:
        """The server has it from now on. `client_id`: of the socket that hears it, "" if none does."""
        started_at = generation.started_at
        self.prompts.add(
            str(generation.prompt_id),
            Prompt(generation.pk, client_id, float(generation.version.time_limit_seconds)),
            running_seconds=None if started_at is None else (timezone.now() - started_at).total_seconds(),
        )

    def started(self, prompt_id: str) -> None:
        """The server began to execute it. Prompts of others are ignored."""
        if prompt_id in self.prompts and apply.started(uuid.UUID(prompt_id)):
            self.prompts.started(prompt_id)

    def adopt(self, generation: Generation, actual: uuid.UUID) -> None:
        """The server has it under an id of its own. What it said before we knew is found by reconciling."""
        Generation.objects.adopt_prompt_id(generation.prompt_id, actual=actual)
        self.move(generation, actual)

    def move(self, generation: Generation, actual: uuid.UUID) -> None:
        """What we know of it holds for another prompt_id from now on."""
        former, graph = str(generation.prompt_id), generation.version.graph
        self.prompts.move(former, str(actual))
        self.frames.follow(str(actual), graph)  # before the former is forgotten, which tells where this one belongs
        self.forget(former)
        generation.prompt_id = actual
        self.broadcast.follow(generation, graph)
        self.timers.reconcile = 0.0

    def forget(self, prompt_id: str) -> None:
        """It ended there or was given up. There may be room for another one."""
        self.prompts.forget(prompt_id)
        self.broadcast.forget(prompt_id)
        self.frames.forget(prompt_id)
        self.health.forget(prompt_id)
        self.timers.idle = 0.0
