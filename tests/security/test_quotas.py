"""Somebody who takes more than their part, against a running server: everybody else is served all the same."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.security.conftest import Api, MakeKey, StartServer
from tests.support.observing import unharmed
from tests.support.processes import Cluster, Standalone, running_cluster
from tests.support.receiver import Receiver, receiver
from tests.support.waiting import eventually, patient

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


@pytest.mark.cluster
@pytest.mark.postgres
@pytest.mark.redis
@pytest.mark.xdist_group("cluster")
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


# ---------------------------------------------------------------------------------------------- storage, pages, keys
def head_only(server: Standalone, key: str, length: int) -> bytes:
    """The answer to an upload of which nothing but the head was sent."""
    head = (
        f"POST /api/v2/assets HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {length}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=patient(20)) as connection:
        connection.sendall(head.encode())
        return connection.recv(65536)


def test_what_does_not_fit_is_refused_before_it_is_read(
    running_server: Standalone, make_key: MakeKey, api: Api
) -> None:
    full = make_key(plan={"max_storage_mb": 1})
    client = api(full)
    with unharmed(running_server, megabytes=100):
        kept = client.post("assets", files={"file": ("a.txt", b"x" * 2**20, "text/plain")})
        assert kept.status_code == 201
        for _ in range(20):
            answer = head_only(running_server, full, 4 * 2**20)
            assert answer.startswith(b"HTTP/1.1 403"), answer
            assert b"storage_full" in answer
    refused = client.post("templates/text-to-image/jobs", json={"inputs": {"prompt": "a cat"}})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "storage_full")
    assert client.delete(f"assets/{kept.json()['id']}").status_code == 204
    assert client.post("assets", files={"file": ("a.txt", b"y" * 2**20, "text/plain")}).status_code == 201


def test_files_beyond_the_minute_are_refused_before_they_are_read(
    running_server: Standalone, make_key: MakeKey, api: Api
) -> None:
    key = make_key(plan={"uploads_per_minute": 1})
    assert api(key).post("assets", files={"file": ("a.txt", b"x", "text/plain")}).status_code == 201
    with unharmed(running_server, megabytes=100):
        for _ in range(20):
            answer = head_only(running_server, key, 4 * 2**20)
            assert answer.startswith(b"HTTP/1.1 429"), answer
            assert b"retry-after" in answer.lower()


def test_a_flood_of_pages_or_of_wrong_keys_is_refused_by_address(start_server: StartServer) -> None:
    server = start_server(ANONYMOUS_PAGES_PER_MINUTE="20")
    right = {"Authorization": f"Bearer {server.make_key('innocent@example.com')}"}
    with httpx.Client(base_url=server.url, timeout=patient(30)) as client, unharmed(server, megabytes=100):
        assert client.get("/api/v2/me", headers=right).status_code == 200
        for number in range(500):
            page = client.get("/accounts/login/", headers={"X-Forwarded-For": f"198.51.100.{number % 250}"})
            if page.status_code == 429:
                break
        assert page.status_code == 429
        assert int(page.headers["Retry-After"]) > 0
        for number in range(1000):
            answer = client.get("/api/v2/me", headers={"Authorization": f"Bearer csk_{number}_wrong"})
            if answer.status_code == 429:
                break
        assert answer.status_code == 429
        assert client.get("/api/v2/me", headers=right).status_code == 200
        for path in ("/healthz", "/readyz", "/static/css/site.css"):
            assert client.get(path).status_code == 200


def test_refused_addresses_tell_nothing_of_the_network(make_key: MakeKey, api: Api) -> None:
    client = api(make_key())
    sentences = set()
    for url in ("https://localhost/a.png", "https://nowhere.invalid/a.png", "https://127.1/a.png"):
        answer = client.post("templates/image-to-image/jobs", json={"inputs": {"image": url}})
        assert answer.status_code == 422
        sentences |= set(answer.json()["error"]["details"]["fields"]["image"])
    (sentence,) = sentences
    assert "could not be reached" in sentence
    assert "127." not in sentence
