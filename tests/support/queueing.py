"""Servers at work, people with plans, and what they do to the queue: without a relay, without a worker."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.models import Plan, User
from generations.models import ComfyServer, Generation, Status
from generations.scheduling import claims, queue
from generations.scheduling.claims import Memory
from tests.support.factories import (
    CHECKPOINT,
    make_server,
    make_user,
    own,
    txt2img_graph,
)


def loader(*files: str) -> dict[str, Any]:
    return {"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [list(files)]}}}}


CATALOG = {
    **loader(CHECKPOINT, "other.safetensors"),
    **{node["class_type"]: {} for node in txt2img_graph().values() if node["class_type"] != "CheckpointLoaderSimple"},
}


def at_work(name: str, number: int, **fields: Any) -> ComfyServer:
    """A server that some relay works for."""
    lease = {"lease_token": 1, "lease_expires_at": timezone.now() + timedelta(minutes=1)}
    return make_server(name, f"http://127.0.0.1:{number}", state="online", **lease, **fields)


def person(name: str, **plan: Any) -> User:
    return make_user(f"{name}@example.com", plan=Plan.objects.create(name=name, **plan))


MEMORIES: defaultdict[int, Memory] = defaultdict(Memory)


def claim(server: ComfyServer, memory: Memory | None = None) -> Generation | None:
    """As the server's agent does, which remembers what it saw in former claims."""
    return claims.claim(server, MEMORIES[server.pk] if memory is None else memory, token=1)


def tell(server: ComfyServer, catalog: dict[str, Any]) -> None:
    """It has other nodes and models now."""
    ComfyServer.objects.saw_nodes(server.pk, object_info=catalog)


def finish(generation: Generation) -> None:
    """As relay and worker do, as far as the queue is concerned."""
    Generation.objects.filter(pk=generation.pk).update(status=Status.SUCCEEDED, finished_at=timezone.now())
    queue.admit(own(generation.user))
