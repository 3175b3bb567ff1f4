"""Somebody who takes more than their part, against a running server: everybody else is served all the same."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.processes import Cluster, running_cluster
from tests.support.receiver import Receiver, receiver
from tests.support.waiting import eventually, patient

pytestmark = [pytest.mark.cluster, pytest.mark.postgres, pytest.mark.redis, pytest.mark.xdist_group("cluster")]
CONNECTIONS = 3
ATTACKERS = 6
EACH = 4  # what a user may fetch at a time
MAKE_KEYS = """
from accounts.models import ApiKey, User
for number in range({}):
    user = User.objects.create_user(f"user{{number}}@example.com", "a long password")
    print(ApiKey.objects.issue(user=user, name="attack")[1])
"""


@pytest.fixture(scope="module")
def cluster(postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(
        postgres_url,
        redis_url,
        folder=tmp_path_factory.mktemp("data"),
        DATABASE_POOL_SIZE=str(CONNECTIONS),
        OUTBOUND_ALLOWED_NETWORKS="127.0.0.0/8",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def people(cluster: Cluster) -> Iterator[list[httpx.Client]]:
    """Programs of different users; the last one is no attacker."""
    keys = cluster.manage("shell", "--verbosity", "0", "-c", MAKE_KEYS.format(ATTACKERS + 1)).split()
    clients = [
        httpx.Client(base_url=cluster.url, headers={"Authorization": f"Bearer {key}"}, timeout=patient(60))
        for key in keys
    ]
    yield clients
    for client in clients:
        client.close()


@pytest.fixture
def slow() -> Iterator[Receiver]:
    """A server that answers nothing until its gate is opened."""
    with receiver() as found:
        found.gate.clear()
        yield found


def fetch(client: httpx.Client, url: str) -> httpx.Response:
    return client.post("/api/v2/templates/image-to-image/jobs", json={"inputs": {"image": url}})


def test_slow_fetches_keep_neither_connections_nor_threads_from_others(
    cluster: Cluster, people: list[httpx.Client], slow: Receiver
) -> None:
    *attackers, innocent = people
    assert ATTACKERS * EACH > 2 * CONNECTIONS
    with ThreadPoolExecutor(ATTACKERS * EACH) as threads:
        waiting = [threads.submit(fetch, client, f"{slow.url}/a.png") for client in attackers for _ in range(EACH)]
        eventually(lambda: len(slow.received) == len(waiting), seconds=60, what="every fetch")
        for path in ("/healthz", "/readyz", "/accounts/login/", "/api/v2/me", "/api/v2/templates"):
            assert innocent.get(path).status_code == 200, path
        uploaded = innocent.post("/api/v2/assets", files={"file": ("a.txt", b"mine", "text/plain")})
        assert uploaded.status_code == 201
        slow.gate.set()
        # What came was no picture; a fetch that waited for longer than it may says so instead.
        assert {each.result().status_code for each in waiting} == {422}
