"""Two servers: how often two jobs share one while the other is idle, and how often models are loaded anew.

Jobs cost no processor time. A model counts as loaded anew when a server's job names another one than its job before.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack

import httpx
import psycopg

from tests.benchmarks.common import Result, add_user, cluster, graph
from tests.support.processes import Cluster, add_server
from tests.support.simulator import simulator_process
from tests.support.waiting import eventually

JOB_SECONDS, TRIES, ALTERNATING = 0.3, 36, 24
SMALL = {"JOB_SECONDS": 0.1, "TRIES": 1, "ALTERNATING": 2}
MODELS = ("v1-5-pruned-emaonly-fp16.safetensors", "dreamshaper_8.safetensors")
MAY_SEND = "from accounts.models import User; User.objects.update(is_superuser=True)"
NEWEST = """
SELECT s.name, g.model_files->0->>2 FROM generations_generation g JOIN generations_comfyserver s ON s.id = g.server_id
ORDER BY g.submitted_at DESC LIMIT %s
"""


class Fleet:
    """Two simulators and a program that sends whole workflows."""

    def __init__(self, running: Cluster, client: httpx.Client) -> None:
        self._database_url = running.env["DATABASE_URL"]
        self._client = client
        self._seeds = itertools.count(1)

    def run(self, *models: str) -> list[tuple[str, str]]:
        """(server, model) of these jobs, which are sent one right after the other, once all have ended."""
        jobs = []
        for model in models:
            workflow = graph(next(self._seeds))
            workflow["4"]["inputs"]["ckpt_name"] = model
            jobs.append(self._client.post("jobs", json={"workflow": workflow}).raise_for_status().json()["id"])
        eventually(lambda: all(self._has_ended(job) for job in jobs), seconds=120, what="the end of the jobs")
        with psycopg.connect(self._database_url) as database:
            return [(str(server), str(model)) for server, model in database.execute(NEWEST, (len(jobs),)).fetchall()]

    def _has_ended(self, job: str) -> bool:
        return str(self._client.get(f"jobs/{job}").raise_for_status().json()["status"]) in {"succeeded", "failed"}


def loads(ran: list[tuple[str, str]]) -> int:
    """How often a server was given another model than before; the first one counts."""
    loaded: dict[str, str] = {}
    number = 0
    for server, model in ran:
        number += loaded.get(server) != model
        loaded[server] = model
    return number


def measure() -> list[Result]:
    """All numbers."""
    options = ["--step-seconds", "0", "--preview-method", "none", "--job-seconds", str(JOB_SECONDS)]
    with ExitStack() as stack:
        urls = [stack.enter_context(simulator_process(*options))[0] for _ in range(2)]
        running = stack.enter_context(cluster())
        for number, url in enumerate(urls):
            add_server(running.env["DATABASE_URL"], f"server {number}", url)
        headers = {"Authorization": f"Bearer {add_user(running, 'bench@example.com')}"}
        running.manage("shell", "--verbosity", "0", "-c", MAY_SEND)
        running.start("relay").said("Working for server 1")
        running.start("worker")
        client = httpx.Client(base_url=f"{running.url}/api/v2/", headers=headers, timeout=60)
        fleet = Fleet(running, stack.enter_context(client))
        fleet.run(MODELS[0], MODELS[0])
        shared = sum(len({server for server, _model in fleet.run(MODELS[0], MODELS[0])}) == 1 for _ in range(TRIES))
        ran = [fleet.run(MODELS[number % 2])[0] for number in range(ALTERNATING)]
    return [
        Result("fleet_pairs", TRIES, ""),
        Result("fleet_pairs_on_one_server", shared, ""),
        Result("fleet_alternating_jobs", ALTERNATING, ""),
        Result("fleet_models_loaded", loads(ran), ""),
    ]
