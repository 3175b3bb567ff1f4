"""Which texts of a graph are resolved for each run, and what the editor's file says about them."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from generations.comfy.convert import convert
from generations.comfy.editor_notes import keep_literal, note, note_widgets, notes_of, seed_mode_of, without_notes
from generations.comfy.graph import Graph
from generations.comfy.queued import Resolved, UnfitTextError, inputs_to_resolve, put, resolve
from tests.support.workflows import CASES, OBJECT_INFO

MOMENT = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


def converted(name: str) -> Graph:
    return imported(json.loads((CASES / "judgement" / f"{name}.ui.json").read_text()))


def imported(workflow: dict[str, Any]) -> Graph:
    graph = convert(workflow, OBJECT_INFO)
    note_widgets(graph, workflow, OBJECT_INFO)
    return graph


def run(graph: Graph, **options: Any) -> Graph:
    """What ComfyUI gets."""
    bound = copy.deepcopy(graph)
    given: dict[str, Any] = {"now": MOMENT, "draw": lambda _count: 0, "kept": {}, "exposed": {}, **options}
    put(bound, resolve(bound, inputs_to_resolve(bound, OBJECT_INFO), **given))
    return without_notes(bound)


@pytest.mark.parametrize("name", ["date", "dynamic_prompt"])
def test_a_run_gets_the_texts_that_the_editor_queues(name: str) -> None:
    expected = json.loads((CASES / "judgement" / f"{name}.api.json").read_text())
    resolved = run(converted(name))
    for node_id, node in expected.items():
        texts = {key: value for key, value in node["inputs"].items() if isinstance(value, str) and key != "preview"}
        assert {key: resolved[node_id]["inputs"][key] for key in texts} == texts


def node(number: int, kind: str, values: list[Any], **fields: Any) -> dict[str, Any]:
    return {"id": number, "type": kind, "inputs": [], "outputs": [], "widgets_values": values, **fields}


def workflow(*nodes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"nodes": list(nodes), "links": [], "version": 0.4, **fields}


def test_only_inputs_with_dynamic_prompts_and_names_of_savers_are_resolved() -> None:
    graph = imported(
        workflow(
            node(1, "CLIPTextEncode", ["{a|b}"]),
            node(2, "StringConcatenate", ["{a|b}", "%date:yyyy%", "//"]),
            node(3, "SaveImage", ["{p|q}/%date:yyyy%"]),
        )
    )
    assert inputs_to_resolve(graph, OBJECT_INFO) == [("1", "text", "prompt"), ("3", "filename_prefix", "name")]
    resolved = run(graph)
    assert resolved["1"]["inputs"]["text"] == "a"
    assert resolved["2"]["inputs"] == {"string_a": "{a|b}", "string_b": "%date:yyyy%", "delimiter": "//"}
    assert resolved["3"]["inputs"]["filename_prefix"] == "{p|q}/2025"


def test_well_known_prompts_are_resolved_though_no_server_has_told_its_classes() -> None:
    graph = imported(workflow(node(1, "CLIPTextEncode", ["x"]), node(2, "StringConcatenate", ["x", "y", ""])))
    assert inputs_to_resolve(graph, None) == [("1", "text", "prompt")]


def test_what_the_schema_says_goes_before_what_is_well_known() -> None:
    plain = {"CLIPTextEncode": {"input": {"required": {"text": ["STRING", {"multiline": True}]}}}}
    own = {"Own": {"input": {"optional": {"t": ["STRING", {"dynamicPrompts": True}]}}}}
    graph: Graph = {
        "1": {"class_type": "CLIPTextEncode", "inputs": {"text": "x"}},
        "2": {"class_type": "Own", "inputs": {"t": "x"}},
    }
    assert inputs_to_resolve(graph, plain | own) == [("2", "t", "prompt")]


def test_texts_that_a_sub_graph_shows_on_its_outside_stay_as_they_are() -> None:
    """The editor queues their value as it is, JSON prompts for example."""
    inner = {
        "id": "11111111-2222-3333-4444-555555555555",
        "name": "Sub",
        "inputs": [{"id": "a", "name": "text", "type": "STRING", "linkIds": [1]}],
        "outputs": [],
        "nodes": [
            node(5, "CLIPTextEncode", ["{c|d}"], inputs=[
                {"name": "text", "type": "STRING", "widget": {"name": "text"}, "link": 1},
            ]),
            node(6, "CLIPTextEncode", ["{c|d}"]),
        ],
        "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 5, "target_slot": 0, "type": "STRING"}],
    }  # fmt: skip
    outer = node(1, str(inner["id"]), ['{"json": "prompt"}'], inputs=[
        {"name": "text", "type": "STRING", "widget": {"name": "text"}, "link": None},
    ])  # fmt: skip
    graph = imported(workflow(outer, definitions={"subgraphs": [inner]}))
    resolved = run(graph)
    assert resolved["1:5"]["inputs"]["text"] == '{"json": "prompt"}'
    assert resolved["1:6"]["inputs"]["text"] == "c"


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


SAMPLER = [7, "increment", 20, 8, "euler", "normal", 1]


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


def test_a_graph_without_the_editors_file_finds_nodes_by_class_and_title() -> None:
    graph: Graph = {
        "1": {"class_type": "KSampler", "inputs": {"seed": 4, "model": ["2", 0]}, "_meta": {"title": "Mine"}},
        "2": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}},
        "3": {"class_type": "SaveImage", "inputs": {
            "filename_prefix": "%KSampler.seed%%Mine.seed%%KSampler.model%%SaveImage.filename_prefix%",
        }},
    }  # fmt: skip
    assert run(graph)["3"]["inputs"]["filename_prefix"] == "44%KSampler.model%x"


def test_a_name_that_a_user_typed_reads_exposed_widgets_only() -> None:
    graph = imported(
        workflow(
            node(1, "KSampler", SAMPLER),
            node(2, "CLIPTextEncode", ["secret"]),
            node(3, "SaveImage", ["%CLIPTextEncode.text%"]),
        )
    )
    graph["3"]["inputs"]["filename_prefix"] = text = "%KSampler.seed%_%CLIPTextEncode.text%"
    exposed = {("1", "seed"): "seed", ("3", "filename_prefix"): "name"}
    typed = run(graph, exposed=exposed, typed={("3", "filename_prefix")})
    assert typed["3"]["inputs"]["filename_prefix"] == "7_%CLIPTextEncode.text%"
    assert run(graph, exposed=exposed)["3"]["inputs"]["filename_prefix"] == "7_secret"
    assert graph["3"]["inputs"]["filename_prefix"] == text


def test_one_setting_becomes_the_same_text_wherever_it_goes() -> None:
    graph = imported(workflow(*(node(number, "CLIPTextEncode", ["{a|b}"]) for number in (1, 2, 3))))
    draws = iter([0, 1])
    exposed = {("1", "text"): "prompt", ("2", "text"): "prompt"}
    resolved = run(graph, draw=lambda _count: next(draws), exposed=exposed)
    assert [resolved[each]["inputs"]["text"] for each in "123"] == ["a", "a", "b"]


def test_kept_texts_are_taken_as_they_are() -> None:
    graph = imported(workflow(node(1, "CLIPTextEncode", ["{a|b}"]), node(2, "SaveImage", ["%date:yyyy%"])))
    kept = {("1", "text"): "b", ("2", "filename_prefix"): "1999"}
    resolved = run(graph, kept=kept)
    assert (resolved["1"]["inputs"]["text"], resolved["2"]["inputs"]["filename_prefix"]) == ("b", "1999")


def test_only_texts_that_change_are_recorded() -> None:
    graph = imported(workflow(node(1, "CLIPTextEncode", ["{a|b}"]), node(2, "CLIPTextEncode", ["plain"])))
    found = resolve(
        graph, inputs_to_resolve(graph, OBJECT_INFO), now=MOMENT, draw=lambda _count: 1, kept={}, exposed={}
    )
    assert found == [Resolved("1", "text", "b")]


def test_a_name_that_grows_beyond_what_a_file_can_be_called_is_refused() -> None:
    graph = imported(workflow(node(1, "CLIPTextEncode", ["x" * 5000]), node(2, "SaveImage", ["%CLIPTextEncode.text%"])))
    with pytest.raises(UnfitTextError, match="“filename_prefix” of “Save Image” becomes too long once"):
        run(graph)
    graph["1"]["inputs"]["text"] = "x" * 4096
    assert run(graph)["2"]["inputs"]["filename_prefix"] == "x" * 4096


def test_a_long_value_is_not_written_for_each_of_its_patterns() -> None:
    graph = imported(workflow(node(1, "CLIPTextEncode", ["x" * 4096]), node(2, "SaveImage", [""])))
    graph["2"]["inputs"]["filename_prefix"] = "%CLIPTextEncode.text%" * 195
    with pytest.raises(UnfitTextError, match="becomes too long"):
        run(graph)
    graph["2"]["inputs"]["filename_prefix"] = "%CLIPTextEncode.text%" * 196
    with pytest.raises(UnfitTextError, match="has 4,116 characters; a file name has at most 4,096"):
        run(graph)


def test_how_much_is_resolved_for_one_run_is_limited_and_plain_texts_do_not_count() -> None:
    texts = ["{" + "a" * 500, "b" * 5000, "\\{" + "a" * 497]
    graph = imported(workflow(*(node(number, "CLIPTextEncode", [text]) for number, text in enumerate(texts, 1))))
    assert run(graph, most=1000)["2"]["inputs"]["text"] == "b" * 5000
    with pytest.raises(UnfitTextError, match="together they may have 999 characters for each run") as refusal:
        run(graph, most=999)
    assert refusal.value.input_key == ("3", "text")
    kept = {("1", "text"): "a"}
    assert run(graph, most=500, kept=kept)["1"]["inputs"]["text"] == "a"


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
