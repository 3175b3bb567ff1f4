"""Input nodes of other tools become settings, as they describe them."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy import input_nodes
from generations.comfy.app_mode import ChosenInput
from generations.parameters.bounds import check_bounds
from generations.parameters.chosen import chosen_parameters
from generations.parameters.schema import Parameter, parse_parameters

WORDS = {"input_id": "subject", "display_name": "What to draw", "description": "An animal."}
TEXT = ["STRING", {"multiline": True}]
NUMBER = ["FLOAT", {"min": -2147483647, "max": 2147483647, "step": 0.01}]
INTEGER = ["INT", {"min": -2147483647, "max": 2147483647}]
INFO: dict[str, Any] = {
    name: {"display_name": f"{name} (a tool)", "input": {"required": {value: spec}}, "output": ["*"]}
    for name, value, spec in [
        ("ComfyUIDeployExternalText", "default_value", TEXT),
        ("ComfyUIDeployExternalNumberInt", "default_value", INTEGER),
        ("ComfyUIDeployExternalNumberSlider", "default_value", NUMBER),
        ("ComfyUIDeployExternalBoolean", "default_value", ["BOOLEAN", {}]),
        ("ComfyUIDeployExternalEnum", "default_value", ["STRING", {}]),
        ("ComfyUIDeployExternalSeed", "default_value", ["INT", {"default": -1}]),
        ("ComfyUIDeployExternalLora", "default_lora_name", [["a.safetensors", "b.safetensors"], {}]),
        ("ComfyUIDeployExternalCheckpoint", "default_value", [["c.safetensors"], {}]),
        ("ComfyUIDeployExternalVideo", "default_value", [["a.mp4"], {}]),
        ("ComfyUIDeployExternalAudio", "audio_file", ["STRING", {}]),
        ("ShellAgentPluginInputText", "default_value", TEXT),
        ("ShellAgentPluginInputInteger", "default_value", ["INT", {}]),
        ("ShellAgentPluginInputFloat", "default_value", ["FLOAT", {}]),
        ("ShellAgentPluginInputImage", "default_value", [["a.png"], {"image_upload": True}]),
        ("Komfy_Integer", "value", ["INT", {"min": -(2**31), "max": 2**31 - 1}]),
        ("Komfy_AspectRatio", "ratio", [["1:1", "16:9"], {}]),
        ("SwarmInputInteger", "value", ["INT", {"min": -(2**64), "max": 2**64}]),
        ("SwarmInputDropdown", "value", ["STRING", {}]),
        ("CPackInputInt", "value", ["INT", {}]),
        ("ETN_Parameter", "default", ["STRING", {}]),
        ("SaltInput", "input_value", TEXT),
        ("IntegerInput_fal", "number", ["INT", {"default": 0}]),
        ("LoadImage", "image", [["a.png"], {"image_upload": True}]),
    ]
}


def node(class_type: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or f"{class_type} (a tool)"}}


def only(one: dict[str, Any], **others: dict[str, Any]) -> ChosenInput:
    choice, _tools = input_nodes.read({"1": one, **others}, INFO)
    assert (choice.notes, len(choice.inputs)) == ([], 1)
    return choice.inputs[0]


def parameter(one: dict[str, Any], **others: dict[str, Any]) -> Parameter:
    graph = {"1": one, **others}
    found = chosen_parameters(graph, [only(one, **others)], INFO)[0]
    check_bounds(parse_parameters([found.model_dump()]), graph, INFO)
    return found


def test_words_of_comfy_deploy_become_name_label_and_help() -> None:
    found = parameter(node("ComfyUIDeployExternalText", **WORDS, default_value="a fox"))
    assert (found.name, found.label, found.help) == ("subject", "What to draw", "An animal.")
    assert (found.type, found.default) == ("text", "a fox")
    assert [each.input_name for each in found.bindings] == ["default_value"]


@pytest.mark.parametrize(
    ("class_type", "inputs", "wanted"),
    [
        ("ComfyUIDeployExternalNumberInt", {"default_value": 7}, {"type": "integer", "default": 7}),
        (
            "ComfyUIDeployExternalNumberSlider",
            {"default_value": 0.5, "min_value": 0, "max_value": 2},
            {"type": "number", "default": 0.5, "minimum": 0, "maximum": 2},
        ),
        ("ComfyUIDeployExternalBoolean", {"default_value": True}, {"type": "boolean", "default": True}),
        (
            "ComfyUIDeployExternalEnum",
            {"default_value": "oil", "options": '["oil", "ink", 3]'},
            {"type": "choice", "default": "oil", "choices": ("oil", "ink", 3)},
        ),
        ("ComfyUIDeployExternalEnum", {"default_value": "oil", "options": ""}, {"type": "string", "default": "oil"}),
        (
            "ComfyUIDeployExternalSeed",
            {"default_value": -1, "min_value": 1, "max_value": 4294967295},
            {"type": "seed", "default": None, "minimum": 1, "maximum": 4294967295},
        ),
        (
            "ComfyUIDeployExternalLora",
            {"default_lora_name": "a.safetensors", "lora_url": ""},
            {"type": "choice", "is_live": True, "default": "a.safetensors"},
        ),
        ("ComfyUIDeployExternalCheckpoint", {"default_value": "c.safetensors"}, {"type": "choice", "is_live": True}),
        ("ComfyUIDeployExternalVideo", {"default_value": "a.mp4"}, {"type": "video", "default": None}),
        ("ComfyUIDeployExternalAudio", {"audio_file": ""}, {"type": "audio", "default": None, "required": True}),
    ],
)
def test_nodes_of_comfy_deploy(class_type: str, inputs: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = parameter(node(class_type, **WORDS, **inputs))
    assert {name: getattr(found, name) for name in wanted} == wanted
    assert (found.name, found.label) == ("subject", "What to draw")


def test_picture_of_comfy_deploy_is_uploaded_into_the_loader_behind_it() -> None:
    external = node("ComfyUIDeployExternalImage", input_id="photo", default_value=["2", 0], default_value_url="")
    choice, _tools = input_nodes.read({"1": external, "2": node("LoadImage", image="a.png")}, INFO)
    assert choice.inputs == [ChosenInput((("2", "image"),), label="Photo", name="photo", type="image")]


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (node("ComfyUIDeployExternalImage", input_id="photo"), "Connect a Load Image node to its “default_value”"),
        (
            node("ComfyUIDeployExternalImage", default_value=["2", 0], default_value_url="http://x/y"),
            "default_value_url",
        ),
        (node("ComfyUIDeployExternalNumber", input_id="512", default_value=1.5), "uses its “input_id”"),
        (node("ComfyUIDeployExternalLora", lora_url="http://x", default_lora_name="a.safetensors"), "“lora_url”"),
        (node("ComfyUIDeployExternalText", input_id="x", default_value=["2", 0]), "gets its value from the node"),
        (node("ComfyUIDeployExternalEXR", input_id="x", exr_file=""), "takes what no form can give"),
        (node("ComfyUIDeployExternalFaceModel", input_id="x"), "takes what no form can give"),
        (node("ETN_KritaCanvas"), "takes what no form can give"),
        (node("ETN_Parameter", name="On", type="toggle", default="true"), "no value that a form can set"),
        (node("SaltInput", input_name="x", input_type="IMAGE", input_value=""), "no value that a form can set"),
        (node("SwarmInputImage", title="x", value=""), "takes what no form can give"),
    ],
)
def test_input_that_no_form_can_set_is_named(one: dict[str, Any], words: str) -> None:
    choice, tools = input_nodes.read({"1": one, "2": node("LoadImage", image="a.png")}, INFO)
    assert (choice.inputs, tools, len(choice.notes)) == ([], [], 1)
    assert words in choice.notes[0]
    assert f"“{one['_meta']['title']}” (1)" in choice.notes[0]


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (
            node("ShellAgentPluginInputText", input_name="style", default_value="oil", choices="['oil', 'ink']"),
            {"name": "style", "label": "Style", "type": "choice", "choices": ("oil", "ink"), "default": "oil"},
        ),
        (
            node("ShellAgentPluginInputInteger", input_name="how_many", default_value=4, minimum=2, maximum=8, step=2),
            {"name": "how_many", "label": "How many", "minimum": 2, "maximum": 8, "step": 2, "default": 4},
        ),
        (
            node("ShellAgentPluginInputFloat", input_name="x", default_value=3.5, minimum=0.0, maximum=0.0, choices=""),
            {"type": "number", "minimum": None, "maximum": None, "default": 3.5},
        ),
        (
            node("ShellAgentPluginInputImage", input_name="face", default_value="a.png", description="Yours"),
            {"type": "image", "help": "Yours", "label": "Face", "default": None},
        ),
        (
            node("Komfy_Integer", "Image width", value=512),
            {"name": "image_width", "label": "Image width", "default": 512},
        ),
        (
            node("Komfy_AspectRatio", "Format", ratio="1:1"),
            {"label": "Format", "type": "choice", "choices": ("1:1", "16:9")},
        ),
        (
            node("SwarmInputInteger", title="How many", raw_id="", value=3, min=1, max=9, step=1, is_advanced=True),
            {"name": "how_many", "label": "How many", "minimum": 1, "maximum": 9, "is_advanced": True},
        ),
        (
            node("SwarmInputDropdown", title="Style", value="two", values="one, two,three"),
            {"type": "choice", "choices": ("one", "two", "three"), "default": "two"},
        ),
        (
            node("CPackInputInt", "width", value=1024, min=24, max=2048),
            {"name": "width", "minimum": 24, "maximum": 2048},
        ),
        (
            node("ETN_Parameter", name="1. Steps", type="number (integer)", default="20", min=1.0, max=50.0),
            {"type": "integer", "default": 20, "label": "1. steps"},
        ),
        (
            node("SaltInput", input_name="fast", input_desc="Or good?", input_type="BOOLEAN", input_value="True"),
            {"name": "fast", "type": "boolean", "default": True, "help": "Or good?"},
        ),
        (
            node("IntegerInput_fal", name="width", number=512, min=64, max=2048, step=8),
            {"name": "width", "minimum": 64, "maximum": 2048, "step": 8, "default": 512},
        ),
    ],
)
def test_nodes_of_other_tools(one: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = parameter(one)
    assert {name: getattr(found, name) for name in wanted} == wanted


def test_order_is_that_of_the_nodes_but_where_they_have_a_priority() -> None:
    graph = {
        "1": node("SwarmInputInteger", title="Last", value=1, order_priority=5),
        "2": node("SwarmInputInteger", title="First", value=1, order_priority=-1),
        "3": node("Komfy_Integer", "Middle", value=1),
        "4": node("LoadImage", image="a.png"),
    }
    choice, tools = input_nodes.read(graph, INFO)
    assert [one.input_keys[0][0] for one in choice.inputs] == ["2", "3", "1"]
    assert tools == ["SwarmUI", "Komfy"]


@pytest.mark.parametrize("text", ["[" * 9000, "9" * 9000, "[1, {}, None, True]", "\x00", "a,,a", "__import__('os')"])
def test_lists_of_choices_are_never_an_error(text: str) -> None:
    found = only(node("ShellAgentPluginInputText", input_name="x", default_value="a", choices=text))
    assert all(type(choice) in {str, int, float} for choice in found.choices)


def test_without_schemas_the_classes_alone_tell() -> None:
    graph = {
        "1": node("ComfyUIDeployExternalText", **WORDS, default_value="a fox"),
        "2": node("Komfy_Integer", "Width", value=3),
    }
    choice, _tools = input_nodes.read(graph, None)
    assert [(each.name, each.type) for each in chosen_parameters(graph, choice.inputs)] == [
        ("subject", "text"),
        ("width", "integer"),
    ]
