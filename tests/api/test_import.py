"""POST /templates: staff make templates from workflows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from generations.models import TemplateDraft, WorkflowTemplate
from tests.api.envelope import error_of
from tests.support.factories import CHECKPOINT, make_server, make_user, txt2img_graph
from tests.support.pictures import png
from tests.support.workflows import editor_workflow, with_models

URL = "/api/v2/templates"


@pytest.fixture
def staff_api(staff: Any, api_for: Any) -> Client:
    make_server(object_info=with_models(CHECKPOINT, "tiny-random-sd15.safetensors"), object_info_at=timezone.now())
    client: Client = api_for(staff)
    return client


def send(client: Client, content: Any, name: str = "flow.json", **data: Any) -> Any:
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return client.post(URL, {"file": SimpleUploadedFile(name, content), **data})


def test_workflow_becomes_a_draft_with_proposals(staff_api: Client) -> None:
    response = send(staff_api, editor_workflow(), title="From the API")
    assert response.status_code == 201
    body = response.json()
    assert (body["slug"], body["title"], body["version"]) == ("from-the-api", "From the API", None)
    assert [each["name"] for each in body["parameters"]][:2] == ["prompt", "negative_prompt"]
    assert body["servers"] == [
        {"server": "one", "is_fit": True, "is_known": True, "missing": [], "missing_defaults": []}
    ]
    assert TemplateDraft.objects.get().template.slug == "from-the-api"


def test_published_at_once(staff_api: Client) -> None:
    body = send(staff_api, png(prompt=txt2img_graph()), "cats.png", publish="true").json()
    assert (body["title"], body["version"]) == ("Cats", 1)
    assert staff_api.get(f"{URL}/{body['slug']}").status_code == 200


def test_what_nothing_can_run_is_not_published_and_nothing_is_kept(staff_api: Client) -> None:
    graph = txt2img_graph()
    graph["8"]["class_type"] = "NobodyHasThis"
    response = send(staff_api, graph, publish="true")
    error_of(response, 409, "not_publishable")
    assert not WorkflowTemplate.objects.exists()


def test_missing_default_is_published_when_that_is_accepted_alone(staff_api: Client) -> None:
    graph = txt2img_graph()
    graph["4"]["inputs"]["ckpt_name"] = "gone.safetensors"
    report = send(staff_api, graph).json()["servers"][0]
    words = "the default of “Checkpoint”: the file gone.safetensors is not there"
    assert (report["is_fit"], report["missing"], report["missing_defaults"]) == (True, [], [words])
    error = error_of(send(staff_api, graph, publish="true"), 409, "not_publishable")
    assert error["message"] == f"No server can run it with {words}. Send accept_missing to publish it all the same."
    assert send(staff_api, graph, publish="true", accept_missing="true").json()["version"] == 1


def with_flag() -> dict[str, Any]:
    """A workflow whose app mode names an input that its sampler does not have."""
    workflow = editor_workflow()
    workflow.setdefault("extra", {})["linearData"] = {"inputs": [["4", "ckpt_name"], ["3", "gone"]], "outputs": []}
    return workflow


def test_what_is_to_be_checked_is_told_with_its_node(staff_api: Client) -> None:
    body = send(staff_api, with_flag()).json()
    assert len(body["notes"]) == 2
    assert [(flag["node_id"], "“gone”" in flag["text"]) for flag in body["flags"]] == [("3", True)]
    assert body["flags"][0]["text"] in body["notes"]
    assert send(staff_api, editor_workflow()).json()["flags"] == []


def test_what_is_to_be_checked_is_not_published_unless_it_is_accepted(staff_api: Client) -> None:
    error = error_of(send(staff_api, with_flag(), publish="true"), 409, "unchecked_flags")
    assert [flag["node_id"] for flag in error["details"]["flags"]] == ["3"]
    assert not WorkflowTemplate.objects.exists()
    assert send(staff_api, with_flag(), publish="true", accept_flags="true").json()["version"] == 1


def test_nodes_in_the_way_are_named(staff_api: Client) -> None:
    workflow = editor_workflow()
    workflow["nodes"][0]["type"] = "NobodyHasThis"
    error = error_of(send(staff_api, workflow), 422, "invalid_workflow")
    assert [each["node_id"] for each in error["details"]["nodes"]] == ["4"]
    error_of(send(staff_api, b"hello"), 422, "invalid_workflow")
    error_of(staff_api.post(URL), 422, "invalid_request")


def test_only_staff_with_the_permission(api: Client, api_for: Any) -> None:
    error_of(send(Client(), txt2img_graph()), 401, "unauthorized")
    error_of(send(api, txt2img_graph()), 403, "forbidden")
    error_of(send(api_for(make_user("s@example.com", is_staff=True)), txt2img_graph()), 403, "forbidden")
    assert not WorkflowTemplate.objects.exists()
