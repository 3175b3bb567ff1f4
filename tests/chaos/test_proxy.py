"""The proxy that chaos pulls its plugs with."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.processes import free_port
from tests.support.proxy import Proxy
from tests.support.waiting import patient

SHORT_SECONDS, LONG_SECONDS = 0.2, patient(5.0)


def _echo(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(1024):
                connection.sendall(data)
        except OSError:
            return


def _serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(connection,), daemon=True).start()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """In front of a server that says everything back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener,), daemon=True).start()
        with Proxy(listener.getsockname()[1]) as made:
            yield made
        listener.shutdown(socket.SHUT_RDWR)


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=LONG_SECONDS)


def is_over(client: socket.socket) -> bool:
    try:
        return client.recv(10) == b""
    except ConnectionError:
        return True


def test_who_says_the_last_word_still_hears_the_answer(proxy: Proxy) -> None:
    with connect(proxy) as client:
        client.sendall(b"bye")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(10) == b"bye"
        assert is_over(client)


def test_who_comes_during_a_stall_is_served_after_it(proxy: Proxy) -> None:
    proxy.set("stall")
    with connect(proxy) as client:
        client.sendall(b"hello")
        client.settimeout(SHORT_SECONDS)
        with pytest.raises(TimeoutError):
            client.recv(10)
        proxy.set("pass")
        client.settimeout(LONG_SECONDS)
        assert client.recv(10) == b"hello"


def test_a_stalled_connection_can_be_cut(proxy: Proxy) -> None:
    with connect(proxy) as client:
        client.sendall(b"one")
        assert client.recv(10) == b"one"
        proxy.set("stall")
        client.sendall(b"two")
        proxy.cut()
        assert is_over(client)


def test_refusing_ends_what_is_open_and_passing_lets_new_ones_in(proxy: Proxy) -> None:
    with connect(proxy) as before:
        before.sendall(b"one")
        assert before.recv(10) == b"one"
        proxy.set("refuse")
        assert is_over(before)
    proxy.set("pass")
    with connect(proxy) as after:
        after.sendall(b"two")
        assert after.recv(10) == b"two"


def test_one_connection_ends_alone(proxy: Proxy) -> None:
    with connect(proxy) as stays:
        with connect(proxy) as leaves:
            leaves.sendall(b"one")
            assert leaves.recv(10) == b"one"
        stays.sendall(b"two")
        assert stays.recv(10) == b"two"


def test_a_server_that_is_down_looks_like_one() -> None:
    with Proxy(free_port()) as proxy, connect(proxy) as client:
        assert is_over(client)
