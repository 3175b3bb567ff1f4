"""Large, half-sent and badly ended bodies: they cost nearly nothing, and everybody else is served."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import httpx
import pytest

from tests.security.conftest import Api, MakeKey
from tests.support.observing import unharmed
from tests.support.processes import Standalone
from tests.support.waiting import patient

MB = 1024 * 1024
HEAD = "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=XX\r\n{length}\r\n\r\n"
PART = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'


def zeros(megabytes: int) -> Iterator[bytes]:
    yield PART
    for _ in range(megabytes):
        yield bytes(MB)
    yield b"\r\n--XX--\r\n"


def posted(server: Standalone, path: str, *, megabytes: int, length: str) -> bytes:
    """The beginning of the answer, however much of the body was taken; empty when the connection was reset."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=patient(20))
    with closing(client), suppress(ConnectionResetError):
        client.sendall(HEAD.format(path=path, length=length).encode())
        with suppress(BrokenPipeError, ConnectionResetError):
            for chunk in zeros(megabytes):
                client.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk) if "chunked" in length else chunk)
        return client.recv(4096)
    return b""


@pytest.mark.parametrize("path", ["/api/v2/assets", "/accounts/login/", "/healthz", "/nowhere"])
@pytest.mark.parametrize("length", ["Content-Length: 419430400", "Transfer-Encoding: chunked"])
def test_much_from_anybody_costs_nothing(running_server: Standalone, path: str, length: str) -> None:
    with unharmed(running_server, megabytes=40):
        answers: list[bytes] = []
        attack = lambda: answers.append(posted(running_server, path, megabytes=100, length=length))  # noqa: E731
        threads = [threading.Thread(target=attack) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {answer[9:12] for answer in answers if answer} <= {b"413", b"401"}
    assert any(answers)


def test_a_legal_upload_does_not_hold_up_others(running_server: Standalone, api: Api, make_key: MakeKey) -> None:
    client = api(make_key())
    file = bytes(4 * MB)
    with unharmed(running_server, megabytes=80):
        for number in range(4):
            response = client.post("assets", files={"file": ("a.bin", file + bytes([number]))})
            assert response.status_code == 201


def test_a_refused_upload_is_answered_in_the_apis_shape(api: Api, make_key: MakeKey) -> None:
    stranger = api().post("assets", files={"file": ("a.bin", bytes(4 * MB))})
    assert (stranger.status_code, stranger.json()["error"]["code"]) == (401, "unauthorized")
    user = api(make_key()).post("assets", files={"file": ("a.bin", bytes(8 * MB))})
    assert (user.status_code, user.json()["error"]["code"]) == (413, "too_large")
    assert "6 MB" in user.json()["error"]["message"]


def test_half_sent_requests_hold_up_nobody(running_server: Standalone, api: Api) -> None:
    """Two hundred connections that announce a body and send a part of it, or do not end their head."""
    heads: list[Callable[[int], bytes]] = [
        lambda _: HEAD.format(path="/api/v2/assets", length="Content-Length: 200000").encode() + PART,
        lambda _: HEAD.format(path="/accounts/login/", length="Transfer-Encoding: chunked").encode() + b"1\r\nx\r\n",
        lambda _: b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: 1",
    ]
    clients = [socket.create_connection(("127.0.0.1", running_server.port), patient(10)) for _ in range(201)]
    try:
        with unharmed(running_server, megabytes=40):
            for number, client in enumerate(clients):
                client.sendall(heads[number % 3](number))
            assert api().get("me").status_code == 401
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_form_that_is_cut_off_makes_no_job(api: Api, make_key: MakeKey, is_chunked: bool) -> None:
    client = api(make_key())
    body = b'--XX\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na blue tea'
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    content = iter([body]) if is_chunked else body
    response = client.post("templates/text-to-image/jobs", content=content, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")
    assert client.get("jobs").json()["jobs"] == []


def test_a_chunked_form_runs_with_its_own_inputs(api: Api, make_key: MakeKey) -> None:
    client = api(make_key())
    form = httpx.Request("POST", "http://x/", files={"prompt": (None, "a blue teapot")})
    content = form.read()
    response = client.post(
        "templates/text-to-image/jobs", content=iter([content[:40], content[40:]]),
        headers={"Content-Type": form.headers["Content-Type"]},
    )  # fmt: skip
    assert response.status_code == 201
    assert response.json()["inputs"]["prompt"] == "a blue teapot"
