"""What the measurements share: the workflow, a plain script as the yardstick, and servers to measure."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from generations.comfy.client import ComfyClient
from generations.comfy.listener import Connected, Listener
from generations.comfy.messages import Executing
from generations.comfy.outputs import collect
from tests.support.processes import ROOT, Cluster, running_cluster

INPUTS = {"prompt": "a fox", "width": 64, "height": 64, "steps": 1, "count": 1}
MAKE_USERS = """
from accounts.models import ApiKey, Plan, User
plan, _ = Plan.objects.get_or_create(name="bench", defaults={{
    "max_queued": 1000000, "max_concurrent": 100, "requests_per_minute": 0, "max_streams": 1000}})
for email in {emails!r}:
    user = User.objects.create_user(email, None, plan=plan)
    print(ApiKey.objects.issue(user=user, name="bench")[1])
"""
MAKE_SESSION = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from accounts.current import IN_SESSION
from accounts.models import User, Workspace
for user in User.objects.filter(email__in={emails!r}).order_by("pk"):
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "allauth.account.auth_backends.AuthenticationBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    for team in Workspace.objects.for_member(user).filter(person=None)[:1]:
        session[IN_SESSION] = str(team.public_id)
    session.create()
    print(session.session_key)
"""


class Result(NamedTuple):
    """One number of the report."""

    name: str
    value: float
    unit: str


def milliseconds(name: str, seconds: float) -> Result:
    """A time for the report."""
    return Result(name, round(seconds * 1000, 2), "ms")


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of them lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def median(values: list[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def graph(seed: int) -> dict[str, Any]:
    """The starter's graph with the inputs that all measurements use."""
    package = json.loads((ROOT / "generations" / "studio" / "starters" / "text-to-image.json").read_text())
    made: dict[str, Any] = package["graph"]
    made["3"]["inputs"] |= {"seed": seed, "steps": INPUTS["steps"]}
    made["5"]["inputs"] |= {"width": INPUTS["width"], "height": INPUTS["height"], "batch_size": 1}
    made["6"]["inputs"]["text"] = INPUTS["prompt"]
    return made


def plain_script(url: str, runs: int) -> list[float]:
    """Seconds each: websocket, POST /prompt, wait, GET /history, GET /view. What a developer writes first."""
    seconds: list[float] = []
    client_id = uuid.uuid4().hex
    with ComfyClient(url) as client:
        listener = Listener(url, client_id)
        events = iter(listener)
        while not isinstance(next(events), Connected):
            pass
        for seed in range(runs):
            begin = time.perf_counter()
            prompt_id = str(uuid.uuid4())
            client.submit(graph(seed), client_id=client_id, prompt_id=prompt_id)
            for event in events:
                if isinstance(event, Executing) and event.is_end and event.prompt_id == prompt_id:
                    break
            entry = client.history(prompt_id)
            assert entry is not None
            for item in collect(entry.outputs):
                assert item.file is not None
                with client.view(item.file) as stream:
                    assert sum(len(chunk) for chunk in stream.iter_bytes(2**20)) > 0
            seconds.append(time.perf_counter() - begin)
        listener.stop()
    return seconds


def servers() -> tuple[str, str]:
    """Addresses of PostgreSQL and Redis. SystemExit when they are not given."""
    found = os.environ.get("DATABASE_URL", ""), os.environ.get("REDIS_URL", "")
    if not all(found):
        msg = "DATABASE_URL and REDIS_URL must name a PostgreSQL and a Redis server"
        raise SystemExit(msg)
    return found


@contextmanager
def cluster(ports: Mapping[str, int] | None = None) -> Iterator[Cluster]:
    """Web, on PostgreSQL and Redis, with results in a folder; relay and worker are started by the measurement.

    `ports`: see `Cluster`.
    """
    template = os.environ.get("BENCH_TEMPLATE", "")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_cluster(*servers(), folder=Path(folder), template=template, ports=ports) as running,
    ):
        yield running


def add_users(running: Cluster, emails: list[str]) -> list[str]:
    """Their API keys; the plan has no limits to speak of."""
    return running.manage("shell", "--verbosity", "0", "-c", MAKE_USERS.format(emails=emails)).split()


def add_user(running: Cluster, email: str) -> str:
    """Just one."""
    return add_users(running, [email])[0]


def sessions(running: Cluster, emails: list[str]) -> list[str]:
    """Session keys of these users, at work in their team if they have one."""
    return running.manage("shell", "--verbosity", "0", "-c", MAKE_SESSION.format(emails=emails)).split()
