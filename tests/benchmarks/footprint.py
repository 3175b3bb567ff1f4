"""How much memory a cluster has after a thousand jobs: web, relay, and a worker with two slots and the schedule.

Resident memory of these processes and of all their children, added up: pages that two of them share count twice. The
jobs are pictures of the simulator, whose thumbnails worker and web have decoded.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

import httpx
import psycopg

from tests.benchmarks.common import INPUTS, Result, add_user, cluster
from tests.support.observing import descendants, rss_bytes, tree_rss_bytes
from tests.support.processes import Cluster, add_server
from tests.support.simulator import simulator_process
from tests.support.waiting import eventually

MIB = 2**20
JOBS, SERVERS = 1000, 2
SMALL = {"JOBS": 4, "SERVERS": 1}
KINDS = ("web", "relay", "worker")
UNFINISHED = "SELECT count(*) FROM generations_generation WHERE finished_at IS NULL"
FAILED = "SELECT count(*) FROM generations_generation WHERE status <> 'succeeded'"


def measure() -> list[Result]:
    """All numbers."""
    with ExitStack() as stack:
        options = ["--step-seconds", "0", "--preview-method", "none"]
        urls = [stack.enter_context(simulator_process(*options))[0] for _ in range(SERVERS)]
        running = stack.enter_context(cluster())
        for number, url in enumerate(urls):
            add_server(running.env["DATABASE_URL"], f"server {number}", url)
        key = add_user(running, "bench@example.com")
        running.start("relay").said("Working for server")
        running.start("worker")
        _run_all(running, key)
        pids = {kind: running.processes[kind].pid for kind in KINDS}
        for kind, pid in pids.items():
            sizes = ", ".join(f"{rss_bytes(each) / MIB:.0f}" for each in descendants(pid))
            sys.stderr.write(f"  {kind}: {sizes} MiB\n")
        sizes_mib = {kind: tree_rss_bytes(pid) / MIB for kind, pid in pids.items()}
    return [
        *(Result(f"cluster_rss_{kind}_mib", round(size), "MiB") for kind, size in sizes_mib.items()),
        Result("cluster_rss_mib", round(sum(sizes_mib.values())), "MiB"),
    ]


def _run_all(running: Cluster, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"{running.url}/api/v2/", headers=headers, timeout=60) as client:
        for seed in range(JOBS):
            job = {"inputs": {**INPUTS, "seed": seed}}
            client.post("templates/text-to-image/jobs", json=job).raise_for_status()
    with psycopg.connect(running.env["DATABASE_URL"], autocommit=True) as database:
        eventually(lambda: database.execute(UNFINISHED).fetchone() == (0,), seconds=600, what="the end of all jobs")
        assert database.execute(FAILED).fetchone() == (0,)
