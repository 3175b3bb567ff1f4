"""Clients that stop reading, on web processes with Redis: each costs little, is cut off, and finds its way back."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
import websocket

from tests.support.observing import memory_watch
from tests.support.processes import Cluster, add_server, running_cluster
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually, patient

pytestmark = [pytest.mark.cluster, pytest.mark.postgres, pytest.mark.redis, pytest.mark.xdist_group("cluster")]

MIB = 2**20
DEAF = 24
OTHERWISE_MIB = 32  # what the process grows by with the same events and no deaf client at all: 24, say
ROUNDS, EACH, SIZE = 24, 8, 64 * 1024  # 12 MiB for each client, in messages that are never replaced
PREPARE = """
from accounts.models import ApiKey, Plan, User
plan = Plan.objects.create(name="many", max_sockets=100)
user = User.objects.create_user("slow@example.com", "a long password", plan=plan)
print(user.pk, ApiKey.objects.issue(user=user, name="test")[1])
"""
# Statuses, each with a number, and as many previews.
SEND = """
from asgiref.sync import async_to_sync
from generations.live import events
from generations.live.publisher import channel_layer
async def send():
    for number in range({first}, {first} + {each}):
        about = {{"prompt_id": "{job}", "number": number, "data_base64": "x" * {size}}}
        for group, kind in ((events.user_group({user}), "status"), (events.preview_group("{job}"), "preview")):
            message = {{"type": "generation.events", "events": [{{"type": kind, **about}}]}}
            await channel_layer().group_send(group, message)
    await channel_layer().flush()
async_to_sync(send)()
"""


@pytest.fixture(scope="module")
def cluster(postgres_url: str, redis_url: str) -> Iterator[Cluster]:
    """Web without a relay: what is submitted stays queued."""
    with RunningSimulator() as simulator, running_cluster(postgres_url, redis_url) as running:
        add_server(running.env["DATABASE_URL"], "idle", simulator.url)
        yield running


def connect(cluster: Cluster) -> socket.socket:
    """A connection with the smallest of buffers."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(patient(30))
    raw.connect(("127.0.0.1", cluster.port))
    return raw


def open_websocket(cluster: Cluster, path: str, key: str, raw: socket.socket | None = None) -> websocket.WebSocket:
    """Its handshake; `raw` is a connection to use."""
    return websocket.create_connection(
        f"ws://127.0.0.1:{cluster.port}{path}",
        socket=raw,
        header=[f"Authorization: Bearer {key}"],
        timeout=patient(30),
    )


def open_stream(raw: socket.socket, path: str, key: str) -> None:
    """Ask for events, and read the first bytes of the answer."""
    raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    assert raw.recv(12) == b"HTTP/1.1 200"


def received_until_the_end(raw: socket.socket) -> int:
    """How many bytes still come until the server's end of the connection, or its reset."""
    size = 0
    try:
        while data := raw.recv(65536):
            size += len(data)
    except ConnectionResetError:
        pass
    return size


def send(cluster: Cluster, alive: websocket.WebSocket, numbers: range, **about: object) -> None:
    """Have the cluster send so many statuses and previews; whoever reads has got the statuses, in their order."""
    for first in numbers:
        code = SEND.format(**about, first=first * EACH, each=EACH, size=SIZE)
        cluster.manage("shell", "--verbosity", "0", "-c", code)
        heard = [json.loads(alive.recv())["number"] for _ in range(EACH)]
        assert heard == list(range(first * EACH, (first + 1) * EACH))


def test_clients_that_stop_reading_cost_little_and_are_cut_off(cluster: Cluster) -> None:
    user, key = cluster.manage("shell", "--verbosity", "0", "-c", PREPARE).split()
    headers = {"Authorization": f"Bearer {key}"}
    body = {"inputs": {"prompt": "a fox", "width": 64, "height": 64, "steps": 1}}
    answer = httpx.post(f"{cluster.url}/api/v2/templates/text-to-image/jobs", json=body, headers=headers, timeout=60)
    job = answer.raise_for_status().json()["id"]
    paths = ["/ws/generations/", f"/ws/generations/{job}/"]
    web = cluster.processes["web"]
    with ExitStack() as stack:
        alive = open_websocket(cluster, paths[0], key)
        stack.callback(alive.shutdown)
        assert json.loads(alive.recv())["type"] == "snapshot"
        send(cluster, alive, range(4), user=user, job=job)  # what the first events cost is not the deaf ones' fault
        deaf = []
        for number in range(DEAF):
            raw = stack.enter_context(connect(cluster))
            client = open_websocket(cluster, paths[number % 2], key, raw=raw)
            assert json.loads(client.recv())["type"] == "snapshot"
            deaf.append(raw)
        open_stream(stack.enter_context(connect(cluster)), f"/api/v2/jobs/{job}/events", key)
        with memory_watch(web.pid) as memory:
            send(cluster, alive, range(4, 4 + ROUNDS), user=user, job=job)
        assert memory.growth < (DEAF + OTHERWISE_MIB) * MIB, f"{DEAF} deaf clients: {memory.growth / MIB:.1f} MiB"
        eventually(lambda: web.output.count("cut off") >= DEAF, what="the log's lines about deaf clients")
        for raw in deaf:
            assert received_until_the_end(raw) < 2 * MIB
    back = open_websocket(cluster, paths[1], key)
    try:
        snapshot = json.loads(back.recv())
        assert (snapshot["type"], snapshot["generation"]["status"]) == ("snapshot", "queued")
    finally:
        back.shutdown()
