"""From a pasted workflow to a published version."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from generations.models import WorkflowTemplate
from tests.generations.admin.flow import address, filled, form_of, paste, save
from tests.support.factories import RECORDINGS, make_server, make_template, parameter, txt2img_graph, version_of

WANTED = {("6", "text"), ("7", "text"), ("3", "seed"), ("3", "steps"), ("3", "cfg"), ("5", "width"), ("5", "height")}


def integer_node(**inputs: Any) -> dict[str, Any]:
    """What a server tells of a class with these inputs."""
    return {"input": {"required": inputs}, "output_node": True}


def recorded_workflow() -> str:
    return json.dumps(json.loads((RECORDINGS / "sd15_cold.json").read_text())["prompt"])


def empty_template(slug: str = "fresh") -> WorkflowTemplate:
    return WorkflowTemplate.objects.create(slug=slug, title="Fresh")


def texts_of(page: Any) -> str:
    """The sentences about the pasted workflow."""
    return " ".join(str(each) for group in page.context["workflow"].errors.values() for each in group)


def test_default_workflow_becomes_a_published_template(admin: Client, staff: Any) -> None:
    data = {
        "title": "Default",
        "slug": "default",
        "tags": "portrait, fast, fast",
        "visibility": "everyone",
        "position": 0,
    }
    added = admin.post("/admin/generations/workflowtemplate/add/", data)
    template = WorkflowTemplate.objects.get()
    assert added["Location"] == address(template)  # straight on to its workflow
    assert template.tags == ["portrait", "fast"]

    page = paste(admin, template, recorded_workflow())
    html = page.content.decode()
    for node in json.loads(recorded_workflow()).values():
        assert node["class_type"] in html

    response = save(admin, template, page, WANTED, publish="1", note="The first")
    assert response.status_code == 302
    template.refresh_from_db()
    version = template.published_version
    assert version is not None
    assert (version.number, version.note, version.created_by) == (1, "The first", staff)
    assert version.graph == json.loads(recorded_workflow())
    found = {each.name: each for each in version.parsed_parameters}
    assert {(b.node_id, b.input_name) for each in found.values() for b in each.bindings} == WANTED
    assert {name: each.type for name, each in found.items()} == {
        "prompt": "text",
        "negative_prompt": "text",
        "seed": "seed",
        "steps": "integer",
        "cfg": "number",
        "width": "integer",
        "height": "integer",
    }
    assert found["prompt"].required
    assert found["negative_prompt"].default == version.graph["7"]["inputs"]["text"]
    assert found["steps"].default == version.graph["3"]["inputs"]["steps"]


def test_workflow_may_come_as_a_file(admin: Client) -> None:
    template = empty_template()
    file = SimpleUploadedFile("workflow_api.json", b"\xef\xbb\xbf" + recorded_workflow().encode())
    assert "formset" in admin.post(address(template), {"workflow": "ignored", "file": file}).context


def test_draft_leaves_the_published_version_alone(admin: Client) -> None:
    template = make_template()
    save(admin, template, paste(admin, template, txt2img_graph()), {("6", "text")})
    template.refresh_from_db()
    assert template.versions.count() == 2
    assert template.published_version is not None
    assert template.published_version.number == 1


def test_new_version_starts_from_the_present_one(admin: Client) -> None:
    graph = txt2img_graph()
    before = [
        parameter(
            "prompt", "text", "6", "text", label="Wish", help="Say it", section="Main", max_length=400, required=True
        ),
        {
            **parameter("size", "integer", "5", "width", default=128, minimum=64, maximum=512, step=64),
            "bindings": [{"node_id": "5", "input_name": "width"}, {"node_id": "5", "input_name": "height"}],
        },
        parameter(
            "sampler", "choice", "3", "sampler_name", default="euler", choices=["euler", "ddim"], is_advanced=True
        ),
    ]
    template = make_template(graph=graph, parameters=before)
    pasted = admin.get(address(template)).context["workflow"]["workflow"].value()
    page = paste(admin, template, pasted)
    ticked = {("6", "text"), ("5", "width"), ("5", "height"), ("3", "sampler_name")}
    assert {
        (form.initial["node_id"], form.initial["input_name"])
        for form in page.context["formset"]
        if form.initial["is_exposed"]
    } == ticked
    save(admin, template, page, ticked)
    old, new = template.versions.order_by("number")
    assert {each.name: each for each in new.parsed_parameters} == {each.name: each for each in old.parsed_parameters}


def test_what_the_new_workflow_has_no_place_for_is_said(admin: Client) -> None:
    template = make_template()
    graph = txt2img_graph()
    graph["60"] = graph.pop("6")
    graph["3"]["inputs"]["positive"] = ["60", 0]
    page = paste(admin, template, graph)
    assert page.context["lost"] == ["prompt"]
    assert "prompt" in page.content.decode()


def test_inputs_of_one_name_are_set_together(admin: Client) -> None:
    template = empty_template()
    page = paste(admin, template, txt2img_graph())
    both = {("5", "width"), ("5", "height")}
    save(admin, template, page, both, changes={("5", "width", "name"): "size", ("5", "height", "name"): "size"})
    (only,) = version_of(template).parsed_parameters
    assert (only.name, {binding.input_name for binding in only.bindings}) == ("size", {"width", "height"})


def test_one_name_cannot_have_two_types(admin: Client) -> None:
    template = empty_template()
    page = paste(admin, template, txt2img_graph())
    both = {("5", "width"), ("6", "text")}
    page = save(admin, template, page, both, changes={("5", "width", "name"): "x", ("6", "text", "name"): "x"})
    assert list(form_of(page, ("6", "text")).errors) == ["name"]


def test_options_that_are_numbers_stay_numbers(admin: Client) -> None:
    make_server(object_info={"Count": integer_node(many=[[1, 2, 4], {}])})
    template = empty_template()
    page = paste(admin, template, {"1": {"class_type": "Count", "inputs": {"many": 2}}})
    save(admin, template, page, {("1", "many")})
    (only,) = version_of(template).parsed_parameters
    assert (only.choices, only.default) == ((1, 2, 4), 2)


def test_emptied_default_of_a_text_is_an_empty_text(admin: Client) -> None:
    template = empty_template()
    page = paste(admin, template, txt2img_graph())
    save(admin, template, page, {("7", "text")}, changes={("7", "text", "default"): ""})
    assert version_of(template).parsed_parameters[0].default == ""


def test_yes_or_no_is_read_as_such(admin: Client) -> None:
    template = empty_template()
    graph = {"1": {"class_type": "Any", "inputs": {"flag": False}}}
    page = paste(admin, template, graph)
    assert form_of(page, ("1", "flag"))["default"].value() == "no"
    save(admin, template, page, {("1", "flag")})
    assert version_of(template).parsed_parameters[0].default is False
    page = save(admin, template, page, {("1", "flag")}, changes={("1", "flag", "default"): "perhaps"})
    assert list(form_of(page, ("1", "flag")).errors) == ["default"]


def test_workflow_with_many_inputs_can_be_saved(admin: Client) -> None:
    """Only the settings of what is ticked are sent: Django reads 1,000 fields and no more."""
    template = empty_template()
    graph = {str(n): {"class_type": "Any", "inputs": {f"i{i}": i for i in range(3)}} for n in range(40)}
    page = paste(admin, template, graph)
    assert save(admin, template, page, {("39", "i2")}).status_code == 302


@pytest.mark.parametrize(
    ("workflow", "sentence"),
    [
        ("", "Paste a workflow"),
        ("  \n", "Paste a workflow"),
        ("{not json", "not a JSON file"),
        ("[1, 2]", "holds no workflow"),
        ("{}", "holds no workflow"),
        ('"text"', "holds no workflow"),
        ('{"nodes": [], "links": [], "version": 0.4}', "editor format"),
        ('{"1": {"inputs": {}}}', 'names no "class_type"'),
        ('{"1": {"class_type": "A", "inputs": {"x": ["9", 0]}}}', "node 9, which is not in the file"),
    ],
)
@pytest.mark.parametrize("way", ["pasted", "file"])
def test_what_is_no_workflow_gets_a_sentence_that_says_what_to_do(
    admin: Client, workflow: str, sentence: str, way: str
) -> None:
    template = empty_template()
    file = {"file": SimpleUploadedFile("w.json", workflow.encode())}
    page = admin.post(address(template), file if way == "file" else {"workflow": workflow})
    assert sentence in texts_of(page)
    assert sentence.replace('"', "&quot;") in page.content.decode()


def test_file_that_is_too_large_is_refused(admin: Client) -> None:
    file = SimpleUploadedFile("w.json", b" " * (5 * 1024 * 1024 + 1))
    assert "larger than 5 MB" in texts_of(admin.post(address(empty_template()), {"file": file}))


def test_node_that_no_server_knows_is_named(admin: Client) -> None:
    make_server(object_info={"Known": integer_node()})
    graph = {"1": {"class_type": "Known", "inputs": {}}, "2": {"class_type": "FancyNode", "inputs": {}}}
    page = paste(admin, empty_template(), graph)
    assert "FancyNode" in texts_of(page)
    assert "install the custom node" in texts_of(page)


def test_workflow_without_a_result_is_refused(admin: Client) -> None:
    make_server(object_info={"Known": {"input": {}, "output_node": False}})
    page = paste(admin, empty_template(), {"1": {"class_type": "Known", "inputs": {}}})
    assert "add a Save Image node" in texts_of(page)


def test_model_that_is_missing_today_is_a_warning(admin: Client) -> None:
    make_server(object_info={"Load": integer_node(ckpt_name=[["a.safetensors"], {}])})
    page = paste(admin, empty_template(), {"1": {"class_type": "Load", "inputs": {"ckpt_name": "b.safetensors"}}})
    assert "formset" in page.context
    assert any("b.safetensors" in warning for warning in page.context["warnings"])


def test_nodes_of_all_servers_count_but_not_of_disabled_ones(admin: Client) -> None:
    make_server("one", "http://one", object_info={"A": integer_node()})
    make_server("two", "http://two", object_info={"B": integer_node()})
    make_server("off", "http://off", object_info={"C": integer_node()}, is_enabled=False)
    graph = {name: {"class_type": name, "inputs": {}} for name in "ABC"}
    errors = texts_of(paste(admin, empty_template(), graph))
    assert "the node type C;" in errors
    assert "the node type A;" not in errors
    assert "the node type B;" not in errors


def test_without_any_servers_word_the_admin_is_warned(admin: Client) -> None:
    page = paste(admin, empty_template(), txt2img_graph())
    assert "Check now" in page.context["warnings"][0]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("name", ""),
        ("name", "Not A Name"),
        ("minimum", "many"),
        ("maximum", "-5"),
        ("step", "0"),
        ("default", "5000000"),
        ("default", "1.5"),
        ("type", "choice"),
    ],
)
def test_fault_is_said_beside_what_is_wrong(admin: Client, setting: str, value: str) -> None:
    make_server(
        object_info={"Count": integer_node(many=["INT", {"min": 1, "max": 100, "default": 5}], other=["INT", {}])}
    )
    template = empty_template()
    page = paste(admin, template, {"1": {"class_type": "Count", "inputs": {"many": 5, "other": 7}}})
    ticked = {("1", "many"), ("1", "other")}
    page = save(admin, template, page, ticked, changes={("1", "many", setting): value})
    assert page.status_code == 200
    assert form_of(page, ("1", "other")).errors == {}
    places = {"maximum": {"minimum", "default"}, "type": {"choices", "minimum"}}.get(setting, {setting})
    assert set(form_of(page, ("1", "many")).errors) & places
    assert page.context["formset"].non_form_errors()
    assert not template.versions.exists()


def test_what_was_typed_survives_a_fault(admin: Client) -> None:
    template = empty_template()
    page = paste(admin, template, txt2img_graph())
    changes = {("6", "text", "label"): "My wish", ("6", "text", "name"): "No!"}
    page = save(admin, template, page, {("6", "text")}, changes=changes, note="kept")
    assert form_of(page, ("6", "text"))["label"].value() == "My wish"
    assert page.context["note"] == "kept"


def test_settings_of_another_workflow_are_not_taken(admin: Client) -> None:
    template = empty_template()
    page = paste(admin, template, txt2img_graph())
    data = filled(page, {("6", "text")}) | {"workflow": json.dumps({"1": {"class_type": "Any", "inputs": {"a": 1}}})}
    assert "start over" in admin.post(address(template), data).content.decode()
    assert not template.versions.exists()


def test_title_of_a_node_is_shown_as_text(admin: Client) -> None:
    graph = txt2img_graph()
    graph["6"]["_meta"] = {"title": "<script>alert(1)</script>"}
    graph["6"]["inputs"]["text"] = "</textarea><script>alert(2)</script>"
    html = paste(admin, empty_template(), graph).content.decode()
    assert "<script>alert" not in html


def test_pages_of_a_version_have_no_script_of_their_own(admin: Client) -> None:
    page = paste(admin, make_template(), txt2img_graph())
    ours = re.search(r'<form class="studio-card".*?</form>', page.content.decode(), re.DOTALL)
    assert ours
    assert not re.search(r"<script|\son\w+=|\sstyle=", ours.group())
