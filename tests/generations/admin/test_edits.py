"""What each click in the studio changes."""

from __future__ import annotations

from typing import Any

from django.test import Client

from generations.studio import drafts
from tests.generations.admin.pages import address, draft_names, post
from tests.support.factories import make_template, txt2img_graph


def test_ticked_input_is_exposed_and_the_answer_renews_the_page(admin: Client, server: Any) -> None:
    template = make_template(parameters=[])
    response = post(admin, template, "expose/", node="6", input="text", on="1")
    assert response["HX-Trigger"] == "draft-changed"
    html = response.content.decode()
    assert 'id="status" hx-swap-oob="true"' in html
    assert '"node_id": "6"' in html
    assert draft_names(template) == ["prompt"]
    post(admin, template, "expose/", node="6", input="text", on="")
    assert draft_names(template) == []


def test_inputs_are_set_together_and_apart(admin: Client, server: Any) -> None:
    template = make_template()
    post(admin, template, "join/", node="5", input="height", name="width")
    draft = drafts.draft_of(template)
    assert "height" not in draft_names(template)
    width = next(each for each in draft.parameters if each["name"] == "width")
    assert [each["input_name"] for each in width["bindings"]] == ["width", "height"]


def test_parameters_are_moved_and_removed(admin: Client, server: Any) -> None:
    template = make_template()
    names = draft_names(template)
    post(admin, template, "parameters/0/move/", to="1")
    assert draft_names(template)[:2] == [names[1], names[0]]
    post(admin, template, "parameters/1/remove/")
    assert names[0] not in draft_names(template)
    assert post(admin, template, "parameters/0/move/", to="-1").status_code == 404


def test_node_is_ticked_that_tells_whether_results_are_safe(admin: Client, server: Any) -> None:
    template = make_template()
    post(admin, template, "safety/", node="9", on="1")
    assert drafts.draft_of(template).safety_node == "9"
    assert 'data-safety="9" checked' in admin.get(address(template)).content.decode()
    post(admin, template, "safety/", node="9")
    assert drafts.draft_of(template).safety_node == ""


def test_results_of_a_node_are_hidden(admin: Client, server: Any) -> None:
    graph = txt2img_graph()
    graph["20"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    template = make_template(graph=graph)
    post(admin, template, "keep/", node="20", on="")
    assert drafts.draft_of(template).output_nodes == ["9"]
    post(admin, template, "keep/", node="20", on="1")
    assert drafts.draft_of(template).output_nodes == []
