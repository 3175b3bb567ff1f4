"""Which texts of a graph are resolved for each run, and what becomes of them."""

from __future__ import annotations

import json

import pytest

from generations.comfy.graph import Graph
from generations.comfy.queued import Resolved, UnfitTextError, inputs_to_resolve, resolve
from tests.comfy.noted import MOMENT, SAMPLER, imported, node, run, workflow
from tests.support.workflows import CASES, OBJECT_INFO


def converted(name: str) -> Graph:
    return imported(json.loads((CASES / "judgement" / f"{name}.ui.json").read_text()))


@pytest.mark.parametrize("name", ["date", "dynamic_prompt"])
def test_a_run_gets_the_texts_that_the_editor_queues(name: str) -> None:
    expected = json.loads((CASES / "judgement" / f"{name}.api.json").read_text())
    resolved = run(converted(name))
    for node_id, queued in expected.items():
        texts = {key: value for key, value in queued["inputs"].items() if isinstance(value, str) and key != "preview"}
        assert {key: resolved[node_id]["inputs"][key] for key in texts} == texts


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
