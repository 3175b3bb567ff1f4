"""What one text-to-image job asks of PostgreSQL in its whole life, held to a budget for each process.

`python -m tests.benchmarks.cost --trace` shows the statements of a job. What an idle relay asks again and again is
known by its shape and left out, empty claims among it; and of several jobs the one counts that asked least: what
else happens at the time, on a busy machine above all, can only add.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import psycopg
import pytest

from tests.benchmarks.common import add_user
from tests.benchmarks.cost import WIDTH, Jobs, line
from tests.support.processes import add_server, running_cluster
from tests.support.simulator import RunningSimulator
from tests.support.statements import Trip, counted, without
from tests.support.waiting import eventually, patient

pytestmark = [pytest.mark.cluster, pytest.mark.postgres, pytest.mark.redis, pytest.mark.xdist_group("cluster")]
# Lower them when the work gets cheaper; raising one wants a reason. Small results are stored by the relay.
STATEMENTS = {"web": 8, "relay": 4, "worker": 0}
COMMITS = {"web": 1, "relay": 2, "worker": 0}
WARM_UP, JOBS = 3, 6
RENEWALS = 2  # of the relay's lease, until everything that it asks again and again was seen
IDLE_TRIPS = 8  # of the relay: what follows a job came before them


@pytest.fixture(scope="module")
def jobs(postgres_url: str, redis_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """On web, relay and a worker without a schedule: what that starts would come at any time."""
    folder = tmp_path_factory.mktemp("results")
    with (
        RunningSimulator() as simulator,
        counted(postgres_url) as (ports, tally),
        running_cluster(postgres_url, redis_url, folder=folder, ports={**ports, "copier": ports["worker"]}) as running,
        psycopg.connect(running.env["DATABASE_URL"], autocommit=True) as database,
    ):
        add_server(running.env["DATABASE_URL"], "simulator", simulator.url)
        headers = {"Authorization": f"Bearer {add_user(running, 'bench@example.com')}"}
        running.start("relay")
        running.start("copier")
        with httpx.Client(base_url=f"{running.url}/api/v2/", headers=headers, timeout=patient(20)) as client:
            yield Jobs(running, tally, client, database)


def of(trips: list[Trip], process: str) -> list[Trip]:
    """Those of one kind of process."""
    return [trip for trip in trips if trip.process == process]


def leases(trips: list[Trip]) -> int:
    """How often a relay renewed its lease."""
    return sum("lease_expires_at" in trip.sql and trip.tags == ["UPDATE 1"] for trip in of(trips, "relay"))


def life(jobs: Jobs, usual: set[str], seed: int) -> list[Trip]:
    """What one job asks, until the relay has idled for a while."""
    before = len(jobs.tally.trips)
    jobs.run(seed)
    end = len(jobs.tally.trips)
    eventually(lambda: sum(trip.shape in usual for trip in jobs.tally.trips[end:]) >= IDLE_TRIPS, what="an idle relay")
    trips = jobs.tally.trips[before:]
    return without(of(trips, "relay"), usual) + of(trips, "web") + of(trips, "worker")


@pytest.fixture(scope="module")
def lives(jobs: Jobs) -> list[list[Trip]]:
    """What each of several jobs asked."""
    eventually(lambda: leases(jobs.tally.trips) >= RENEWALS, seconds=60, what="the relay's lease")
    usual = {trip.shape for trip in of(jobs.tally.trips, "relay")}  # there was no job yet
    return [life(jobs, usual, seed) for seed in range(WARM_UP + JOBS)][WARM_UP:]


@pytest.mark.parametrize("process", STATEMENTS)
def test_a_job_keeps_to_the_budget_of_statements(process: str, lives: list[list[Trip]]) -> None:
    least = min((of(trips, process) for trips in lives), key=len)
    assert len(least) <= STATEMENTS[process], listed(least)
    assert least or not STATEMENTS[process]


@pytest.mark.parametrize("process", COMMITS)
def test_a_job_keeps_to_the_budget_of_commits(process: str, lives: list[list[Trip]]) -> None:
    least = min((of(trips, process) for trips in lives), key=commits)
    assert commits(least) <= COMMITS[process], listed(least)
    assert commits(least) or not COMMITS[process]


def commits(trips: list[Trip]) -> int:
    return sum(trip.commits for trip in trips)


def listed(trips: list[Trip]) -> str:
    return "\n".join(line(trip, set(), WIDTH) for trip in trips)
