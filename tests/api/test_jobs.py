"""POST /templates/{slug}/jobs, GET /jobs/{id} and what hangs below it."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts.models import Plan
from generations.live import events
from generations.models import Generation, Status
from tests.api.envelope import error_of
from tests.support.factories import make_asset, make_generation, make_output, make_server, make_template, parameter

# What the Comfy API v2 demands of these shapes, and what this API adds.
JOB_KEYS = {
    "id", "status", "created_at", "started_at", "completed_at", "expires_at", "queue_position", "progress", "outputs",
    "error", "urls",
} | {
    "created_by",
    "message", "warnings", "metrics", "template", "template_version", "inputs", "resolved_inputs", "metadata",
}  # fmt: skip
OUTPUT_KEYS = {
    "node_id", "name", "type", "content_type", "size_bytes", "id", "hash", "url", "url_expires_at",
} | {"job_id", "width", "height"}  # fmt: skip
OUTPUT_TYPES = {"image", "video", "audio", "text", "file", "latent"}
NEVER = "9999-12-31T23:59:59Z"
RUN = "/api/v2/templates/text-to-image/jobs"


def post(client: Client, inputs: object, path: str = RUN) -> Any:
    return client.post(path, {"inputs": inputs}, content_type="application/json")


@pytest.mark.usefixtures("known_server")
def test_job_is_made_and_found_again(api: Client, owner: Any) -> None:
    make_template()
    response = post(api, {"prompt": "a lighthouse", "seed": "18446744073709551615"})
    assert response.status_code == 201
    job = response.json()
    assert set(job) == JOB_KEYS
    assert response["Location"] == job["urls"]["self"] == f"/api/v2/jobs/{job['id']}"
    assert (job["status"], job["queue_position"], job["expires_at"]) == ("queued", 1, NEVER)
    assert job["inputs"]["seed"] == "18446744073709551615"
    assert api.get(response["Location"]).json() == job
    assert Generation.objects.get(pk=job["id"]).user == owner


@pytest.mark.usefixtures("known_server")
def test_job_without_a_seed_tells_the_one_it_drew(api: Client) -> None:
    make_template()
    assert int(post(api, {"prompt": "x"}).json()["inputs"]["seed"]) >= 0


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"steps": 5000}, "steps"),
        ({"steps": "many"}, "steps"),
        ({"steps": None, "width": 1.5}, "width"),
        ({"prompt": "  "}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"nope": 1}, "nope"),
        ({"seed": 2**64}, "seed"),
    ],
)
def test_wrong_value_names_its_field(api: Client, inputs: object, field: str) -> None:
    make_template()
    error = error_of(post(api, inputs), 422, "invalid_inputs")
    assert list(error["details"]["fields"]) == [field]
    assert all(isinstance(sentence, str) for sentence in error["details"]["fields"][field])
    assert not Generation.objects.exists()


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[]", 422), (b'{"inputs": []}', 422), (b'{"input": {}}', 422), (b"", 422)]
)
def test_body_that_is_no_request_is_refused(api: Client, body: bytes, status: int) -> None:
    make_template()
    error_of(api.post(RUN, body, content_type="application/json"), status, "invalid_request")


def test_job_of_an_unknown_template_is_not_found(api: Client) -> None:
    error_of(post(api, {}), 404, "not_found")


@pytest.mark.usefixtures("known_server")
def test_file_of_somebody_else_is_no_input(api: Client, owner: Any, stranger: Any) -> None:
    template = make_template("edit", parameters=[parameter("picture", "image", "6", "text")])
    path = f"/api/v2/templates/{template.slug}/jobs"
    error = error_of(post(api, {"picture": str(make_asset(stranger).pk)}, path), 422, "invalid_inputs")
    assert list(error["details"]["fields"]) == ["picture"]
    assert post(api, {"picture": str(make_asset(owner).pk)}, path).status_code == 201


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (Status.QUEUED, "queued"),
        (Status.SUBMITTED, "queued"),
        (Status.RUNNING, "running"),
        (Status.STORING, "running"),
        (Status.SUCCEEDED, "succeeded"),
        (Status.FAILED, "failed"),
        (Status.CANCELED, "canceled"),
    ],
)
def test_every_status_has_a_name_in_the_contract(api: Client, owner: Any, status: str, shown: str) -> None:
    job = read(api, make_generation(owner, status=status))
    assert set(job) == JOB_KEYS
    assert job["status"] == shown
    assert (job["completed_at"] is not None) == (status in {Status.SUCCEEDED, Status.FAILED, Status.CANCELED})
    assert (job["queue_position"] is not None) == (status == Status.QUEUED)


def test_running_job_that_shall_stop_is_canceling(api: Client, owner: Any) -> None:
    generation = make_generation(owner, status=Status.RUNNING, cancel_requested_at=timezone.now())
    assert read(api, generation)["status"] == "canceling"


def test_progress_is_the_newest_snapshot(api: Client, owner: Any) -> None:
    generation = make_generation(owner, status=Status.RUNNING)
    assert read(api, generation)["progress"] is None
    snapshot: events.ProgressState = {
        "value": 0.5, "nodes_done": 3, "nodes_total": 7, "node_id": "3", "node_title": "KSampler",
        "node_class": "KSampler", "step": 2, "steps": 4,
    }  # fmt: skip
    cache.set(events.progress_cache_key(generation.pk), snapshot)
    assert read(api, generation)["progress"] == {
        "value": 0.5, "nodes_done": 3, "nodes_total": 7, "current_node": "3", "current_node_class": "KSampler",
        "step": 2, "steps": 4, "message": "KSampler 2/4",
    }  # fmt: skip


def test_metrics_are_in_milliseconds(api: Client, owner: Any) -> None:
    start = timezone.now()
    generation = make_generation(
        owner,
        status=Status.SUCCEEDED,
        created_at=start,
        started_at=start + timedelta(seconds=2),
        executed_at=start + timedelta(seconds=5),
    )
    assert read(api, generation)["metrics"] == {"queue_ms": 2000, "execution_ms": 3000}
    assert read(api, make_generation(owner))["metrics"] == {"queue_ms": None, "execution_ms": None}


def test_error_names_the_node_but_never_the_traceback(api: Client, owner: Any) -> None:
    generation = make_generation(
        owner,
        status=Status.FAILED,
        error_code="node_execution_error",
        error_message="Out of memory.",
        error_node_id="3",
        error_class_type="KSampler",
        error_detail={"traceback": ["/srv/comfy/execution.py"]},
    )
    response = api.get(f"/api/v2/jobs/{generation.pk}")
    assert response.json()["error"] == {
        "code": "node_execution_error",
        "message": "Out of memory.",
        "node_id": "3",
        "class_type": "KSampler",
        "traceback": None,
    }
    assert b"/srv/comfy" not in response.content


def test_no_output_is_dropped(api: Client, owner: Any) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED)
    make_output(generation, position=0)
    make_output(generation, position=1, key="text", value="hello wörld", node_id="12")
    make_output(generation, position=2, key="stats", kind="data", value={"mean": [1, 2]}, node_id="13")
    image, text, data = read(api, generation)["outputs"]
    for output in (image, text, data):
        assert set(output) == OUTPUT_KEYS
        assert output["type"] in OUTPUT_TYPES
        assert output["url"].startswith("http://127.0.0.1:8000/api/v2/")
        assert output["job_id"] == str(generation.pk)
    assert (image["type"], image["content_type"]) == ("image", "image/png")
    assert image["hash"].startswith("blake3:")

    assert (text["type"], text["hash"]) == ("text", None)
    read_text = api.get(text["url"])
    assert read_text.content.decode() == "hello wörld"
    assert read_text["Content-Type"].startswith("text/plain")
    assert len(read_text.content) == text["size_bytes"]

    assert data["type"] == "file"
    assert api.get(data["url"]).json() == {"mean": [1, 2]}


def test_ids_of_texts_stay_the_same(api: Client, owner: Any) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED)
    make_output(generation, position=0, value="a")
    make_output(generation, position=1, value="b")
    first, again = (read(api, generation)["outputs"] for _ in range(2))
    assert [each["id"] for each in first] == [each["id"] for each in again]
    assert first[0]["id"] != first[1]["id"]
    assert uuid.UUID(first[0]["id"])


def test_output_that_is_a_file_has_no_inline_content(api: Client, owner: Any) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED)
    make_output(generation)
    for position in ("0", "7", "x", "99999999999999999999999"):
        error_of(api.get(f"/api/v2/jobs/{generation.pk}/outputs/{position}/content"), 404, "not_found")


def test_reading_a_job_costs_the_same_however_many_outputs(
    api: Client, owner: Any, django_assert_max_num_queries: Any
) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED)
    for position in range(6):
        make_output(generation, position=position)
    read(api, generation)  # notes the key's use
    with django_assert_max_num_queries(4):
        read(api, generation)


def test_cancel_ends_a_queued_job(api: Client, owner: Any) -> None:
    generation = make_generation(owner)
    response = api.post(f"/api/v2/jobs/{generation.pk}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "canceled")
    generation.refresh_from_db()
    assert generation.status == Status.CANCELED


def test_cancel_asks_a_running_job_to_stop(api: Client, owner: Any) -> None:
    generation = make_generation(owner, status=Status.RUNNING)
    assert api.post(f"/api/v2/jobs/{generation.pk}/cancel").json()["status"] == "canceling"


def test_cancel_leaves_a_finished_job_as_it_is(api: Client, owner: Any) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED)
    assert api.post(f"/api/v2/jobs/{generation.pk}/cancel").json()["status"] == "succeeded"


def test_events_say_that_they_are_not_streamed(api: Client, owner: Any) -> None:
    job = read(api, make_generation(owner))
    error_of(api.get(job["urls"]["events"]), 501, "not_implemented")


@pytest.mark.parametrize("identity", ["stranger's", "unknown", "malformed"])
@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("POST", "/cancel"), ("GET", "/events"), ("GET", "/outputs/0/content")]
)
def test_job_that_is_not_mine_is_not_found(api: Client, stranger: Any, identity: str, method: str, rest: str) -> None:
    theirs = make_generation(stranger, status=Status.RUNNING)
    make_output(theirs, value="private")
    job = {"stranger's": str(theirs.pk), "unknown": str(uuid.uuid4()), "malformed": "0-0"}[identity]
    error_of(api.generic(method, f"/api/v2/jobs/{job}{rest}"), 404, "not_found")
    theirs.refresh_from_db()
    assert theirs.cancel_requested_at is None


def test_staff_do_not_see_jobs_of_others_here(staff: Any, owner: Any, api_for: Any) -> None:
    error_of(api_for(staff).get(f"/api/v2/jobs/{make_generation(owner).pk}"), 404, "not_found")


def read(client: Client, generation: Generation) -> Any:
    return client.get(f"/api/v2/jobs/{generation.pk}").json()


@pytest.mark.usefixtures("known_server")
def test_one_job_too_many_is_a_429_that_says_when_to_come_back(api: Client, owner: Any) -> None:
    make_template()
    owner.plan = Plan.objects.create(name="small", max_queued=2)
    owner.save()
    assert [post(api, {"prompt": "x"}).status_code for _ in range(2)] == [201, 201]
    response = post(api, {"prompt": "x"})
    assert "already have 2" in error_of(response, 429, "queue_full")["message"]
    assert int(response["Retry-After"]) > 0
    assert Generation.objects.count() == 2


def test_what_no_server_can_run_is_a_409_that_names_what_is_missing(api: Client) -> None:
    make_template()
    make_server(object_info={"SaveImage": {}}, object_info_at=timezone.now())
    assert (
        "lack the node type CLIPTextEncode"
        in error_of(post(api, {"prompt": "x"}), 409, "template_unavailable")["message"]
    )


def test_jobs_expire_when_results_are_kept_for_a_time_only(api: Client, owner: Any, settings: Any) -> None:
    settings.RETENTION_DAYS = 7
    done = make_generation(owner, status=Status.SUCCEEDED)
    expires_at = datetime.fromisoformat(api.get(f"/api/v2/jobs/{done.pk}").json()["expires_at"])
    assert done.finished_at is not None
    assert abs(expires_at - done.finished_at - timedelta(days=7)) < timedelta(seconds=1)
