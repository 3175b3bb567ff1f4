"""Small inputs that once cost seconds, gigabytes or an error of ours: parsers take time in proportion to their size."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator

import httpx
import pytest

from tests.security.conftest import Api
from tests.support.bombs import chunk
from tests.support.observing import unharmed
from tests.support.pictures import png as picture
from tests.support.processes import PASSWORD, Standalone
from tests.support.waiting import patient

DIGITS = "9" * 5000
GRAPH = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
    "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
}


@pytest.fixture(scope="module")
def key(running_server: Standalone) -> str:
    """The admin's, for everything that the API has."""
    return running_server.make_key("admin@example.com")


@pytest.fixture(scope="module")
def visitor(running_server: Standalone) -> Iterator[httpx.Client]:
    """A browser that is signed in, and whose forms carry the token."""
    with httpx.Client(base_url=running_server.url, follow_redirects=True, timeout=patient(30)) as client:

        def sign(request: httpx.Request) -> None:
            request.headers["X-CSRFToken"] = client.cookies.get("csrftoken", "")

        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', client.get("/").text)
        assert token
        data = {"login": "admin@example.com", "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
        assert client.post("/accounts/login/", data=data).url.path == "/"
        client.event_hooks["request"].append(sign)
        yield client


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


EMPTY_LISTS = zlib.compress(b"[" + b"[]," * 10_000_000 + b"[]]", 9)
HOSTILE_FILES = {
    "blanks in svg": b"<svg><metadata>" + b" " * 50_000,
    "many svg metadata": b"<svg>" + b"<metadata>" * 400_000,
    "packed text": png(chunk(b"zTXt", b"comfysaas\0\0" + EMPTY_LISTS)),
    "packed workflow": png(chunk(b"zTXt", b"prompt\0\0" + EMPTY_LISTS)),
    "many small texts": png(chunk(b"tEXt", b"comfysaas\0{}") * 150_000),
    "deep json": png(chunk(b"tEXt", b"comfysaas\0" + b"[" * 1_000_000)),
    "long header": struct.pack("<Q", 4_000_000) + b'{"__metadata__":{"a":' + b"[" * 4_000_000,
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_files_to_be_opened_cost_what_their_size_costs(
    name: str, running_server: Standalone, visitor: httpx.Client
) -> None:
    with unharmed(running_server, megabytes=150):
        answer = visitor.post("/open/", files={"file": ("x.svg", HOSTILE_FILES[name])})
    assert answer.status_code == 200
    assert "This file is not one of your results" in answer.text


@pytest.mark.parametrize(
    "body",
    [
        '{"workflow": {"1": {"class_type": "A", "inputs": {"x": 1e400}}}}',
        '{"workflow": {"1": {"class_type": "A", "inputs": {"x": -1e400}}}}',
        f'{{"workflow": {{"1": {{"class_type": "A", "inputs": {{"x": {DIGITS}}}}}}}}}',
        f'{{"workflow": {{}}, "metadata": {{"a": {DIGITS}}}}}',
        '{"workflow": ' + '{"a":' * 2000 + "1" + "}" * 2001,
        '{"workflow": ' + "[" * 200_000,
        "[" + "[]," * 2_000_000 + "[]]",
        '{"workflow": {"1": "\\u0000"}}',
    ],
)
def test_json_that_nobody_can_keep_is_refused(body: str, running_server: Standalone, key: str, api: Api) -> None:
    admin = api(key)
    with unharmed(running_server, megabytes=150):
        answer = admin.post("jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"].startswith("The request's body is not valid JSON: ")


def test_fields_of_a_form_that_are_json_have_the_same_limits(key: str, api: Api) -> None:
    client = api(key)
    slug = client.get("templates").json()["data"][0]["slug"]
    for inputs in ('{"a": 1e400}', f'{{"a": {DIGITS}}}', "[" * 100_000):
        answer = client.post(f"templates/{slug}/jobs", data={"inputs": inputs})
        assert answer.status_code == 400, answer.text
        assert "The field “inputs”" in answer.json()["error"]["message"]


@pytest.mark.parametrize("number", ["1" * 200_000 + "x", "." + "1" * 200_000 + "e", DIGITS, "-" + DIGITS, "1e999"])
def test_texts_where_numbers_belong_are_read_in_linear_time(
    number: str, running_server: Standalone, key: str, api: Api
) -> None:
    client = api(key)
    with unharmed(running_server, megabytes=150):
        answer = client.post("templates/text-to-image/jobs", json={"inputs": {"cfg": number, "steps": number}})
    assert answer.status_code in {409, 422}, answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"jobs?limit={DIGITS}", 422),
        (f"jobs?created_after={DIGITS}", 422),
        ("jobs?created_after=1e400", 422),
        ("jobs?created_after=0001-01-01T00:00:00%2B23:59", 422),
        ("jobs?created_before=9999-12-31T23:59:59-23:59", 422),
        (f"jobs?cursor={DIGITS}", 422),
        ("jobs?cursor=AAAA", 422),
        (f"templates?cursor={DIGITS}", 422),
        (f"templates?limit={DIGITS}", 422),
        (f"jobs/{DIGITS}", 404),
        (f"assets/{DIGITS}", 404),
        (f"servers/{DIGITS}", 404),
        (f"servers/{'9' * 30}", 404),
        (f"webhooks/{DIGITS}", 404),
        (f"usage?days={DIGITS}", 422),
    ],
)
def test_numbers_and_dates_in_addresses_are_bounded(path: str, status: int, key: str, api: Api) -> None:
    answer = api(key).get(path)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("digits", [DIGITS, "1" * 200])
def test_idempotency_keys_of_any_length_are_accepted_or_refused(digits: str, key: str, api: Api) -> None:
    answer = api(key).post(
        "templates/text-to-image/jobs", json={"inputs": {"steps": "no"}}, headers={"Idempotency-Key": digits}
    )
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize(
    ("span", "status"),
    [(f"bytes=0-{DIGITS}", 200), (f"bytes=-{DIGITS}", 200), (f"bytes={DIGITS}-", 416), (f"bytes=1-{DIGITS}", 206)],
)
def test_ranges_of_any_length_are_honoured(span: str, status: int, key: str, api: Api) -> None:
    client = api(key)
    made = client.post("assets", files={"file": ("a.png", picture())})
    answer = client.get(f"assets/{made.json()['id']}/content", headers={"Range": span})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("path", ["studio/publish/", "studio/restore/", "studio/parameters/0/move/", "publish/"])
def test_numbers_in_forms_of_the_studio_are_bounded(path: str, visitor: httpx.Client) -> None:
    listed = visitor.get("/admin/generations/workflowtemplate/").text
    found = re.search(r"/workflowtemplate/(\d+)/change/", listed)
    assert found
    data = dict.fromkeys(("revision", "number", "to"), DIGITS)
    answer = visitor.post(f"/admin/generations/workflowtemplate/{found[1]}/{path}", data=data)
    assert answer.status_code < 500, answer.text[:500]
    for odd in (DIGITS, "²", "٣"):
        page = visitor.get(f"/admin/generations/workflowtemplate/{odd}/change/")
        assert page.status_code < 500, page.text[:500]


def test_a_good_workflow_still_runs(key: str, api: Api) -> None:
    admin = api(key)
    assert admin.post("jobs", content=json.dumps({"workflow": GRAPH})).status_code == 201
