"""How much more 2, 4 and 8 servers get done than one, with jobs of a second each that cost no processor time."""

from __future__ import annotations

import time
from contextlib import ExitStack

import httpx
import psycopg

from tests.benchmarks.common import INPUTS, Result, add_user, cluster
from tests.support.processes import Cluster, add_server
from tests.support.simulator import simulator_process

JOB_SECONDS, JOBS_EACH = 1.0, 12
NUMBERS = (1, 2, 4, 8)
DRAIN_SECONDS = 4.0
SMALL = {"JOB_SECONDS": 0.1, "JOBS_EACH": 1, "NUMBERS": (1, 2), "DRAIN_SECONDS": 0.5}


def measure() -> list[Result]:
    """All numbers."""
    rates: dict[int, float] = {}
    with ExitStack() as stack:
        options = ["--step-seconds", "0", "--preview-method", "none", "--job-seconds", str(JOB_SECONDS)]
        urls = [stack.enter_context(simulator_process(*options))[0] for _ in range(max(NUMBERS))]
        running = stack.enter_context(cluster())
        for number, url in enumerate(urls):
            add_server(running.env["DATABASE_URL"], f"server {number}", url)
        key = add_user(running, "bench@example.com")
        running.start("relay")
        running.start("worker")
        client = stack.enter_context(
            httpx.Client(base_url=f"{running.url}/api/v2/", headers={"Authorization": f"Bearer {key}"}, timeout=60)
        )
        for number in NUMBERS:
            rates[number] = _rate(running, client, number)
    return [
        *(Result(f"scale_{number}_per_second", round(rate, 2), "1/s") for number, rate in rates.items()),
        *(Result(f"scale_{number}_servers", round(rates[number] / rates[1], 2), "x") for number in NUMBERS[1:]),
    ]


def _rate(running: Cluster, client: httpx.Client, number: int) -> float:
    """Executions a second while so many servers are in use; by the relay's clock, from first start to last end."""
    jobs = number * JOBS_EACH
    with psycopg.connect(running.env["DATABASE_URL"], autocommit=True) as database:
        database.execute("UPDATE generations_comfyserver SET is_draining = true")
        time.sleep(DRAIN_SECONDS)
        for seed in range(jobs):
            inputs = {**INPUTS, "seed": number * 1000 + seed}
            client.post("templates/text-to-image/jobs", json={"inputs": inputs}).raise_for_status()
        names = [f"server {each}" for each in range(number)]
        database.execute("UPDATE generations_comfyserver SET is_draining = false WHERE name = ANY(%s)", (names,))
        while database.execute("SELECT count(*) FROM generations_generation WHERE finished_at IS NULL").fetchone() != (
            0,
        ):
            time.sleep(0.5)
        query = (
            "SELECT extract(epoch FROM max(executed_at) - min(started_at)) FROM"
            " (SELECT * FROM generations_generation ORDER BY created_at DESC LIMIT %s) last"
        )
        row = database.execute(query, (jobs,)).fetchone()
    assert row is not None
    return jobs / float(row[0])
