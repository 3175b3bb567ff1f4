"""Measurements that need the product's own functions: run inside `manage.py shell` of a cluster by `fairness`."""

from __future__ import annotations

import json
import statistics
import sys
import time
import uuid

from django.utils import timezone

from accounts.models import Plan, User
from generations.lifecycle import services
from generations.models import ComfyServer, Generation, Status, TemplateVersion
from generations.scheduling import queue
from generations.scheduling.claims import Memory, claim
from tests.support.factories import own
from tests.support.simulator import usual_catalog

MEMORY = Memory()
INPUTS = {"prompt": "a fox", "width": 64, "height": 64, "steps": 1, "count": 1}


def person(name: str) -> User:
    """With room for everything."""
    plan, _ = Plan.objects.get_or_create(name="bench", defaults={"max_queued": 1_000_000, "max_concurrent": 8})
    user, _ = User.objects.get_or_create(email=f"{name}@example.com", defaults={"plan": plan})
    return User.objects.select_related("plan").get(pk=user.pk)


def fill(user: User, version: TemplateVersion, number: int) -> None:
    """So many more that wait, as `services.submit` would leave them."""
    rows = (
        Generation(pk=(pk := uuid.uuid4()), prompt_id=pk, user=user, version=version, inputs=INPUTS)
        for _ in range(number)
    )
    Generation.objects.bulk_create(rows, batch_size=5000)
    queue.admit(own(user))


def finish(generation: Generation) -> None:
    """As relay and worker do, as far as the queue is concerned."""
    Generation.objects.filter(pk=generation.pk).update(status=Status.SUCCEEDED, finished_at=timezone.now())
    queue.admit(own(generation.user))


def claim_seconds(server: ComfyServer, claims: int) -> float:
    """Median of many claims."""
    seconds = []
    for _ in range(claims):
        begin = time.perf_counter()
        generation = claim(server, MEMORY, token=1)
        seconds.append(time.perf_counter() - begin)
        assert generation is not None
        finish(generation)
    return statistics.median(seconds)


def claims_before(server: ComfyServer, wanted: uuid.UUID) -> int:
    """How many others start before that one does, one after the other."""
    for number in range(100_000):
        generation = claim(server, MEMORY, token=1)
        assert generation is not None
        if generation.pk == wanted:
            return number
        finish(generation)
    raise AssertionError


def main(*, claims: int, crowd: int, few: int, flood: int, many: int) -> None:
    """Prints the numbers as JSON. The crowd has `few` and later `many` more waiting each; one has a whole flood."""
    server = ComfyServer.objects.create(name="bench", url="http://127.0.0.1:1", lease_token=1, state="online")
    ComfyServer.objects.saw_nodes(server.pk, object_info=json.loads(usual_catalog()))
    version = TemplateVersion.objects.select_related("template").get(template__slug="text-to-image")
    people = [person(f"crowd{number}") for number in range(crowd)]
    for user in people:
        fill(user, version, few)
    quick = claim_seconds(server, claims)
    flooder = person("flooder")
    fill(flooder, version, flood)
    for _ in range(min(20, flood // 2)):  # it is in full swing
        generation = claim(server, MEMORY, token=1)
        assert generation is not None
        finish(generation)
    Generation.objects.filter(user__in=people, status=Status.QUEUED).delete()
    running = claim(server, MEMORY, token=1)
    assert running is not None
    other = services.submit(user=person("other"), version=version, inputs=INPUTS)
    finish(running)
    before = claims_before(server, other.pk)
    for user in people:
        fill(user, version, many)
    waiting = Generation.objects.filter(status=Status.QUEUED).count()
    slow = claim_seconds(server, claims)
    sys.stdout.write(json.dumps({"few": quick, "many": slow, "before": before, "waiting": waiting}) + "\n")
