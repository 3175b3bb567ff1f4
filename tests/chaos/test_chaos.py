"""A short run of `make chaos`."""

from __future__ import annotations

import shutil
import socket
import threading

import pytest

from tests.chaos.__main__ import run
from tests.chaos.monkey import FAULTS
from tests.support.proxy import Proxy

pytestmark = pytest.mark.xdist_group("cluster")


@pytest.mark.cluster
@pytest.mark.postgres
@pytest.mark.redis
@pytest.mark.s3
@pytest.mark.timeout(240)
def test_nothing_is_lost_whatever_breaks(postgres_url: str) -> None:
    assert shutil.which("redis-server"), "redis-server must be on the path"
    quick = [fault.name for fault in FAULTS if not fault.is_slow]
    verdict = run(postgres_url=postgres_url, seed=3, generations=60, users=5, seconds=25, only=quick, simulators=2)
    assert verdict.problems == []
    assert verdict.numbers["acknowledged"] == 60
    assert sum(verdict.numbers["faults"].values()) >= 8


def _echo(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            while data := connection.recv(1024):
                connection.sendall(data)


def test_the_proxy_passes_stalls_refuses_and_cuts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo, args=(listener,), daemon=True).start()
        with (
            Proxy(listener.getsockname()[1]) as proxy,
            socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client,
        ):
            client.sendall(b"one")
            assert client.recv(10) == b"one"
            proxy.set("stall")
            client.settimeout(0.3)
            client.sendall(b"two")
            with pytest.raises(TimeoutError):
                client.recv(10)
            proxy.set("pass")
            client.settimeout(5)
            assert client.recv(10) == b"two"
            proxy.cut()
            assert _is_over(client)
            proxy.set("refuse")
            with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as refused:
                assert _is_over(refused)


def _is_over(client: socket.socket) -> bool:
    try:
        return client.recv(10) == b""
    except ConnectionError:
        return True
