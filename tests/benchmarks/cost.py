"""What one text-to-image job costs: trips to PostgreSQL, commits, processor time; beside a plain script's.

Web, relay and worker are processes on PostgreSQL and Redis, with results in a folder; each kind reaches PostgreSQL
through a proxy of its own that counts (`tests/support/statements.py` says what a trip and a commit is). Jobs run one
at a time, and nobody watches them: the measurement reads their state from the database, past the proxies. What the
processes ask and use when there is nothing to do is measured in the same run and taken off.

`python -m tests.benchmarks.cost --trace` prints every statement of one job instead, in order; those that idle processes
send as well are marked with a tilde. `--full` does not shorten them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg

from tests.benchmarks.common import INPUTS, Result, add_user, cluster, median, servers
from tests.support.observing import tree_cpu_seconds
from tests.support.processes import ROOT, Cluster, add_server
from tests.support.simulator import simulator_process
from tests.support.statements import KINDS, Tally, Trip, counted
from tests.support.waiting import eventually

RUNS, WARM_UP, IDLE_SECONDS = 40, 10, 20.0
SETTLE_SECONDS = 0.5  # after a job has ended: what it leaves behind belongs to it
SCRIPT_RUNS, SCRIPT_WARM_UP = 100, 20
SMALL = {"RUNS": 2, "WARM_UP": 1, "IDLE_SECONDS": 0.5, "SETTLE_SECONDS": 0.1, "SCRIPT_RUNS": 2, "SCRIPT_WARM_UP": 1}
WIDTH = 160
SCRIPT = """
import time
from tests.benchmarks.common import plain_script
plain_script({url!r}, {warm_up})
begin = time.process_time()
plain_script({url!r}, {runs})
print((time.process_time() - begin) / {runs})
"""


class Jobs:
    """Runs jobs one by one in a cluster whose statements are counted."""

    def __init__(self, running: Cluster, tally: Tally, client: httpx.Client, database: psycopg.Connection) -> None:
        self.tally = tally
        self._running, self._client, self._database = running, client, database
        self.post_trips: list[int] = []

    def run(self, seed: int) -> None:
        """One from POST to its end."""
        before = len(self.tally.trips)
        answer = self._client.post("templates/text-to-image/jobs", json={"inputs": {**INPUTS, "seed": seed}})
        self.post_trips.append(sum(trip.process == "web" for trip in self.tally.trips[before:]))
        job = answer.raise_for_status().json()["id"]
        eventually(lambda: self._status(job) == "succeeded", seconds=60, what="the job")

    def settle(self) -> None:
        """Wait for what a job leaves behind."""
        time.sleep(SETTLE_SECONDS)

    def cpu_seconds(self) -> float:
        """Of all processes so far."""
        return sum(tree_cpu_seconds(process.pid) for process in self._running.processes.values())

    def _status(self, job: str) -> str:
        row = self._database.execute("SELECT status FROM generations_generation WHERE id = %s", (job,)).fetchone()
        assert row is not None
        return str(row[0])


@contextmanager
def prepared() -> Iterator[tuple[Jobs, str]]:
    """A cluster that has warmed up, and the simulator's address."""
    with (
        simulator_process("--step-seconds", "0", "--preview-method", "none") as (url, _),
        counted(servers()[0]) as (ports, tally),
        cluster(ports) as running,
    ):
        add_server(running.env["DATABASE_URL"], "simulator", url)
        headers = {"Authorization": f"Bearer {add_user(running, 'bench@example.com')}"}
        running.start("relay")
        running.start("worker")
        with (
            httpx.Client(base_url=f"{running.url}/api/v2/", headers=headers, timeout=60) as client,
            psycopg.connect(running.env["DATABASE_URL"], autocommit=True) as database,
        ):
            jobs = Jobs(running, tally, client, database)
            for seed in range(WARM_UP):
                jobs.run(seed)
            jobs.settle()
            yield jobs, url


class Spent:
    """What was spent between two moments: trips, connections, seconds, seconds of CPU."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._trips, self._connected = len(jobs.tally.trips), len(jobs.tally.connected)
        self._begin, self._cpu = time.monotonic(), jobs.cpu_seconds()

    def stop(self) -> None:
        """The second moment."""
        self.trips = self._jobs.tally.trips[self._trips :]
        self.connections = len(self._jobs.tally.connected) - self._connected
        self.seconds = time.monotonic() - self._begin
        self.cpu_seconds = self._jobs.cpu_seconds() - self._cpu

    def of(self, kind: str) -> int:
        """Trips of these processes."""
        return sum(trip.process == kind for trip in self.trips)

    @property
    def commits(self) -> int:
        """Trips that committed."""
        return sum(trip.commits for trip in self.trips)


def idle(jobs: Jobs) -> Spent:
    """While there is nothing to do."""
    spent = Spent(jobs)
    time.sleep(IDLE_SECONDS)
    spent.stop()
    return spent


def busy(jobs: Jobs) -> Spent:
    """While RUNS jobs run, each with what it leaves behind."""
    jobs.post_trips.clear()
    spent = Spent(jobs)
    for seed in range(RUNS):
        jobs.run(10_000 + seed)
        jobs.settle()
    spent.stop()
    return spent


def script_cpu_seconds(url: str) -> float:
    """CPU of a run of the plain script, in a process of its own."""
    code = SCRIPT.format(url=url, runs=SCRIPT_RUNS, warm_up=SCRIPT_WARM_UP)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout)


def measure() -> list[Result]:
    """All numbers."""
    with prepared() as (jobs, url):
        nothing, jobs_done = idle(jobs), busy(jobs)
        script = script_cpu_seconds(url)
    share = jobs_done.seconds / nothing.seconds

    def per_job(spent: float, when_idle: float) -> float:
        return max(0.0, spent - share * when_idle) / RUNS

    cpu = per_job(jobs_done.cpu_seconds, nothing.cpu_seconds)
    return [
        Result("statements_per_job", round(per_job(len(jobs_done.trips), len(nothing.trips)), 1), ""),
        *(
            Result(f"statements_per_job_{kind}", round(per_job(jobs_done.of(kind), nothing.of(kind)), 1), "")
            for kind in KINDS
        ),
        Result("commits_per_job", round(per_job(jobs_done.commits, nothing.commits), 1), ""),
        Result("post_job_statements", median([float(each) for each in jobs.post_trips]), ""),
        Result("connections_per_job", round(per_job(jobs_done.connections, nothing.connections), 1), ""),
        Result("idle_statements_per_second", round(len(nothing.trips) / nothing.seconds, 1), "1/s"),
        Result("cpu_per_job_ms", round(cpu * 1000, 1), "ms"),
        Result("script_cpu_per_run_ms", round(script * 1000, 1), "ms"),
        Result("cpu_ratio_vs_script", round(cpu / script, 1), "x"),
    ]


def trace(width: int) -> None:
    """Prints what one job asks, in order, and the sums."""
    with prepared() as (jobs, _):
        usual = {trip.shape for trip in idle(jobs).trips if "generation" in trip.sql or "server" in trip.sql}
        begin, spent = time.monotonic(), Spent(jobs)
        jobs.run(77)
        jobs.settle()
        spent.stop()
    sys.stdout.write("    ms  process  conn  commit  statement -> what the server did\n")
    for trip in spent.trips:
        sys.stdout.write(f"{(trip.at - begin) * 1000:6.0f}  {line(trip, usual, width)}\n")
    sums = Counter(trip.process for trip in spent.trips) | {"commits": spent.commits}
    sys.stdout.write(f"{json.dumps(sums)}, {spent.connections} new connections\n")


def line(trip: Trip, usual: set[str], width: int) -> str:
    """A row of the trace."""
    sql = " ".join(trip.sql.split()) or "(empty: is the connection alive?)"
    mark = "~" if trip.shape in usual else " "
    shown = sql if len(sql) <= width else f"{sql[: width // 3]} … {sql[-2 * width // 3 :]}"
    done = ", ".join(tag for tag in trip.tags if tag != sql)
    return f"{trip.process:<7} {trip.connection:>5}  {'commit' if trip.commits else '':<6} {mark}{shown} -> {done}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cost", description=__doc__)
    parser.add_argument("--trace", action="store_true", required=True, help="print the statements of one job")
    parser.add_argument("--full", action="store_true", help="do not shorten them")
    trace(10_000_000 if parser.parse_args().full else WIDTH)
