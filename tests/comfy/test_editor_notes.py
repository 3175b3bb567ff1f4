"""What the editor's file says of nodes, and the API format cannot."""

from __future__ import annotations

import pytest

from generations.comfy.editor_notes import keep_literal, note, notes_of, seed_mode_of, without_notes
from generations.comfy.graph import Graph
from generations.comfy.queued import inputs_to_resolve
from tests.comfy.noted import SAMPLER, imported, node, run, workflow
from tests.support.workflows import OBJECT_INFO


def test_texts_of_a_graph_that_was_exported_mean_what_they_say() -> None:
    graph: Graph = {
        "1": {"class_type": "CLIPTextEncode", "inputs": {"text": "{json}"}, "_meta": {"title": "T"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "plain"}},
        "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "%date:yyyy%"}},
    }
    keep_literal(graph)
    assert graph["1"]["_meta"] == {"title": "T", "comfysaas": {"literal": ["text"]}}
    assert inputs_to_resolve(graph, OBJECT_INFO) == [("2", "text", "prompt"), ("3", "filename_prefix", "name")]
    assert without_notes(graph)["1"]["_meta"] == {"title": "T"}


def test_of_nodes_with_one_name_the_first_of_the_file_counts() -> None:
    graph = imported(
        workflow(
            node(9, "KSampler", [9, *SAMPLER[1:]]),
            node(2, "KSampler", SAMPLER),
            node(3, "SaveImage", ["%KSampler.seed%_%Second.seed%_%Other.steps%"]),
            node(4, "KSampler", SAMPLER, title="Second", properties={"Node name for S&R": "Other"}),
        )
    )
    graph["9"]["inputs"]["seed"] = 10  # set by a user
    graph["4"]["inputs"]["seed"] = 2**64 - 1
    assert run(graph)["3"]["inputs"]["filename_prefix"] == "10_18446744073709551615_20"


def test_a_widget_that_a_link_replaces_keeps_its_own_value_in_names() -> None:
    inner = {
        "id": "11111111-2222-3333-4444-555555555555",
        "name": "Sub",
        "inputs": [{"id": "a", "name": "text", "type": "STRING", "linkIds": [1]}],
        "nodes": [node(5, "CLIPTextEncode", ["own"], title="Inner", inputs=[
            {"name": "text", "type": "STRING", "widget": {"name": "text"}, "link": 1},
        ])],
        "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 5, "target_slot": 0, "type": "STRING"}],
    }  # fmt: skip
    outer = node(1, str(inner["id"]), ["shown"], title="Sub", inputs=[
        {"name": "text", "type": "STRING", "widget": {"name": "text"}, "link": None},
    ])  # fmt: skip
    names = ["%Sub.text%_%Inner.text%_%KSampler.control_after_generate%"]
    graph = imported(
        workflow(outer, node(2, "SaveImage", names), node(3, "KSampler", SAMPLER), definitions={"subgraphs": [inner]})
    )
    graph["1:5"]["inputs"]["text"] = "set by a user"
    assert run(graph)["2"]["inputs"]["filename_prefix"] == "set by a user_own_increment"


def test_widgets_of_nodes_that_do_not_run_keep_the_value_of_the_file() -> None:
    graph = imported(
        workflow(
            node(1, "KSampler", SAMPLER, mode=2),
            node(3, "SaveImage", ["%KSampler.seed%_%KSampler.nope%_%Nobody.x%"]),
        )
    )
    assert list(graph) == ["3"]
    assert run(graph)["3"]["inputs"]["filename_prefix"] == "7_%KSampler.nope%_%Nobody.x%"


def test_a_primitive_node_stands_for_what_it_sets() -> None:
    primitive = node(1, "PrimitiveNode", [5, "fixed"], title="My seed", outputs=[
        {"name": "INT", "type": "INT", "links": [1], "widget": {"name": "seed"}},
    ])  # fmt: skip
    sampler = node(2, "KSampler", SAMPLER, inputs=[
        {"name": "seed", "type": "INT", "widget": {"name": "seed"}, "link": 1},
    ])  # fmt: skip
    graph = imported(
        workflow(primitive, sampler, node(3, "SaveImage", ["%My seed.value%"]), links=[[1, 1, 0, 2, 0, "INT"]])
    )
    graph["2"]["inputs"]["seed"] = 11
    assert run(graph)["3"]["inputs"]["filename_prefix"] == "11"


def test_what_the_editor_does_with_a_seed_after_each_run_is_noted() -> None:
    graph = imported(workflow(node(1, "KSampler", SAMPLER), node(2, "KSampler", [7, None, *SAMPLER[2:]])))
    assert seed_mode_of(graph, "1", "seed") == "increment"
    assert [seed_mode_of(graph, *key) for key in (("2", "seed"), ("1", "steps"), ("9", "seed"))] == ["", "", ""]


@pytest.mark.parametrize("meta", [None, [], {"comfysaas": 3}, {"comfysaas": {"literal": 3, "control": []}}])
def test_notes_that_are_none_are_as_good_as_missing(meta: object) -> None:
    graph: Graph = {"3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "%A.b%"}, "_meta": meta}}
    assert run(graph)["3"]["inputs"]["filename_prefix"] == "%A.b%"
    assert seed_mode_of(graph, "3", "seed") == ""
    note(graph["3"], literal=["filename_prefix"])
    assert notes_of(graph["3"])["literal"] == ["filename_prefix"]
