"""What may be sent is decided before it is read: by path and length, then by who sends it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.testing import ApplicationCommunicator
from django.conf import settings
from django.test import Client

from accounts.models import ApiKey
from comfysaas.asgi import application
from comfysaas.bodies import ANONYMOUS_BYTES, FORM_OVERHEAD_BYTES, limit_of
from tests.support.factories import make_server, make_template, make_user
from tests.support.waiting import patient

pytestmark = pytest.mark.django_db(transaction=True)
MB = 1024 * 1024
FORM = "multipart/form-data; boundary=XX"


class Sender:
    """One request, sent in pieces; counts those that were taken. Whoever wants more than there are waits for ever."""

    def __init__(
        self, path: str, *, pieces: list[bytes], has_end: bool = True, method: str = "POST", **headers: str
    ) -> None:
        self.taken = 0
        self._pieces, self._has_end = pieces, has_end
        pairs = {"host": "127.0.0.1", **{name.replace("_", "-"): value for name, value in headers.items()}}
        self.scope = {
            "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path,
            "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": ["127.0.0.1", 1],
            "server": ["127.0.0.1", 80], "headers": [(n.encode(), v.encode()) for n, v in pairs.items()],
        }  # fmt: skip

    async def _receive(self) -> dict[str, Any]:
        if self.taken == len(self._pieces):
            await asyncio.Event().wait()  # the client waits for its answer
        self.taken += 1
        return {
            "type": "http.request",
            "body": self._pieces[self.taken - 1],
            "more_body": self.taken < len(self._pieces) or not self._has_end,
        }

    async def answer(self) -> tuple[int, bytes]:
        """Status and body."""
        messages: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        await asyncio.wait_for(application(self.scope, self._receive, send), patient(20))
        body = b"".join(each.get("body", b"") for each in messages[1:])
        return messages[0]["status"], body


@database_sync_to_async
def key_of(email: str) -> str:
    return "Bearer " + ApiKey.objects.issue(user=make_user(email), name="test")[1]


@database_sync_to_async
def cookie_of(email: str) -> str:
    client = Client()
    client.force_login(make_user(email), backend="allauth.account.auth_backends.AuthenticationBackend")
    name = settings.SESSION_COOKIE_NAME
    return f"{name}={client.cookies[name].value}"


def code_of(body: bytes) -> str:
    return str(json.loads(body)["error"]["code"])


def form(**fields: str) -> bytes:
    parts = "".join(
        f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    )
    return f"{parts}--XX--\r\n".encode()


@pytest.mark.parametrize(
    ("path", "is_multipart", "files"),
    [
        ("/api/v2/assets", True, 1),
        ("/api/v2/templates", True, 1),
        ("/open/", True, 1),
        ("/api/v2/templates/text-to-image/jobs", True, 4),
        ("/templates/text-to-image/", True, 4),
        ("/admin/generations/workflowtemplate/import/", True, 4),
        ("/accounts/login/", True, 0),
        ("/nowhere", True, 0),
        ("/api/v2/assets", False, 0),
        ("/api/v2/assets/../jobs", True, 0),
    ],
)
def test_files_may_be_sent_where_files_are_taken(path: str, is_multipart: bool, files: int) -> None:
    limit = limit_of(path, is_multipart=is_multipart)
    if files:
        assert limit == files * settings.MAX_UPLOAD_BYTES + FORM_OVERHEAD_BYTES
    else:
        assert limit <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE


@pytest.mark.parametrize("path", ["/api/v2/assets", "/open/", "/nowhere", "/healthz"])
async def test_an_announced_size_beyond_the_limit_is_refused_before_a_byte_is_read(path: str) -> None:
    sender = Sender(path, pieces=[b"x"], content_type=FORM, content_length=str(400 * MB))
    status, body = await sender.answer()
    assert status == 413
    assert sender.taken <= 1  # whoever waits for the client to leave gets one message
    assert b"51 MB" in body or b"2 MB" in body


@pytest.mark.parametrize("path", ["/api/v2/jobs", "/api/v2/templates/text-to-image/jobs"])
async def test_json_that_is_too_large_for_its_files_says_how_to_send_them(path: str) -> None:
    sender = Sender(path, pieces=[b"{"], content_type="application/json", content_length=str(11 * MB))
    status, body = await sender.answer()
    assert (status, code_of(body)) == (413, "too_large")
    assert "10 MB" in body.decode()
    assert "as a form" in body.decode()


async def test_a_stranger_may_not_send_much() -> None:
    sender = Sender("/api/v2/assets", pieces=[b"x"], content_type=FORM, content_length=str(5 * MB))
    status, body = await sender.answer()
    assert (status, code_of(body)) == (401, "unauthorized")
    assert sender.taken <= 1
    wrong = Sender(
        "/api/v2/assets", pieces=[b"x"], content_type=FORM, content_length=str(5 * MB), authorization="Bearer csk_x_y",
        cookie=await cookie_of("session@example.com"),
    )  # fmt: skip
    assert (await wrong.answer())[0] == 401  # a wrong key is not made good by a session
    assert wrong.taken <= 1


async def test_a_stranger_gets_a_page_where_pages_are() -> None:
    sender = Sender("/open/", pieces=[b"x"], content_type=FORM, content_length=str(5 * MB))
    status, body = await sender.answer()
    assert status == 401
    assert "Sign in" in body.decode()
    assert "<h1>" in body.decode()


async def test_without_an_announced_size_the_bytes_are_counted_as_they_come() -> None:
    pieces = [b"x" * 65536] * (ANONYMOUS_BYTES // 65536 + 1)
    stranger = Sender("/api/v2/assets", pieces=pieces, has_end=False, content_type=FORM, transfer_encoding="chunked")
    status, body = await stranger.answer()
    assert (status, code_of(body)) == (401, "unauthorized")
    key = await key_of("counted@example.com")
    known = Sender(
        "/api/v2/jobs", pieces=[b"x" * MB] * 11, has_end=False, content_type="application/json",
        transfer_encoding="chunked", authorization=key,
    )  # fmt: skip
    status, body = await known.answer()
    assert (status, code_of(body)) == (413, "too_large")


async def test_users_may_send_as_much_as_the_address_takes() -> None:
    body = form(file="x" * MB)
    for about in (
        {"authorization": await key_of("key@example.com")},
        {"cookie": await cookie_of("browser@example.com")},
    ):
        sender = Sender(
            "/api/v2/assets", pieces=[body], content_type=FORM, content_length=str(len(body)), origin="null", **about
        )
        status, answer = await sender.answer()
        assert sender.taken == 1
        assert code_of(answer) in {"forbidden", "invalid_request"}, status  # read, and judged by the operation


async def test_a_chunked_form_keeps_its_fields() -> None:
    key = await key_of("chunked@example.com")
    await database_sync_to_async(make_server)()
    await database_sync_to_async(make_template)("teapot")
    body = form(prompt="a blue teapot")
    sender = Sender(
        "/api/v2/templates/teapot/jobs", pieces=[body[:20], body[20:]], content_type=FORM, transfer_encoding="chunked",
        authorization=key,
    )  # fmt: skip
    status, answer = await sender.answer()
    assert status == 201
    assert json.loads(answer)["inputs"]["prompt"] == "a blue teapot"


@pytest.mark.parametrize("kept", [0, 30, 75, -6])
async def test_a_form_that_is_cut_off_is_refused(kept: int) -> None:
    key = await key_of("cut@example.com")
    await database_sync_to_async(make_template)("teapot")
    body = form(prompt="a blue teapot")[:kept]
    sender = Sender(
        "/api/v2/templates/teapot/jobs", pieces=[body], content_type=FORM, content_length=str(len(body)),
        authorization=key,
    )  # fmt: skip
    status, answer = await sender.answer()
    assert (status, code_of(answer)) == (400, "invalid_request")
    assert "cut off" in answer.decode()


async def test_a_body_whose_client_leaves_reaches_no_view() -> None:
    communicator = ApplicationCommunicator(
        application,
        Sender("/api/v2/jobs", pieces=[], content_type="application/json", content_length="100").scope,
    )
    await communicator.send_input({"type": "http.request", "body": b"{", "more_body": True})
    await communicator.send_input({"type": "http.disconnect"})
    await communicator.wait(patient(10))
    assert await communicator.receive_nothing()


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data; boundary*=utf-8''%e2%82%ac", "text/plain; charset*=zzz''x"]
)
async def test_a_content_type_that_cannot_be_read_is_a_400(content_type: str) -> None:
    for method in ("GET", "POST"):
        sender = Sender("/api/v2/jobs", method=method, pieces=[b"x"], content_type=content_type, content_length="1")
        status, body = await sender.answer()
        assert (status, code_of(body)) == (400, "invalid_request")
