"""An editor's workflow made from a graph: nodes find themselves in it, and the editor makes the same graph of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from generations.comfy.convert import convert
from generations.comfy.graph import load_api_graph
from generations.comfy.sketch import MAX_KEPT_BYTES, editor_workflow, kept_of
from tests.comfy.cases import load, names, plain
from tests.support.factories import txt2img_graph
from tests.support.workflows import OBJECT_INFO

INCOMPLETE = {"mute_widget_source"}  # lacks an input, so it does not run; the workflow has its default


@pytest.mark.parametrize("name", sorted(set(names("handmade")) - INCOMPLETE))
def test_the_editor_makes_the_same_graph_of_it(name: str) -> None:
    graph = convert(load("handmade", name), OBJECT_INFO)
    made = json.loads(json.dumps(editor_workflow(graph, object_info=OBJECT_INFO)))
    assert plain(convert(made, OBJECT_INFO)) == plain(graph)


def test_nodes_find_themselves_and_their_neighbours() -> None:
    made = editor_workflow(load_api_graph(txt2img_graph()))
    nodes = {node["id"]: node for node in made["nodes"]}
    assert set(nodes) == {3, 4, 5, 6, 7, 8, 9}
    assert nodes[9]["type"] == "SaveImage"
    links = {link[0]: link for link in made["links"]}
    (images,) = [slot for slot in nodes[9]["inputs"] if slot["name"] == "images"]
    assert links[images["link"]][1:5] == [8, 0, 9, 0]
    assert images["link"] in nodes[8]["outputs"][0]["links"]
    assert [len(slot["links"]) for slot in nodes[4]["outputs"]] == [1, 2, 1]  # model, clip, vae
    assert made["last_link_id"] == len(links)


def test_ids_of_inner_nodes_and_unknown_slots_do_no_harm() -> None:
    graph = {
        "12:3": {"class_type": "Strange", "inputs": {"n": 1, "list": {"__value__": [1, 2]}}},
        "4": {"class_type": "Other", "inputs": {"a": ["12:3", 99_999_999], "b": ["12:3", 1]}},
    }
    made = editor_workflow(load_api_graph(graph))
    assert [node["id"] for node in made["nodes"]] == ["12:3", 4]
    assert made["nodes"][0]["widgets_values"] == [1, [1, 2]]
    assert len(made["nodes"][0]["outputs"]) == 1000


WORKFLOW: dict[str, Any] = {
    "nodes": [
        {"id": 1, "type": "EmptyImage", "pos": [7, 8], "widgets_values": [64, 64, 1, 0], "inputs": [{"name": "x"}]},
        {
            "id": 2,
            "type": "Area",
            "properties": {"values": [[0, 0, 64, 64, 1.0]]},
            "widgets_values": {"name": "b", "p": 1},
        },
        {"id": 3, "type": "Note", "widgets_values": ["a secret of the author"]},
        {"id": 9, "type": "Area", "mode": 2, "properties": {"values": "muted"}},
        "malformed",
    ],
    "links": [],
}
GRAPH: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
    "2": {"class_type": "Area", "inputs": {"images": ["1", 0], "name": "b"}},
}


def test_what_the_editor_kept_of_the_nodes_that_run_goes_along_and_nothing_else() -> None:
    kept = kept_of(WORKFLOW, GRAPH)
    assert kept is not None
    assert set(kept) == {"1", "2"}
    first, second = editor_workflow(GRAPH, kept=kept)["nodes"]
    assert (first["pos"], second["properties"]) == ([7, 8], {"values": [[0, 0, 64, 64, 1.0]]})
    assert first["inputs"] == []  # links are those of the graph
    assert "secret" not in json.dumps(kept)


def test_values_that_users_set_take_their_places() -> None:
    bound = json.loads(json.dumps(GRAPH))
    bound["1"]["inputs"] |= {"height": 128, "color": 5}
    bound["2"]["inputs"]["name"] = "c"
    first, second = editor_workflow(bound, kept=kept_of(WORKFLOW, GRAPH), before=GRAPH)["nodes"]
    assert first["widgets_values"] == [64, 128, 1, 5]
    assert second["widgets_values"] == {"name": "c", "p": 1}


@pytest.mark.parametrize("workflow", [None, [], {}, {"nodes": 5}, {"nodes": [{"id": 1, "type": "Renamed"}]}])
def test_nothing_is_kept_of_what_does_not_fit(workflow: object) -> None:
    assert kept_of(workflow, GRAPH) is None


def test_too_much_is_not_kept() -> None:
    large = {"nodes": [{"id": 1, "type": "EmptyImage", "properties": {"x": "y" * MAX_KEPT_BYTES}}]}
    assert kept_of(large, GRAPH) is None
