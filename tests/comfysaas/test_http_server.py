"""Our protocols under daphne: bodies stream, refusals arrive, and clients that are too slow are cut off."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from urllib.request import Request, urlopen

import pytest
import websocket

from tests.support.processes import Process, free_port
from tests.support.waiting import eventually, patient

SHORT = patient(0.5)
LIMITS = (f"WRITE_SECONDS={SHORT}", f"BODY_SECONDS={SHORT}", "BODY_BYTES_PER_SECOND=1e9", f"HEAD_SECONDS={SHORT}")


def start(port: int, *limits: str) -> Process:
    process = Process("-m", "tests.support.impatient_server", str(port), *limits, env={})
    process.said("ready")
    return process


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server with the product's own deadlines, but that it does not linger."""
    number = free_port()
    process = start(number, "LINGER_SECONDS=1")
    yield number
    process.stop()


@pytest.fixture(scope="module")
def hasty() -> Iterator[int]:
    """A server whose deadlines are short."""
    number = free_port()
    process = start(number, *LIMITS)
    yield number
    process.stop()


def connected(port: int, head: str, *, receive_buffer: int = 0) -> socket.socket:
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(patient(20))
    client.connect(("127.0.0.1", port))
    client.sendall(head.replace("\n", "\r\n").encode())
    return client


def everything(client: socket.socket) -> bytes:
    """What the server says until it ends the connection."""
    found = b""
    with suppress(ConnectionResetError):
        while chunk := client.recv(65536):
            found += chunk
    return found


def state(port: int) -> dict[str, int]:
    with urlopen(f"http://127.0.0.1:{port}/state", timeout=patient(10)) as response:
        found: dict[str, int] = json.load(response)
    return found


def test_a_body_arrives_whole_however_it_is_sent(port: int) -> None:
    body = bytes(range(256)) * 8192
    with urlopen(Request(f"http://127.0.0.1:{port}/read", data=body), timeout=patient(20)) as response:
        assert response.read() == str(len(body)).encode()
    with closing(connected(port, "POST /read HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n")) as client:
        client.sendall(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        assert b"\r\n\r\n11" in client.recv(65536)
        client.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc")
        assert everything(client).endswith(b"\r\n\r\n3")


def test_the_body_is_invited_only_by_whoever_reads_it(port: int) -> None:
    head = "POST {} HTTP/1.1\nHost: x\nContent-Length: 5\nExpect: 100-continue\n\n"
    with closing(connected(port, head.format("/read"))) as client:
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"hello")
        assert client.recv(65536).endswith(b"\r\n\r\n5")
    with closing(connected(port, head.format("/refuse"))) as client:
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_refusal_reaches_a_client_that_goes_on_sending(port: int) -> None:
    with closing(connected(port, "POST /refuse HTTP/1.1\nHost: x\nContent-Length: 4000000\n\n")) as client:
        client.sendall(b"x" * 2_000_000)
        answer = everything(client)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer
    assert answer.endswith(b"too much")


def test_nothing_after_a_refused_body_is_taken_for_a_request(port: int) -> None:
    smuggled = b"GET /state HTTP/1.1\r\nHost: x\r\n\r\n"
    with closing(connected(port, f"POST /refuse HTTP/1.1\nHost: x\nContent-Length: {len(smuggled)}\n\n")) as client:
        client.recv(12)
        with suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(smuggled + smuggled)
        assert everything(client).count(b"HTTP/1.1 ") == 0


def test_an_upgrade_with_a_body_is_refused(port: int) -> None:
    head = "GET / HTTP/1.1\nHost: x\nUpgrade: websocket\nConnection: Upgrade\nContent-Length: 5\n\nhello"
    with closing(connected(port, head)) as client:
        assert everything(client).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("head", ["", "POST /read HT", "POST /read HTTP/1.1\nHost: x\nContent-Le"])
def test_a_head_that_does_not_end_ends_the_connection_whatever_trickles_in(hasty: int, head: str) -> None:
    with closing(connected(hasty, head)) as client:
        client.settimeout(0.05)

        def is_over() -> bool:
            try:
                client.sendall(b"x")
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        eventually(is_over, seconds=30, what="the end of the connection")


def test_a_body_that_trickles_in_is_a_408(hasty: int) -> None:
    with closing(connected(hasty, "POST /read HTTP/1.1\nHost: x\nContent-Length: 1000000\n\n")) as client:
        client.settimeout(0.05)
        found = b""

        def answer() -> bytes:
            nonlocal found
            with suppress(TimeoutError, BrokenPipeError):
                client.sendall(b"x")
                found += client.recv(4096)
            return found

        eventually(lambda: answer().startswith(b"HTTP/1.1 408 "), seconds=30, what="408")


def test_a_download_that_nobody_reads_is_bounded_and_ends(hasty: int) -> None:
    before = state(hasty).get("bytes", 0)
    with closing(connected(hasty, "GET /flood HTTP/1.1\nHost: x\n\n", receive_buffer=4096)):
        eventually(lambda: state(hasty)["floods"] == 1, what="the download's beginning")
        eventually(lambda: state(hasty)["floods"] == 0, seconds=30, what="its end")
    # What the kernel's buffers take, and 64 KiB of ours.
    assert state(hasty)["bytes"] - before < 16 * 1024 * 1024


def test_a_slow_reader_gets_everything(hasty: int) -> None:
    """The deadline is for a client that takes nothing: one that takes a little now and then stays."""
    with closing(connected(hasty, "GET /flood HTTP/1.1\nHost: x\n\n", receive_buffer=4096)) as client:
        got = 0

        def is_read() -> bool:
            nonlocal got
            got += len(client.recv(65536))
            return got > 1_000_000

        eventually(is_read, seconds=60, what="a megabyte")


def test_a_websocket_that_never_reads_ends_although_it_sends(hasty: int) -> None:
    client = websocket.create_connection(f"ws://127.0.0.1:{hasty}/", timeout=patient(20))
    with closing(client):
        eventually(lambda: state(hasty)["floods"] == 1, what="the socket's beginning")

        def is_over() -> bool:
            with suppress(OSError, websocket.WebSocketException):
                client.send("still here")
            return state(hasty)["floods"] == 0

        eventually(is_over, seconds=60, what="its end")


def test_memory_does_not_grow_with_a_body_that_nobody_reads() -> None:
    """The client waits instead: at most UNREAD_BYTES are kept for an application that does not read."""
    number = free_port()
    process = start(number, "LINGER_SECONDS=60")
    try:
        with closing(connected(number, "POST /ignore HTTP/1.1\nHost: x\nContent-Length: 400000000\n\n")) as client:
            client.settimeout(0.5)
            sent = 0
            with suppress(TimeoutError):
                while sent < 100_000_000:
                    sent += client.send(b"x" * 65536)
        assert sent < 32 * 1024 * 1024
    finally:
        process.stop()


def test_a_body_in_thousands_of_pieces_holds_up_nobody(port: int) -> None:
    """Each piece used to be a message of its own: 250 KB took seconds in which nobody else was served."""
    pieces = b"1\r\nx\r\n" * 250_000 + b"0\r\n\r\n"
    head = "POST /read HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nConnection: close\n\n"
    with closing(connected(port, head)) as client:
        client.sendall(pieces)
        assert everything(client).endswith(b"\r\n\r\n250000")
    # One message for each read of at most 64 KiB.
    assert state(port)["messages"] < 100


def test_a_failure_within_a_response_ends_the_connection_and_others_go_on(port: int) -> None:
    for _ in range(3):
        with closing(connected(port, "GET /fail-late HTTP/1.1\nHost: x\n\n")) as client:
            assert b"a part" in everything(client)
        with closing(connected(port, "GET /fail HTTP/1.1\nHost: x\nConnection: close\n\n")) as client:
            assert everything(client).startswith(b"HTTP/1.1 500 ")


def test_head_has_no_body_however_it_is_answered(port: int) -> None:
    heads = "HEAD /read HTTP/1.1\nHost: x\n\nGET /state HTTP/1.1\nHost: x\nConnection: close\n\n"
    with closing(connected(port, heads)) as client:
        first, _, rest = everything(client).partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert rest.startswith(b"HTTP/1.1 200 ")


def test_a_connection_times_out_after_a_body_that_had_to_wait(hasty: int) -> None:
    with closing(connected(hasty, "POST /read HTTP/1.1\nHost: x\nContent-Length: 2000000\n\n")) as client:
        client.sendall(b"x" * 2_000_000)
        assert everything(client).endswith(b"\r\n\r\n2000000")  # then the server ends the idle connection


def test_an_upgrade_that_nobody_knows_is_ignored(port: int) -> None:
    head = "POST /read HTTP/1.1\nHost: x\nUpgrade: h2c\nConnection: Upgrade, close\nContent-Length: 5\n\nhello"
    with closing(connected(port, head)) as client:
        assert b"\r\n\r\n5" in client.recv(65536)


def test_an_old_client_gets_no_interim_answer(port: int) -> None:
    head = "POST /read HTTP/1.0\nHost: x\nContent-Length: 5\nExpect: 100-continue\n\nhello"
    with closing(connected(port, head)) as client:
        assert b"100 Continue" not in everything(client)


@pytest.mark.parametrize(
    "header", [f"Content-Length: {'9' * 5000}", f"Content-Length: {'0' * 30}5", "Sec-WebSocket-Protocol: \u00ff"]
)
def test_headers_that_nobody_can_read_are_a_400(port: int, header: str) -> None:
    with closing(connected(port, f"POST /read HTTP/1.1\nHost: x\n{header}\n\n")) as client:
        assert everything(client).startswith(b"HTTP/1.1 400 ")


def test_nobody_names_the_path_of_the_site_from_outside(port: int) -> None:
    with closing(
        connected(port, "GET /root HTTP/1.1\nHost: x\nDaphne-Root-Path: /evil\nConnection: close\n\n")
    ) as client:
        assert everything(client).endswith(b"\r\n\r\n[]")


def test_a_websocket_that_sends_much_is_cut_off(port: int) -> None:
    client = websocket.create_connection(f"ws://127.0.0.1:{port}/quiet", timeout=patient(20))
    try:
        with pytest.raises((OSError, websocket.WebSocketException)):
            for _ in range(10_000):
                client.sock.sendall(b"\x89\x80\0\0\0\0" * 1000)
    finally:
        client.shutdown()
