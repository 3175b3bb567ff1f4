"""The admin: from a pasted workflow to a published template, and what is not to be seen or done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from generations.models import ComfyServer, Generation, Status, WorkflowTemplate
from tests.support.factories import RECORDINGS, make_generation, make_server, make_template, txt2img_graph
from tests.support.simulator import RunningSimulator

pytestmark = pytest.mark.django_db
WANTED = {("6", "text"), ("7", "text"), ("3", "seed"), ("3", "steps"), ("3", "cfg"), ("5", "width"), ("5", "height")}


@pytest.fixture
def admin(staff: Any, client_for: Callable[[Any], Client]) -> Client:
    return client_for(staff)


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with RunningSimulator(checkpoints=("tiny-random-sd15.safetensors",)) as running:
        yield running


def add_template(admin: Client) -> str:
    data = {
        "title": "Default",
        "slug": "default",
        "description": "",
        "tags": "[]",
        "visibility": "everyone",
        "position": 0,
    }
    response = admin.post("/admin/generations/workflowtemplate/add/", data)
    assert response.status_code == 302, response.context["errors"]
    return str(response["Location"])


def filled(response: Any, wanted: set[tuple[str, str]]) -> dict[str, Any]:
    """What a browser would send: every suggested value, with the wanted inputs ticked."""
    formset = response.context["formset"]
    data: dict[str, Any] = {"step": "expose", "workflow": response.context["graph_text"]}
    data |= {f"{formset.prefix}-{key}": value for key, value in formset.management_form.initial.items()}
    for form in formset.forms:
        place = (form.initial["node_id"], form.initial["input_name"])
        for field in form:
            value = field.value()
            if field.name == "is_exposed":
                value = place in wanted
            if value not in (False, None):
                data[field.html_name] = "on" if value is True else value
    return data


def test_the_default_workflow_becomes_a_template(admin: Client, simulator: RunningSimulator) -> None:
    make_server(url=simulator.url)
    admin.post(
        "/admin/generations/comfyserver/",
        {"action": "check_now", "_selected_action": [ComfyServer.objects.get().pk]},
    )
    assert ComfyServer.objects.get().comfyui_version == "0.3.64"
    path = add_template(admin)
    workflow = json.dumps(json.loads((RECORDINGS / "sd15_cold.json").read_text())["prompt"])
    page = admin.post(path, {"workflow": workflow})
    assert "KSampler" in page.content.decode()
    response = admin.post(path, {**filled(page, WANTED), "publish": "1", "note": "first"})
    assert response.status_code == 302
    template = WorkflowTemplate.objects.get()
    version = template.published_version
    assert version is not None
    parameters = {each.name: each for each in version.parsed_parameters}
    assert {(b.node_id, b.input_name) for each in parameters.values() for b in each.bindings} == WANTED
    assert parameters["seed"].type == "seed"
    assert (parameters["steps"].minimum, parameters["steps"].maximum) == (1, 10000)
    assert version.graph == json.loads(workflow)


def test_a_new_version_starts_from_the_old_ones_parameters(admin: Client) -> None:
    template = make_template()
    path = f"/admin/generations/workflowtemplate/{template.pk}/new-version/"
    page = admin.post(path, {"workflow": admin.get(path).context["workflow"]["workflow"].value()})
    kept = {(f.initial["node_id"], f.initial["input_name"]) for f in page.context["formset"] if f.initial["is_exposed"]}
    assert kept == WANTED
    admin.post(path, filled(page, {("6", "text")}))
    template.refresh_from_db()
    assert template.versions.count() == 2
    assert template.published_version is not None
    assert template.published_version.number == 1  # a draft does not replace it
    admin.post(f"/admin/generations/workflowtemplate/{template.pk}/publish/", {"number": "2"})
    template.refresh_from_db()
    assert template.published_version.number == 2
    admin.post(f"/admin/generations/workflowtemplate/{template.pk}/publish/")
    template.refresh_from_db()
    assert template.published_version is None


@pytest.mark.parametrize(
    ("workflow", "sentence"),
    [
        ("", "Paste a workflow"),
        ("{not json", "JSON"),
        ("[1, 2]", "workflow"),
        ('{"nodes": [], "links": [], "version": 0.4}', "Export (API)"),
        ('{"1": {"inputs": {}}}', "class_type"),
    ],
)
def test_what_is_no_workflow_gets_a_sentence_that_says_what_to_do(admin: Client, workflow: str, sentence: str) -> None:
    template = make_template(publish=False)
    path = f"/admin/generations/workflowtemplate/{template.pk}/new-version/"
    for data in ({"workflow": workflow}, {"file": SimpleUploadedFile("w.json", workflow.encode())}):
        response = admin.post(path, data)
        errors = " ".join(str(each) for group in response.context["workflow"].errors.values() for each in group)
        assert sentence in errors or (not workflow and "empty" in errors)


def test_an_unknown_node_is_named(admin: Client) -> None:
    make_server(object_info={"KSampler": {"input": {}}})
    template = make_template(publish=False)
    graph = txt2img_graph()
    graph["50"] = {"class_type": "FancyNode", "inputs": {}}
    page = admin.post(
        f"/admin/generations/workflowtemplate/{template.pk}/new-version/", {"workflow": json.dumps(graph)}
    )
    assert "FancyNode" in str(page.context["workflow"].errors)


@pytest.mark.parametrize(
    ("field", "value"), [("name", "Not A Name"), ("minimum", "many"), ("default", "5000000"), ("maximum", "-5")]
)
def test_a_fault_in_a_parameter_is_said_beside_it(admin: Client, field: str, value: str) -> None:
    template = make_template()
    path = f"/admin/generations/workflowtemplate/{template.pk}/new-version/"
    page = admin.post(path, {"workflow": json.dumps(txt2img_graph())})
    data = filled(page, {("3", "steps")})
    row = next(form for form in page.context["formset"] if form.initial["input_name"] == "steps")
    response = admin.post(path, {**data, f"{row.prefix}-{field}": value})
    assert response.status_code == 200
    wrong = [form for form in response.context["formset"] if form.errors]
    assert [form["input_name"].value() for form in wrong] == ["steps"]
    assert template.versions.count() == 1


def test_a_stored_header_is_never_shown_and_kept_unless_replaced(admin: Client) -> None:
    server = make_server(auth_header_name="Authorization", auth_header_value="Bearer secret-42")
    path = f"/admin/generations/comfyserver/{server.pk}/change/"
    assert "secret-42" not in admin.get(path).content.decode()
    data = {"name": "one", "url": server.url, "slots": 3, "is_enabled": "on", "auth_header_name": "Authorization"}
    assert admin.post(path, {**data, "auth_header_value": ""}).status_code == 302
    server.refresh_from_db()
    assert (server.headers, server.slots) == ({"Authorization": "Bearer secret-42"}, 3)
    admin.post(path, {**data, "auth_header_value": "", "clear_auth_header": "on"})
    server.refresh_from_db()
    assert server.headers == {}


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://", "http://h:8188/?a=b"])
def test_a_server_needs_a_sensible_address(admin: Client, url: str) -> None:
    data = {"name": "one", "url": url, "slots": 2, "is_enabled": "on"}
    response = admin.post("/admin/generations/comfyserver/add/", data)
    assert response.status_code == 200
    assert not ComfyServer.objects.exists()


def test_a_server_that_does_not_answer_is_told(admin: Client) -> None:
    server = make_server(url="http://127.0.0.1:1")
    data = {"action": "check_now", "_selected_action": [server.pk]}
    page = admin.post("/admin/generations/comfyserver/", data, follow=True)
    assert "127.0.0.1:1" in page.content.decode()
    server.refresh_from_db()
    assert server.state == "unreachable"


def test_generations_are_read_only_but_can_be_canceled(admin: Client, owner: Any) -> None:
    generation = make_generation(owner)
    failed = make_generation(owner, status=Status.FAILED, error_detail={"traceback": ["/srv/x.py"]})
    assert admin.get("/admin/generations/generation/").status_code == 200
    assert "/srv/x.py" in admin.get(f"/admin/generations/generation/{failed.pk}/change/").content.decode()
    assert admin.get("/admin/generations/generation/add/").status_code == 403
    assert admin.post(f"/admin/generations/generation/{generation.pk}/delete/", {"post": "yes"}).status_code == 403
    admin.post("/admin/generations/generation/", {"action": "cancel", "_selected_action": [generation.pk]})
    assert Generation.objects.get(pk=generation.pk).status == Status.CANCELED


PAGES = ["", "generations/comfyserver/", "generations/workflowtemplate/", "generations/generation/", "accounts/user/",
         "accounts/apikey/", "accounts/user/add/", "auth/group/"]  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_only_staff_come_in(admin: Client, owner: Any, client_for: Callable[[Any], Client], page: str) -> None:
    assert admin.get(f"/admin/{page}").status_code == 200
    assert client_for(owner).get(f"/admin/{page}").status_code == 302
    assert Client().get(f"/admin/{page}").status_code == 302


def test_others_cannot_reach_the_version_pages(owner: Any, client_for: Callable[[Any], Client]) -> None:
    template = make_template()
    base = f"/admin/generations/workflowtemplate/{template.pk}"
    for path in ("new-version/", "versions/1.json"):
        assert client_for(owner).get(f"{base}/{path}").status_code == 302
    assert client_for(owner).post(f"{base}/publish/").status_code == 302


def test_a_versions_workflow_can_be_downloaded(admin: Client) -> None:
    template = make_template()
    response = admin.get(f"/admin/generations/workflowtemplate/{template.pk}/versions/1.json")
    assert response.json() == txt2img_graph()
