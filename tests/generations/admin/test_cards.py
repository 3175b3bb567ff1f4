"""What the studio says of nodes, parameters and missing files."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client

from generations.models import WorkflowTemplate
from tests.generations.admin.pages import BASE, address, post
from tests.support.factories import make_server, make_template, txt2img_graph
from tests.support.workflows import OBJECT_INFO, editor_workflow


def test_texts_that_are_resolved_say_so_in_the_settings_and_in_the_form(admin: Client, server: Any) -> None:
    template = make_template(publish=False)
    for path in ("", "preview/"):
        html = admin.get(address(template, path)).content.decode()
        assert html.count("{red|blue} picks one at random.") == 2  # the prompt and the negative prompt


def test_line_of_a_setting_names_its_type_as_the_list_does_unless_its_label_does(admin: Client, server: Any) -> None:
    html = admin.get(address(make_template(publish=False))).content.decode()
    lines = re.findall(r'<strong>(\w+)</strong>\s*<span class="studio-muted">([^<]*)</span>', html)
    said = {label: facts.partition(" · ")[0] for label, facts in lines}
    assert (said["Steps"], said["Prompt"], said["Seed"]) == ("Whole number", "Text (several lines)", "advanced")


@pytest.fixture
def two_servers(db: None) -> None:
    """They differ about the sampler's steps and samplers, and `newer` alone has an input and requires another."""
    newer = json.loads(json.dumps(OBJECT_INFO))
    sampler = newer["KSampler"]["input"]
    sampler["required"]["steps"] = ["INT", {"default": 20, "min": 1, "max": 30}]
    sampler["required"]["guidance"] = ["FLOAT", {"default": 1.0}]
    sampler["required"]["sampler_name"][0] = [*sampler["required"]["sampler_name"][0], "brand_new"]
    newer["EmptyLatentImage"]["input"]["optional"] = {"tiled": ["BOOLEAN", {}]}
    make_server("older", object_info=OBJECT_INFO)
    make_server("newer", "http://127.0.0.1:2", object_info=newer)


@pytest.mark.usefixtures("two_servers")
def test_what_servers_differ_about_is_said_at_the_node_and_at_the_parameter(admin: Client) -> None:
    template = make_template()
    html = admin.get(address(template)).content.decode()
    nodes, cards = html.split('id="parameters-title"')
    for words in (
        "newer requires the input “guidance”, which this workflow does not set.",
        "Only newer has the input “tiled”; this workflow does not set it.",
        "Choices differ: “brand_new” only on newer.",
        "Bounds differ: 1 to 30 on newer; 1 to 10000 on older.",
    ):
        assert words in nodes
    assert nodes.count("Servers differ") == 2
    assert "Bounds differ: 1 to 30 on newer; 1 to 10000 on older." in cards
    assert "KSampler (node 3): newer requires the input" in nodes.split('id="nodes-title"')[0]  # in the state


@pytest.mark.usefixtures("two_servers")
def test_parameter_keeps_what_servers_differ_about_when_it_changes(admin: Client) -> None:
    html = post(admin, make_template(), "expose/", node="3", input="sampler_name", on="1").content.decode()
    assert "Choices differ: “brand_new” only on newer." in html


@pytest.mark.usefixtures("two_servers")
def test_input_that_only_one_server_has_is_a_note_of_the_import(admin: Client) -> None:
    graph = txt2img_graph()
    graph["5"]["inputs"]["tiled"] = True
    response = admin.post(f"{BASE}import/", {"workflow": json.dumps(graph)}, follow=True)
    html = response.content.decode()
    assert "EmptyLatentImage (node 5), input “tiled”: Only newer has this input; older runs without it." in html
    assert "KSampler (node 3): newer requires the input “guidance”" in html


def test_one_server_has_nobody_to_differ_from(admin: Client, server: Any) -> None:
    assert "Servers differ" not in admin.get(address(make_template())).content.decode()


def test_every_missing_file_is_listed_with_its_node_folder_and_link(admin: Client, server: Any) -> None:
    workflow = editor_workflow()
    loader = next(each for each in workflow["nodes"] if each["type"] == "CheckpointLoaderSimple")
    loader["widgets_values"] = ["sub/gone.safetensors"]
    link = "https://models.example/gone.safetensors"
    loader["properties"]["models"] = [{"name": "gone.safetensors", "url": link, "directory": "checkpoints"}]
    admin.post(f"{BASE}import/", {"workflow": json.dumps(workflow)})
    template = WorkflowTemplate.objects.get()
    page = admin.get(address(template)).content.decode()
    listed = " ".join(page.partition('id="missing-title"')[2].partition("</section>")[0].split())
    assert "1 file that no server has" in listed
    assert "<strong>sub/gone.safetensors</strong>" in listed and "models/checkpoints" in listed
    assert f'data-node-link="{loader["id"]}"' in listed
    assert f'href="{link}" target="_blank" rel="noopener noreferrer">Download from models.example<' in listed


def test_nothing_is_listed_where_every_file_is_there(admin: Client, server: Any) -> None:
    admin.post(f"{BASE}import/", {"workflow": json.dumps(editor_workflow())})
    assert 'id="missing-title"' not in admin.get(address(WorkflowTemplate.objects.get())).content.decode()


def test_titles_and_values_of_strangers_are_shown_as_text(admin: Client, server: Any) -> None:
    graph = txt2img_graph()
    graph["6"]["_meta"] = {"title": "<script>alert(1)</script>"}
    graph["6"]["inputs"]["text"] = "</script><img src=x onerror=alert(1)>"
    template = make_template(graph=graph)
    for response in (admin.get(address(template)), post(admin, template, "expose/", node="6", input="text", on="1")):
        html = response.content.decode()
        assert "<script>alert" not in html and "<img src=x" not in html
