import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generations.comfy.graph import (
    GraphError,
    check_graph,
    is_link,
    load_api_graph,
    model_choices,
    node_classes,
    node_title,
    output_nodes,
    with_own_options,
)
from generations.comfy.object_info import input_spec
from tests.comfy.recorded import NAMES, OBJECT_INFO, recording

TXT2IMG: dict[str, Any] = recording("sd15_cold")["prompt"]


@pytest.mark.parametrize("name", NAMES)
def test_recorded_prompts_load_unchanged(name: str) -> None:
    prompt = recording(name)["prompt"]
    assert load_api_graph(json.dumps(prompt)) == prompt


def test_bytes_with_a_byte_order_mark_load() -> None:
    assert load_api_graph(b"\xef\xbb\xbf" + json.dumps(TXT2IMG).encode()) == TXT2IMG


@pytest.mark.parametrize(
    "wrap",
    [
        lambda graph: {"prompt": graph, "client_id": "x"},
        lambda graph: {"prompt": json.dumps(graph), "workflow": {"nodes": []}},
        lambda graph: {"output": graph, "workflow": {"nodes": []}},
    ],
)
def test_wrappers_are_taken_off(wrap: Any) -> None:
    assert load_api_graph(wrap(TXT2IMG)) == TXT2IMG


def test_a_node_may_be_called_prompt() -> None:
    graph = {"prompt": {"class_type": "A", "inputs": {}}}
    assert load_api_graph(graph) == graph


def test_missing_inputs_are_added_to_a_copy() -> None:
    source: dict[str, dict[str, Any]] = {
        "1": {"class_type": "Note"},
        "2": {"class_type": "A", "inputs": None},
    }
    graph = load_api_graph(source)
    assert graph["1"]["inputs"] == graph["2"]["inputs"] == {}
    assert "inputs" not in source["1"]


@given(st.integers(min_value=-(2**63), max_value=2**64 - 1))
@settings(max_examples=50)
def test_integers_of_64_bits_make_the_round_trip(number: int) -> None:
    graph = {"1": {"class_type": "A", "inputs": {"seed": number}}}
    loaded = load_api_graph(json.dumps(graph))
    assert json.loads(json.dumps(loaded)) == graph
    assert type(loaded["1"]["inputs"]["seed"]) is int


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "not a JSON file"),
        ("hello", "not a JSON file"),
        (b"\x89PNG\r\n", "not a JSON file"),
        ("null", "holds no workflow"),
        ("{}", "holds no workflow"),
        ("[1, 2]", "holds no workflow"),
        ('{"prompt": {}}', "holds no workflow"),
        ('{"prompt": 5}', "holds no workflow"),
        ('{"nodes": [], "links": []}', "editor format"),
        ({"1": {"inputs": {}}}, "“1” is not a node"),
        ({"1": "x"}, "“1” is not a node"),
        ({"1": {"class_type": 5}}, "“1” is not a node"),
        ({"1": {"class_type": "A", "inputs": []}, "2": {"class_type": "A", "inputs": [1]}}, "not an object"),
    ],
)
def test_what_is_no_workflow_is_told_with_what_to_do(source: object, words: str) -> None:
    with pytest.raises(GraphError, match=words) as caught:
        load_api_graph(source)
    assert "Export (API)" in str(caught.value)


def test_a_link_to_a_missing_node_names_both() -> None:
    graph = copy.deepcopy(TXT2IMG)
    del graph["4"]
    with pytest.raises(GraphError, match=r"“KSampler” \(3\) takes its input “model” from node 4"):
        load_api_graph(graph)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["4", 0], True),
        (["4", 1.0], True),
        ([4, 0], False),
        (["4"], False),
        (["4", "0"], False),
        (["4", True], False),
        (["4", 0, 1], False),
        ("4", False),
        ({"__value__": ["4", 0]}, False),
    ],
)
def test_a_link_is_a_list_of_text_and_number(value: object, expected: bool) -> None:
    assert is_link(value) is expected


def test_titles_fall_back_to_class_and_id() -> None:
    graph = load_api_graph({"1": {"class_type": "A", "_meta": {"title": " My node "}}, "2": {"class_type": "B"}})
    assert [node_title(graph, key) for key in ("1", "2", "1.0.0.3", "7")] == ["My node", "B", "My node", "7"]


def test_classes_models_and_outputs_of_the_default_workflow() -> None:
    assert node_classes(TXT2IMG) >= {"KSampler", "CheckpointLoaderSimple", "SaveImage"}
    assert list(model_choices(TXT2IMG)) == [("CheckpointLoaderSimple", "ckpt_name", "tiny-random-sd15.safetensors")]
    assert output_nodes(TXT2IMG, OBJECT_INFO) == ("9",)


@pytest.mark.parametrize("name", ["sd15_cold", "preview_and_animated", "text_output", "uploaded_input"])
def test_what_a_real_server_ran_has_no_problems(name: str) -> None:
    graph = recording(name)["prompt"]
    known = {c: OBJECT_INFO.get(c, {"input": {}, "output_node": True}) for c in node_classes(graph)}
    assert check_graph(graph, known) == []


def test_unknown_classes_are_listed_one_by_one() -> None:
    graph = copy.deepcopy(TXT2IMG)
    graph["3"]["class_type"] = "NoSuchSampler"
    graph["5"]["class_type"] = "NoSuchLatent"
    problems = check_graph(graph, OBJECT_INFO)
    assert [(p.node_id, p.title) for p in problems] == [("3", "KSampler"), ("5", "NoSuchLatent")]
    assert "NoSuchSampler" in problems[0].message


def test_a_missing_model_and_a_missing_input_are_told() -> None:
    graph = copy.deepcopy(TXT2IMG)
    graph["4"]["inputs"]["ckpt_name"] = "other.safetensors"
    del graph["3"]["inputs"]["positive"]
    messages = {p.node_id: p.message for p in check_graph(graph, OBJECT_INFO)}
    assert "other.safetensors" in messages["4"]
    assert "“positive”" in messages["3"]


@pytest.mark.parametrize(
    ("name", "value", "reason", "words"),
    [
        ("steps", 0, "value_smaller_than_min", "is 0; it must be at least 1"),
        ("steps", 20_000, "value_bigger_than_max", "is 20000; it must be at most 10000"),
        ("steps", {"__value__": 0}, "value_smaller_than_min", "at least 1"),
        ("seed", 2**64, "value_bigger_than_max", str(2**64)),
        ("cfg", "100.5", "value_bigger_than_max", "is 100.5; it must be at most 100"),
        ("steps", "7.5", "invalid_value", "“7.5”, where a number belongs"),
        ("steps", None, "invalid_value", "where a number belongs"),
        ("steps", [1, 2, 3], "bad_linked_input", "__value__"),
    ],
)
def test_values_that_the_server_refuses_are_told(name: str, value: object, reason: str, words: str) -> None:
    graph = copy.deepcopy(TXT2IMG)
    graph["3"]["inputs"][name] = value
    (problem,) = check_graph(graph, OBJECT_INFO)
    assert (problem.node_id, problem.field, problem.reason) == ("3", name, reason)
    assert words in problem.message


@pytest.mark.parametrize("value", [1, 10_000, "7", 7.9, True, {"__value__": 5}])
def test_numbers_are_judged_as_the_server_converts_them(value: object) -> None:
    graph = copy.deepcopy(TXT2IMG)
    graph["3"]["inputs"]["steps"] = value
    assert check_graph(graph, OBJECT_INFO) == []


def test_numbers_of_nodes_that_nothing_needs_do_not_matter() -> None:
    graph = {**copy.deepcopy(TXT2IMG), "99": {"class_type": "EmptyLatentImage", "inputs": {"width": -1}}}
    assert check_graph(graph, OBJECT_INFO) == []


def test_a_workflow_without_output_is_told() -> None:
    graph = {"1": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}}
    assert ["saves or shows" in p.message for p in check_graph(graph, OBJECT_INFO)] == [True]


def test_an_output_that_the_class_does_not_have_is_told() -> None:
    graph = {
        "1": {"class_type": "Two", "inputs": {}},
        "2": {"class_type": "Save", "inputs": {"one": ["1", 1], "other": ["1", 2], "any": ["3", 7]}},
        "3": {"class_type": "Any", "inputs": {}},
    }
    info: dict[str, Any] = {
        "Two": {"input": {}, "output": ["INT", "INT"]},
        "Any": {"input": {}, "output": ["*"]},
        "Save": {"input": {}, "output": [], "output_node": True},
    }
    (problem,) = check_graph(graph, info)
    assert (problem.node_id, problem.field, problem.reason) == ("2", "other", "bad_linked_input")
    assert problem.message == "The input “other” takes output 3 of “Two”, which has 2."
    info["Two"]["output"] = None
    assert check_graph(graph, info) == []


def test_a_loop_is_told() -> None:
    scale = {"upscale_method": "area", "width": 1, "height": 1, "crop": "disabled"}
    graph = {
        "1": {"class_type": "ImageScale", "inputs": {**scale, "image": ["2", 0]}},
        "2": {"class_type": "ImageScale", "inputs": {**scale, "image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
    }
    assert ["loop" in p.message for p in check_graph(graph, OBJECT_INFO)] == [True]


def test_dotted_names_satisfy_dynamic_inputs() -> None:
    info = {
        "A": {
            "input": {"required": {"images": ["COMFY_AUTOGROW_V3", {}], "model": ["X"]}},
            "output_node": True,
        }
    }
    graph = {"1": {"class_type": "A", "inputs": {"model.size": 1}}}
    assert check_graph(graph, info) == []


def test_dynamic_combo_can_become_what_the_node_has_all_inputs_for() -> None:
    size = {"size": [["small", "large"], {}]}
    options = [
        {"key": "now", "inputs": {"required": size}},
        {"key": "alike", "inputs": {"required": size, "optional": {"more": ["INT", {}]}}},
        {"key": "smaller", "inputs": {"required": {"size": [["small"], {}]}}},
        {"key": "longer", "inputs": {"required": {**size, "length": ["INT", {}]}}},
        {"key": "bare", "inputs": {}},
    ]
    info = {"Draw": {"input": {"required": {"model": ["COMFY_DYNAMICCOMBO_V3", {"options": options}]}}}}
    graph = {"1": {"class_type": "Draw", "inputs": {"model": "now", "model.size": "large"}}}
    found = with_own_options(graph, "1", input_spec(info, "Draw", "model"))
    assert found is not None
    assert (found.type, found.choices) == ("COMBO", ("now", "alike", "bare"))
    graph["1"]["inputs"]["model.length"] = 5
    longer = with_own_options(graph, "1", input_spec(info, "Draw", "model"))
    assert longer is not None and longer.choices == ("now", "alike", "longer", "bare")
    assert with_own_options(graph, "1", None) is None
