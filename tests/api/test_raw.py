"""POST /jobs: whole workflows, for those who may."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import Plan, User
from generations import tasks
from generations.comfy.asset_references import TYPE
from generations.lifecycle import services
from generations.models import Generation, IdempotencyKey, Status, TemplateVersion
from generations.models.idempotency import KEPT
from generations.relay.submit import build_graph
from tests.api.envelope import error_of
from tests.support import graphs
from tests.support.factories import CHECKPOINT, make_asset, make_key, make_server, make_template, txt2img_graph
from tests.support.uploads import Uploads
from tests.support.workflows import editor_workflow, with_models

URL = "/api/v2/jobs"


@pytest.fixture
def raw(owner: User, api: Client) -> Client:
    """The owner's program; the owner may submit whole workflows."""
    owner.user_permissions.add(Permission.objects.get(codename="submit_raw_workflow"))
    make_server(object_info=with_models(CHECKPOINT), object_info_at=timezone.now())
    return api


def post(client: Client, workflow: Any, *, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    body = json.dumps({"workflow": workflow, **fields})
    return client.post(URL, body, content_type="application/json", headers=headers or {})


def inverted(asset_id: object) -> dict[str, Any]:
    return graphs.inverted({"__type": TYPE, "info": {"id": str(asset_id), "file_path": "ignored.png"}})


def test_a_workflow_is_queued_as_it_is(raw: Client, owner: User) -> None:
    graph = txt2img_graph()
    response = post(raw, graph, metadata={"client": "acme"})
    assert response.status_code == 201, response.content
    job = response.json()
    assert (job["status"], job["template"], job["inputs"], job["metadata"]) == ("queued", None, {}, {"client": "acme"})
    assert response["Location"] == job["urls"]["self"]
    generation = Generation.objects.get(pk=job["id"])
    assert (generation.user, generation.version.template, generation.version.graph) == (owner, None, graph)
    assert generation.model_files == [["CheckpointLoaderSimple", "ckpt_name", CHECKPOINT]]
    found = raw.get(job["urls"]["workflow"]).json()
    assert found == {"workflow": graph, "format": "api"}


def test_it_is_in_the_history_pages_too(raw: Client, owner: User, client_for: Any) -> None:
    job = post(raw, txt2img_graph()).json()
    browser = client_for(owner)
    assert "Own workflow" in browser.get("/generations/").content.decode()
    page = browser.get(f"/generations/{job['id']}/")
    assert "A program sent this as a whole workflow" in page.content.decode()
    assert browser.get("/admin/generations/generation/").status_code == 302


def test_without_the_permission_it_is_refused(api: Client) -> None:
    error_of(post(api, txt2img_graph()), 403, "forbidden")
    assert not Generation.objects.exists()


def test_nodes_that_are_wrong_are_named(raw: Client) -> None:
    graph = txt2img_graph()
    del graph["3"]["inputs"]["model"]
    graph["9"]["class_type"] = "SaveNothing"
    graph["3"]["inputs"]["steps"] = "many"
    graph["4"]["inputs"]["ckpt_name"] = "unknown.safetensors"
    nodes = error_of(post(raw, graph), 422, "invalid_workflow")["details"]["node_errors"]
    assert nodes["9"][0]["reason"] == "unknown_class"
    graph["9"]["class_type"] = "SaveImage"
    nodes = error_of(post(raw, graph), 422, "invalid_workflow")["details"]["node_errors"]
    reasons = {(node_id, each["field"], each["reason"]) for node_id, found in nodes.items() for each in found}
    assert ("3", "model", "missing_input") in reasons
    assert ("3", "steps", "invalid_value") in reasons
    assert not Generation.objects.exists()


@pytest.mark.parametrize(
    ("steps", "reason"), [(0, "value_smaller_than_min"), (20_000, "value_bigger_than_max"), ({"__value__": -1}, None)]
)
def test_numbers_out_of_range_are_refused_at_once(raw: Client, steps: Any, reason: str | None) -> None:
    graph = txt2img_graph()
    graph["3"]["inputs"]["steps"] = steps
    nodes = error_of(post(raw, graph), 422, "invalid_workflow")["details"]["node_errors"]
    assert [(each["field"], each["reason"]) for each in nodes["3"]] == [("steps", reason or "value_smaller_than_min")]
    assert not Generation.objects.exists()


@pytest.mark.parametrize(
    "workflow", [{}, {"1": 5}, {"1": {"inputs": {}}}, {"1": {"class_type": "SaveImage", "inputs": 3}}]
)
def test_what_is_no_graph_is_refused(raw: Client, workflow: Any) -> None:
    error_of(post(raw, workflow), 422, "invalid_workflow")


def test_the_editors_format_is_named(raw: Client) -> None:
    assert "Export (API)" in error_of(post(raw, editor_workflow()), 422, "workflow_format_ui")["message"]


@pytest.mark.parametrize("field", ["webhook_url", "inputs", "client_id"])
def test_what_the_contract_reserves_is_refused(raw: Client, field: str) -> None:
    error = error_of(post(raw, txt2img_graph(), **{field: {}}), 422, "invalid_request")
    assert error["details"]["errors"][0]["field"] == field


def test_nesting_and_strange_values_are_refused_by_name(raw: Client) -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    graph = txt2img_graph()
    graph["6"]["inputs"]["text"] = deep
    assert "nested deeper than 100 levels" in error_of(post(raw, graph), 400, "invalid_request")["message"]
    body = json.dumps({"workflow": txt2img_graph()}).replace('"text"', '"te\\u0000xt"', 1)
    error_of(raw.post(URL, body, content_type="application/json"), 400, "invalid_request")
    error_of(raw.post(URL, '{"workflow": NaN}', content_type="application/json"), 400, "invalid_request")
    error_of(raw.post(URL, "[" * 100_000, content_type="application/json"), 400, "invalid_request")


def test_files_in_it_are_uploaded_to_the_server_that_runs_it(raw: Client, owner: User) -> None:
    asset = make_asset(owner)
    job = post(raw, inverted(asset.pk)).json()
    generation = Generation.objects.select_related("version").get(pk=job["id"])
    assert list(generation.input_assets.all()) == [asset]
    client: Any = Uploads()
    graph = build_graph(generation, client)
    assert graph["1"]["inputs"]["image"] == client.names[0]
    assert client.names[0].endswith(".png")
    error_of(raw.delete(f"/api/v2/assets/{asset.pk}"), 409, "asset_in_use")
    services.cancel(generation)
    assert raw.delete(f"/api/v2/assets/{asset.pk}").status_code == 204


@pytest.mark.parametrize("which", ["stranger's", "unknown", "malformed"])
def test_a_file_that_is_not_mine_is_missing(raw: Client, stranger: User, which: str) -> None:
    asset = {"stranger's": make_asset(stranger).pk, "unknown": uuid.uuid4(), "malformed": "x"}[which]
    error = error_of(post(raw, inverted(asset)), 422, "missing_asset")
    assert error["details"] == {"node_errors": {"1": [{"field": "image", "reason": "missing_asset"}]}}


def test_the_partner_key_is_encrypted_and_forgotten_at_the_end(raw: Client) -> None:
    job = post(raw, txt2img_graph(), extra_data={"api_key_comfy_org": "partner-secret"}).json()
    generation = Generation.objects.get(pk=job["id"])
    assert generation.partner_key == "partner-secret"
    with connection.cursor() as cursor:
        cursor.execute("SELECT partner_key FROM generations_generation")
        assert "partner-secret" not in cursor.fetchone()[0]
    assert "partner-secret" not in json.dumps(raw.get(job["urls"]["workflow"]).json())
    services.cancel(generation)
    generation.refresh_from_db()
    assert generation.partner_key is None


def test_the_editors_workflow_is_kept_of_the_nodes_that_run_and_comes_along_to_a_rerun(raw: Client) -> None:
    nodes = [{"id": 3, "type": "KSampler", "properties": {"mine": 1}}, {"id": 99, "type": "Note"}]
    extra = {"extra_pnginfo": {"workflow": {"nodes": nodes, "links": []}}}
    first = post(raw, txt2img_graph(), extra_data=extra).json()
    again = raw.post(first["urls"]["rerun"], "{}", content_type="application/json").json()
    for job in (first, again):
        editor = Generation.objects.get(pk=job["id"]).version.editor
        assert editor is not None
        assert "99" not in editor
        assert editor["3"]["properties"] == {"mine": 1}


@pytest.mark.parametrize("extra", [{"workflow": []}, {"workflow": {}, "comfysaas": {"generation": "x"}}, {}, [1]])
def test_nothing_else_gets_into_what_comfyui_writes_into_files(raw: Client, extra: Any) -> None:
    answer = post(raw, txt2img_graph(), extra_data={"extra_pnginfo": extra})
    assert answer.status_code == 422
    assert not Generation.objects.exists()


def test_rerun_draws_new_seeds_or_keeps_them(raw: Client) -> None:
    job = post(raw, txt2img_graph()).json()
    same = raw.post(f"{URL}/{job['id']}/rerun", {}, content_type="application/json").json()
    fresh = raw.post(f"{URL}/{job['id']}/rerun", {"new_seed": True}, content_type="application/json").json()
    seeds = [Generation.objects.get(pk=each["id"]).version.graph["3"]["inputs"]["seed"] for each in (job, same, fresh)]
    assert seeds[0] == seeds[1] != seeds[2]
    changed = raw.post(f"{URL}/{job['id']}/rerun", {"inputs": {"x": 1}}, content_type="application/json")
    error_of(changed, 422, "invalid_inputs")


def test_rerun_needs_what_submitting_needs(raw: Client, owner: User, client_for: Any) -> None:
    job = post(raw, txt2img_graph()).json()
    runner = Client(headers={"Authorization": f"Bearer {make_key(owner, scopes=['read', 'run'])}"})
    error_of(runner.post(job["urls"]["rerun"], {}, content_type="application/json"), 403, "forbidden")
    owner.user_permissions.clear()
    error_of(raw.post(job["urls"]["rerun"], {}, content_type="application/json"), 403, "forbidden")
    page = client_for(owner).post(f"/generations/{job['id']}/rerun/", follow=True)
    assert "may not submit whole workflows" in page.content.decode()
    assert Generation.objects.count() == 1


def test_deleting_it_deletes_its_workflow(raw: Client, eager_tasks: None) -> None:
    make_template()
    job = post(raw, txt2img_graph()).json()
    services.cancel(Generation.objects.get(pk=job["id"]))
    assert raw.delete(f"{URL}/{job['id']}").status_code == 204
    assert not TemplateVersion.objects.filter(template=None).exists()
    assert TemplateVersion.objects.count() == 1
    tasks.expire()
    assert TemplateVersion.objects.count() == 1


def test_an_idempotency_key_makes_one_job(raw: Client, owner: User, stranger: User, api_for: Any) -> None:
    headers = {"Idempotency-Key": "order-7"}
    error_of(post(raw, {"1": 5}, headers=headers), 422, "invalid_workflow")  # gives it back
    assert post(raw, txt2img_graph(), headers=headers).status_code == 201
    error_of(post(raw, txt2img_graph(), headers=headers), 422, "idempotency_key_reuse")
    error_of(post(raw, {"1": 5}, headers=headers), 422, "idempotency_key_reuse")
    assert Generation.objects.count() == 1
    stranger.user_permissions.add(Permission.objects.get(codename="submit_raw_workflow"))
    assert post(api_for(stranger), txt2img_graph(), headers=headers).status_code == 201
    IdempotencyKey.objects.update(created_at=timezone.now() - KEPT - KEPT)
    assert post(raw, txt2img_graph(), headers=headers).status_code == 201


def test_a_full_queue_gives_the_key_back(raw: Client, owner: User) -> None:
    owner.plan = Plan.objects.create(name="tiny", max_queued=1)
    owner.save()
    assert post(raw, txt2img_graph(), headers={"Idempotency-Key": "a"}).status_code == 201
    refused = post(raw, txt2img_graph(), headers={"Idempotency-Key": "b"})
    error_of(refused, 429, "queue_full")
    assert int(refused["Retry-After"]) > 0
    Generation.objects.update(status=Status.CANCELED, finished_at=timezone.now())
    assert post(raw, txt2img_graph(), headers={"Idempotency-Key": "b"}).status_code == 201


@pytest.mark.parametrize("key", ["x" * 256, "ümlaut"])
def test_a_key_that_is_none_is_refused(raw: Client, key: str) -> None:
    error_of(post(raw, txt2img_graph(), headers={"Idempotency-Key": key}), 422, "invalid_request")
