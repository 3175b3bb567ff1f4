"""The API: shapes, who may call what, and what bad input gets."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey
from generations.models import Generation, Status
from tests.support.factories import make_asset, make_generation, make_output, make_template

pytestmark = pytest.mark.django_db
JOB_KEYS = {
    "id", "status", "created_at", "started_at", "completed_at", "expires_at", "queue_position", "progress", "outputs",
    "error", "urls",
}  # fmt: skip
OUTPUT_KEYS = {"node_id", "name", "type", "content_type", "size_bytes", "id", "hash", "url", "url_expires_at"}
ASSET_KEYS = {"id", "hash", "size_bytes", "content_type", "created_at", "url", "url_expires_at"}


class Api:
    """A client with a key."""

    def __init__(self, user: Any) -> None:
        self.key, self.secret = ApiKey.objects.issue(user=user, name="test")
        self.client = Client(headers={"Authorization": f"Bearer {self.secret}"})

    def get(self, path: str, **options: Any) -> Any:
        return self.client.get(f"/api/v2/{path}", **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return self.client.post(f"/api/v2/{path}", json.dumps(body or {}), content_type="application/json", **options)


@pytest.fixture
def api(owner: Any) -> Api:
    return Api(owner)


def code(response: Any) -> str:
    assert set(response.json()) == {"error"}
    return str(response.json()["error"]["code"])


CALLS = [
    ("GET", "templates"),
    ("GET", "templates/text-to-image"),
    ("POST", "templates/text-to-image/jobs"),
    ("GET", "jobs/{job}"),
    ("GET", "jobs/{job}/events"),
    ("POST", "jobs/{job}/cancel"),
    ("GET", "jobs/{job}/outputs/1/content"),
    ("GET", "assets/{asset}"),
    ("GET", "assets/{asset}/content"),
    ("POST", "assets"),
]


def things(owner: Any) -> dict[str, str]:
    generation = make_generation(owner, template=make_template(), status=Status.SUCCEEDED)
    make_output(generation, position=1, value="words")
    return {"job": str(generation.pk), "asset": str(make_asset(owner).pk)}


def spoil(kind: str, key: ApiKey, secret: str) -> dict[str, str]:
    if kind == "revoked":
        key.revoked_at = timezone.now()
    elif kind == "expired":
        key.expires_at = timezone.now() - timedelta(seconds=1)
    elif kind == "inactive":
        key.user.is_active = False
        key.user.save()
    key.save()
    bad = {"none": "", "wrong": f"Bearer {secret}x", "garbage": "Bearer \x00é", "basic": "Basic YTpi"}
    return {"Authorization": bad.get(kind, f"Bearer {secret}")}


@pytest.mark.parametrize("kind", ["none", "wrong", "garbage", "basic", "revoked", "expired", "inactive"])
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_without_a_usable_key_nothing_is_to_be_had(owner: Any, kind: str, method: str, path: str) -> None:
    key, secret = ApiKey.objects.issue(user=owner, name="test")
    path = path.format(**things(owner))
    response = Client().generic(method, f"/api/v2/{path}", headers=spoil(kind, key, secret))
    assert (response.status_code, code(response)) == (401, "unauthorized")
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_every_operation_of_the_document_is_in_the_list_above(api: Api) -> None:
    document = Client().get("/api/v2/openapi.json").json()
    documented = {
        (method.upper(), re.sub(r"\{id\}|\{slug\}|\{position\}", "*", path.removeprefix("/api/v2/")))
        for path, item in document["paths"].items()
        for method in item
    }
    listed = {(method, re.sub(r"\{\w+\}|text-to-image|(?<=outputs/)1", "*", path)) for method, path in CALLS}
    assert documented == listed


@pytest.mark.parametrize(("method", "path"), [call for call in CALLS if "{" in call[1]])
@pytest.mark.parametrize("who", ["stranger", "staff"])
def test_what_is_somebody_elses_does_not_exist(
    owner: Any, who: str, method: str, path: str, request: pytest.FixtureRequest
) -> None:
    path = path.format(**things(owner))
    response = Api(request.getfixturevalue(who)).client.generic(method, f"/api/v2/{path}")
    assert (response.status_code, code(response)) == (404, "not_found")


@pytest.mark.parametrize("path", ["jobs/{id}", "assets/{id}", "templates/{id}", "no/such/thing"])
@pytest.mark.parametrize("id", [str(uuid.UUID(int=7)), "nonsense", "..%2f..", "0"])
def test_what_is_not_there_is_a_404_in_the_envelope(api: Api, path: str, id: str) -> None:
    response = api.get(path.format(id=id))
    assert (response.status_code, code(response)) == (404, "not_found")


def test_templates_are_listed_as_far_as_they_are_visible(api: Api) -> None:
    make_template("one")
    make_template("two", position=5)
    make_template("draft", publish=False)
    make_template("closed", visibility="groups")
    listed = api.get("templates").json()
    assert [each["slug"] for each in listed["data"]] == ["one", "two"]
    first = api.get("templates?limit=1").json()
    second = api.get(f"templates?limit=1&cursor={first['next_cursor']}").json()
    assert [first["data"][0]["slug"], second["data"][0]["slug"], second["next_cursor"]] == ["one", "two", None]
    assert api.get("templates/closed").status_code == api.get("templates/draft").status_code == 404
    assert (api.get("templates?limit=0").status_code, code(api.get("templates?limit=0"))) == (422, "invalid_request")


def test_a_template_tells_what_it_wants_and_hides_where_it_goes(api: Api) -> None:
    make_template()
    body = api.get("templates/text-to-image").json()
    assert body["inputs_schema"]["properties"]["steps"]["maximum"] == 50
    assert "node_id" not in json.dumps(body)
    assert "KSampler" not in json.dumps(body)


def test_a_job_is_made_and_its_shape_is_the_contracts(api: Api, owner: Any) -> None:
    make_template()
    response = api.post("templates/text-to-image/jobs", {"inputs": {"prompt": "a fox", "seed": 2**64 - 1}})
    assert response.status_code == 201
    job = response.json()
    assert set(job) >= JOB_KEYS
    assert (job["status"], job["queue_position"], job["outputs"], job["error"]) == ("queued", 1, [], None)
    assert response["Location"] == job["urls"]["self"]
    assert job["inputs"]["seed"] == str(2**64 - 1)
    assert Generation.objects.get(pk=job["id"]).user == owner
    assert api.client.get(job["urls"]["self"]).json() == job
    assert api.client.get(job["urls"]["events"]).status_code == 501


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"prompt": "x", "steps": 0}, "steps"),
        ({"prompt": "x", "steps": "many"}, "steps"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": "x", "seed": 2**64}, "seed"),
        ({"prompt": "x", "model": "evil"}, "model"),
    ],
)
def test_wrong_inputs_are_named(api: Api, inputs: dict[str, Any], field: str) -> None:
    make_template()
    response = api.post("templates/text-to-image/jobs", {"inputs": inputs})
    assert (response.status_code, code(response)) == (422, "invalid_inputs")
    assert list(response.json()["error"]["details"]["fields"]) == [field]
    assert not Generation.objects.exists()


@pytest.mark.parametrize("body", ["not json", "[]", '{"inputs": []}', '{"extra": 1}', '"text"'])
def test_a_malformed_request_is_a_4xx_in_the_envelope(api: Api, body: str) -> None:
    make_template()
    response = api.client.post("/api/v2/templates/text-to-image/jobs", body, content_type="application/json")
    assert response.status_code in {400, 422}
    assert code(response) == "invalid_request"


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("queued", "queued"),
        ("storing", "running"),
        ("succeeded", "succeeded"),
        ("failed", "failed"),
        ("canceled", "canceled"),
    ],
)
def test_states_are_told_in_the_contracts_words(api: Api, owner: Any, status: str, shown: str) -> None:
    generation = make_generation(owner, status=status, error_detail={"traceback": ["/srv/x"]})
    response = api.get(f"jobs/{generation.pk}")
    assert response.json()["status"] == shown
    assert "/srv/x" not in response.content.decode()


def test_outputs_carry_links_that_work_with_the_key(api: Api, owner: Any) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED)
    picture = make_output(generation)
    make_output(generation, position=1, value="größe", key="text")
    make_output(generation, position=2, value={"a": 1}, key="data", kind="data")
    outputs = api.get(f"jobs/{generation.pk}").json()["outputs"]
    assert all(set(each) >= OUTPUT_KEYS for each in outputs)
    assert [each["type"] for each in outputs] == ["image", "text", "file"]
    assert outputs[0]["id"] == str(picture.asset_id)
    assert api.client.get(outputs[1]["url"]).content.decode() == "größe"
    assert api.client.get(outputs[2]["url"]).json() == {"a": 1}
    assert outputs[1]["size_bytes"] == len("größe".encode())


def test_an_upload_is_described_and_can_be_fetched(api: Api, owner: Any) -> None:
    asset = make_asset(owner)
    with_file = SimpleUploadedFile("a.png", asset_bytes(asset), "image/png")
    response = api.client.post("/api/v2/assets", {"file": with_file})
    assert response.status_code == 201
    assert set(response.json()) >= ASSET_KEYS
    assert response.json()["hash"] == asset.hash
    text = api.client.post("/api/v2/assets", {"file": SimpleUploadedFile("a.png", b"text", "image/png")})
    assert (text.status_code, code(text)) == (422, "invalid_upload")
    assert api.client.post("/api/v2/assets", {}).status_code == 422


def asset_bytes(asset: Any) -> bytes:
    from generations import storage

    with storage.open_key(asset.key) as file:
        return bytes(file.read())


def test_cancel_is_final_while_queued_and_harmless_afterwards(api: Api, owner: Any) -> None:
    generation = make_generation(owner)
    for _ in range(2):
        assert api.post(f"jobs/{generation.pk}/cancel").json()["status"] == "canceled"


def test_a_session_works_too_but_unsafe_calls_need_the_csrf_token(
    owner: Any, client_for: Callable[[Any], Client]
) -> None:
    generation = make_generation(owner)
    signed_in = client_for(owner)
    assert signed_in.get(f"/api/v2/jobs/{generation.pk}").status_code == 200
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = signed_in.cookies
    response = strict.post(f"/api/v2/jobs/{generation.pk}/cancel")
    assert (response.status_code, code(response)) == (403, "forbidden")
    generation.refresh_from_db()
    assert generation.status == Status.QUEUED


def test_the_use_of_a_key_is_noted(api: Api) -> None:
    api.get("templates")
    api.key.refresh_from_db()
    assert api.key.last_used_at is not None
    assert api.secret not in json.dumps(list(ApiKey.objects.values()), default=str)


def test_the_documentation_loads_nothing_from_elsewhere_and_runs_no_inline_script(client: Client) -> None:
    response = client.get("/api/docs")
    page = response.content.decode()
    assert response.status_code == 200
    assert not re.search(r"(src|href)=\"(https?:)?//", page)
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert "script-src 'self'" in response["Content-Security-Policy"]
