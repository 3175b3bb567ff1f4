import copy
import json
from typing import Any

import pytest

from generations.comfy.object_info import InputSpec, node_spec
from generations.parameters.detect import describe, suggest_parameter
from generations.parameters.schema import Parameter, check_bindings, parse_parameters
from tests.comfy.recorded import NAMES, OBJECT_INFO, recording

TXT2IMG: dict[str, Any] = recording("sd15_cold")["prompt"]


def suggestions(graph: dict[str, Any], object_info: dict[str, Any] | None) -> dict[str, Parameter]:
    inputs = [found for node in describe(graph, object_info) for found in node.inputs]
    return {found.suggested.name: found.suggested for found in inputs if found.suggested}


def test_the_default_workflow_is_proposed_well() -> None:
    found = suggestions(TXT2IMG, OBJECT_INFO)
    assert {name: p.type for name, p in found.items()} == {
        "seed": "seed",
        "steps": "integer",
        "cfg": "number",
        "sampler": "choice",
        "scheduler": "choice",
        "denoise": "number",
        "checkpoint": "choice",
        "width": "integer",
        "height": "integer",
        "batch_size": "integer",
        "prompt": "text",
        "negative_prompt": "text",
        "filename_prefix": "string",
    }
    prompt, steps, width = found["prompt"], found["steps"], found["width"]
    assert (prompt.label, prompt.default, prompt.required) == ("Prompt", "a bottle", True)
    assert found["negative_prompt"].bindings[0].node_id == "7"
    assert (steps.minimum, steps.maximum, steps.default) == (1, 10000, 6)
    assert (width.step, width.default, width.is_advanced) == (8, 64, False)
    assert found["sampler"].is_advanced
    assert "euler" in found["sampler"].choices
    assert (found["seed"].default, found["seed"].maximum) == (None, 2**64 - 1)
    assert found["cfg"].label == "CFG"


def test_without_knowledge_of_the_server_the_values_decide() -> None:
    found = suggestions(TXT2IMG, None)
    kinds = {name: found[name].type for name in ("seed", "steps", "cfg", "denoise", "prompt", "sampler")}
    assert kinds == {
        "seed": "seed",
        "steps": "integer",
        "cfg": "number",
        "denoise": "number",
        "prompt": "text",
        "sampler": "string",
    }


@pytest.mark.parametrize("known", [OBJECT_INFO, None])
@pytest.mark.parametrize("name", NAMES)
def test_suggestions_of_recorded_graphs_can_be_published_together(name: str, known: dict[str, Any] | None) -> None:
    graph = recording(name)["prompt"]
    found = list(suggestions(graph, known).values())
    stored = json.loads(json.dumps([parameter.model_dump(mode="json") for parameter in found]))
    parameters = parse_parameters(stored)
    assert list(parameters) == found
    check_bindings(parameters, graph)


def test_links_are_listed_with_their_source_and_not_suggested() -> None:
    sampler = next(node for node in describe(TXT2IMG, OBJECT_INFO) if node.node_id == "3")
    model = next(found for found in sampler.inputs if found.input_name == "model")
    assert (sampler.title, sampler.class_type) == ("KSampler", "KSampler")
    assert (model.is_link, model.linked_from, model.suggested) == (True, "4", None)


def test_equal_inputs_get_different_names() -> None:
    graph = copy.deepcopy(TXT2IMG)
    graph["13"] = {**copy.deepcopy(graph["3"]), "_meta": {"title": "Second pass"}}
    graph["14"] = copy.deepcopy(graph["13"])
    found = suggestions(graph, OBJECT_INFO)
    assert {"seed", "second_pass_seed", "seed_2"} <= found.keys()
    assert found["second_pass_seed"].label == "Seed (Second pass)"


def test_a_text_that_feeds_both_sides_has_no_role() -> None:
    graph = copy.deepcopy(TXT2IMG)
    graph["3"]["inputs"]["negative"] = ["6", 0]
    del graph["7"]
    assert "text" in suggestions(graph, OBJECT_INFO)
    assert "prompt" not in suggestions(graph, OBJECT_INFO)


def test_roles_pass_through_nodes_between() -> None:
    graph = copy.deepcopy(TXT2IMG)
    graph["20"] = {
        "class_type": "ConditioningSetTimestepRange",
        "inputs": {"conditioning": ["6", 0], "start": 0.5},
    }
    graph["3"]["inputs"]["positive"] = ["20", 0]
    assert suggestions(graph, OBJECT_INFO)["prompt"].bindings[0].node_id == "6"


@pytest.mark.parametrize(
    ("class_type", "name", "kind"),
    [("LoadImage", "image", "image"), ("LoadVideo", "file", "video"), ("LoadAudio", "audio", "audio")],
)
def test_upload_inputs_become_media(class_type: str, name: str, kind: str) -> None:
    spec = node_spec(OBJECT_INFO, class_type)
    assert spec is not None
    parameter = suggest_parameter("1", name, "some.file", spec.input(name))
    assert (parameter.type, parameter.default, parameter.required) == (kind, None, True)


def test_a_value_that_breaks_the_rules_is_no_default() -> None:
    checkpoint = InputSpec("ckpt_name", "COMBO", choices=("a.safetensors",))
    assert suggest_parameter("1", "ckpt_name", "gone.safetensors", checkpoint).default is None
    assert suggest_parameter("1", "steps", 0, InputSpec("steps", "INT", min=1)).default is None


@pytest.mark.parametrize(
    ("value", "spec", "kind"),
    [
        (True, None, "boolean"),
        (5, None, "integer"),
        (5.5, None, "number"),
        ("word", None, "string"),
        ("two\nlines", None, "text"),
        ("x" * 200, InputSpec("x", "STRING"), "text"),
        ("x", InputSpec("x", "STRING", multiline=True), "text"),
        ("x", InputSpec("x", "COMBO", choices=None), "string"),
        ("x", InputSpec("x", "COMBO", choices=()), "string"),
        (1, InputSpec("x", "COMBO", choices=(1, 2)), "choice"),
        (1, InputSpec("x", "FLOAT"), "number"),
        (1, InputSpec("x", "FLOAT", step=-1), "number"),
        (7, InputSpec("x", "INT", is_seed=True), "seed"),
    ],
)
def test_kinds_follow_the_spec_and_then_the_value(value: object, spec: InputSpec | None, kind: str) -> None:
    assert suggest_parameter("1", "x", value, spec).type == kind


@pytest.mark.parametrize("value", [["4", 0], [1, 2], {"a": 1}, None])
def test_what_no_parameter_can_carry_is_refused_and_not_suggested(value: object) -> None:
    with pytest.raises(ValueError, match="no constant"):
        suggest_parameter("1", "x", value)
    (node,) = describe({"1": {"class_type": "A", "inputs": {"x": value}}})
    assert node.inputs[0].suggested is None


@pytest.mark.parametrize("name", ["1st", "", "Ünïcödé", "a.b[c]", "x" * 300])
def test_strange_input_names_still_give_a_parameter(name: str) -> None:
    if not name:
        with pytest.raises(ValueError, match="input_name"):
            suggest_parameter("1", name, 1)
    else:
        assert suggest_parameter("1", name[:200], 1).bindings[0].input_name == name[:200]
