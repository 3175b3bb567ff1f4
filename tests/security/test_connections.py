"""Clients that open connections and then do not read, or open very many: memory stays bounded, others are served."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing, suppress

import pytest
import websocket

from tests.security.conftest import Api, MakeKey
from tests.support.observing import unharmed
from tests.support.processes import Standalone
from tests.support.waiting import eventually, patient

MB = 1024 * 1024


def sockets_of(server: Standalone, key: str, stack: ExitStack) -> websocket.WebSocket:
    """One more websocket with this key."""
    url = f"ws://127.0.0.1:{server.port}/ws/generations/"
    client = websocket.create_connection(url, header=[f"Authorization: Bearer {key}"], timeout=patient(10))
    stack.callback(client.shutdown)
    return client


def test_downloads_that_nobody_reads_are_not_buffered(running_server: Standalone, api: Api, make_key: MakeKey) -> None:
    key = make_key()
    asset = api(key).post("assets", files={"file": ("a.bin", bytes(4 * MB))}).json()
    request = (
        f"GET /api/v2/assets/{asset['id']}/content HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n"
    )
    with ExitStack() as stack, unharmed(running_server, megabytes=40):
        for _ in range(30):
            client = stack.enter_context(closing(socket.socket()))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(patient(20))
            client.connect(("127.0.0.1", running_server.port))
            client.sendall(request.encode())
            assert client.recv(12) == b"HTTP/1.1 200"
        assert api(key).get("me").status_code == 200


def test_a_user_has_as_many_websockets_as_the_plan_says(running_server: Standalone, make_key: MakeKey) -> None:
    key = make_key(plan={"max_sockets": 3})
    with ExitStack() as stack:
        for _ in range(3):
            sockets_of(running_server, key, stack)
        refused = sockets_of(running_server, key, stack)
        opcode, data = refused.recv_data()
        assert opcode == websocket.ABNF.OPCODE_CLOSE
        assert int.from_bytes(data[:2], "big") == 4429
        sockets_of(running_server, make_key(), stack).settimeout(0.2)

    def is_free_again() -> bool:
        with ExitStack() as stack:
            client = sockets_of(running_server, key, stack)
            client.settimeout(0.2)
            try:
                return client.recv_data()[0] != websocket.ABNF.OPCODE_CLOSE
            except websocket.WebSocketTimeoutException:
                return True  # open, and nothing to say

    eventually(is_free_again, what="places that closed sockets gave back")


@pytest.mark.parametrize("secret", ["", "csk_0123456789ab_wrong"])
def test_sockets_without_a_user_do_not_stay(running_server: Standalone, secret: str) -> None:
    with ExitStack() as stack:
        if secret:
            client = sockets_of(running_server, secret, stack)
        else:
            url = f"ws://127.0.0.1:{running_server.port}/ws/generations/"
            client = websocket.create_connection(url, origin=running_server.url, timeout=patient(10))
            stack.callback(client.shutdown)
        opcode, data = client.recv_data()
        assert (opcode, int.from_bytes(data[:2], "big")) == (websocket.ABNF.OPCODE_CLOSE, 4401)


def test_what_a_websocket_sends_is_not_kept(running_server: Standalone, make_key: MakeKey) -> None:
    with ExitStack() as stack, unharmed(running_server, megabytes=40):
        client = sockets_of(running_server, make_key(), stack)
        with suppress(OSError, websocket.WebSocketException):
            for _ in range(100):
                client.send("x" * (1000 * 1000))
