"""What authors chose in the editor's app mode, in every form in which the editor kept it."""

from __future__ import annotations

import copy
import importlib.resources
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generations.comfy import app_mode
from generations.comfy.app_mode import Choice, ChosenInput
from generations.comfy.convert import ConversionError, convert
from generations.comfy.graph import needed_nodes, output_nodes
from generations.comfy.wire import decode
from tests.support.workflows import CASES, OBJECT_INFO, newest_object_info

SUB = "11111111-2222-3333-4444-555555555555"
GRAPH = "99999999-2222-3333-4444-555555555555"
INFO: dict[str, Any] = {
    "Text": {"input": {"required": {"text": ["STRING", {"multiline": True}]}}, "output": ["STRING"]},
    "Draw": {
        "input": {
            "required": {
                "prompt": ["STRING", {}],
                "seed": ["INT", {"control_after_generate": True}],
                "size": ["INT", {"default": 512}],
            }
        },
        "output": ["IMAGE"],
    },
    "Save": {"input": {"required": {"image": ["IMAGE", {}]}}, "output": [], "output_node": True},
}


def slot(name: str, link: int | None = None, **fields: Any) -> dict[str, Any]:
    return {"name": name, "type": "STRING", "widget": {"name": name}, "link": link, **fields}


def node(node_id: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": kind, "mode": 0, "inputs": [], "outputs": [], **fields}


def draw(node_id: int = 1, *, values: Any = ("a fox", 7, "fixed", 512), **fields: Any) -> dict[str, Any]:
    slots = fields.pop("inputs", [slot("prompt")])
    outputs = [{"name": "IMAGE", "type": "IMAGE", "links": []}]
    return node(node_id, "Draw", inputs=slots, outputs=outputs, widgets_values=list(values), **fields)


def save(node_id: int, link: int, **fields: Any) -> dict[str, Any]:
    return node(node_id, "Save", inputs=[{"name": "image", "type": "IMAGE", "link": link}], **fields)


def workflow(
    *nodes: dict[str, Any], links: Any = ((9, 1, 0, 2, 0, "IMAGE"),), inputs: Any = (), outputs: Any = (), **fields: Any
) -> dict[str, Any]:
    extra = {"frontendVersion": "1.58.1", "linearData": {"inputs": list(inputs), "outputs": list(outputs)}}
    return {"id": GRAPH, "nodes": list(nodes), "links": [list(link) for link in links], "extra": extra, **fields}


def choice(value: dict[str, Any], info: Any = INFO) -> Choice:
    return app_mode.read(value, convert(value, info), info)


def simple(*inputs: Any, outputs: Any = (), **fields: Any) -> Choice:
    return choice(workflow(draw(**fields), save(2, 9), inputs=inputs, outputs=outputs))


def drawing() -> dict[str, Any]:
    """Definitions with one sub-graph: node 5 in it draws what it gives."""
    link = {"id": 2, "origin_id": 5, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "IMAGE"}
    outputs = [{"name": "IMAGE", "type": "IMAGE", "linkIds": [2]}]
    return {"subgraphs": [{"id": SUB, "nodes": [draw(5)], "outputs": outputs, "links": [link]}]}


def nested(*inputs: Any, outputs: Any = (), label: str = "", outside: Any = None, more: Any = ()) -> Choice:
    """Node 5 in a sub-graph, of which there is one instance: node 10. Its prompt is shown on the outside."""
    outer = slot("prompt", outside)
    instance = node(
        10, SUB, inputs=[outer], outputs=[{"name": "IMAGE", "type": "IMAGE", "links": [9]}], widgets_values=["a fox"]
    )
    inside = {
        "id": SUB,
        "name": "Drawing",
        "inputs": [{"name": "prompt", "type": "STRING", "linkIds": [1], **({"label": label} if label else {})}],
        "outputs": [{"name": "IMAGE", "type": "IMAGE", "linkIds": [2]}],
        "nodes": [draw(5, inputs=[slot("prompt", 1)]), *more],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 5, "target_slot": 0, "type": "STRING"},
            {"id": 2, "origin_id": 5, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "IMAGE"},
        ],
    }
    text = node(3, "Text", outputs=[{"name": "STRING", "type": "STRING", "links": [8]}], widgets_values=["a hare"])
    links = [(9, 10, 0, 2, 0, "IMAGE"), *([(8, 3, 0, 10, 0, "STRING")] if outside else [])]
    return choice(
        workflow(
            instance, text, save(2, 9), links=links, inputs=inputs, outputs=outputs, definitions={"subgraphs": [inside]}
        )
    )


# ---------------------------------------------------------------------------------------------- the forms
def test_inputs_and_outputs_keep_the_authors_order() -> None:
    found = simple(["1", "size"], [1, "prompt"], outputs=[2])
    assert [one.input_keys for one in found.inputs] == [(("1", "size"),), (("1", "prompt"),)]
    assert (found.outputs, found.notes) == (["2"], [])


@pytest.mark.parametrize("ref", ["5", 5, "10:5", f"{SUB}:5", f"{GRAPH}:10", f"{GRAPH}:10:prompt", 10, "10"])
def test_input_of_a_sub_graph_is_found_by_each_form_of_its_id(ref: Any) -> None:
    assert [one.input_keys for one in nested([ref, "prompt"]).inputs] == [(("10:5", "prompt"),)]


def test_id_that_holds_the_name_is_followed_by_it_whatever_the_entry_calls_it() -> None:
    assert [one.input_keys for one in nested([f"{GRAPH}:10:prompt", "Text"]).inputs] == [(("10:5", "prompt"),)]
    assert [one.input_keys for one in simple([f"{GRAPH}:1:size", "Size", {"height": 80}]).inputs] == [(("1", "size"),)]


def test_inner_input_that_is_not_shown_outside_is_set_where_it_is() -> None:
    assert [one.input_keys for one in nested(["5", "size"]).inputs] == [(("10:5", "size"),)]


def test_input_shown_by_the_list_of_older_instances() -> None:
    value = workflow(
        node(
            10,
            SUB,
            outputs=[{"name": "IMAGE", "type": "IMAGE", "links": [9]}],
            properties={"proxyWidgets": [["5", "size"]]},
        ),
        save(2, 9),
        links=[(9, 10, 0, 2, 0, "IMAGE")],
        inputs=[["10", "size"]],
        definitions=drawing(),
    )
    assert [one.input_keys for one in choice(value).inputs] == [(("10:5", "size"),)]


def test_dotted_name_is_an_input_that_an_option_brings_along() -> None:
    info = {
        **INFO,
        "Draw": {
            "input": {
                "required": {
                    "model": [
                        "COMFY_DYNAMICCOMBO_V3",
                        {"options": [{"key": "fine", "inputs": {"required": {"quality": [["low", "high"], {}]}}}]},
                    ]
                }
            },
            "output": ["IMAGE"],
        },
    }
    value = workflow(
        draw(values=["fine", "high"], inputs=[]), save(2, 9), inputs=[["1", "model.quality"], ["1", "model"]]
    )
    assert [one.input_keys for one in choice(value, info).inputs] == [(("1", "model.quality"),), (("1", "model"),)]


def test_primitive_of_the_editor_sets_all_that_it_feeds() -> None:
    primitive = node(
        7,
        "PrimitiveNode",
        title="Subject",
        outputs=[{"name": "STRING", "type": "STRING", "widget": {"name": "prompt"}, "links": [5, 6]}],
        widgets_values=["a hare"],
    )
    value = workflow(
        draw(1, inputs=[slot("prompt", 5)]),
        draw(4, inputs=[slot("prompt", 6)]),
        primitive,
        save(2, 9),
        save(3, 8),
        links=[
            (5, 7, 0, 1, 0, "STRING"),
            (6, 7, 0, 4, 0, "STRING"),
            (9, 1, 0, 2, 0, "IMAGE"),
            (8, 4, 0, 3, 0, "IMAGE"),
        ],
        inputs=[["7", "value"]],
    )
    assert choice(value).inputs == [ChosenInput((("1", "prompt"), ("4", "prompt")), title="Subject")]


def test_primitive_that_a_newer_editor_replaced_is_the_input_in_its_place() -> None:
    primitive = node(7, "PrimitiveNode", title="Subject", properties={"proxyBypassedToSubgraphInput": "prompt"})
    found = nested(["7", "value"], more=[primitive])
    assert found.inputs == [ChosenInput((("10:5", "prompt"),), label="Subject")]


def test_option_that_the_workflow_does_not_hold_everything_for_is_named() -> None:
    quality = {"quality": [["low", "high"], {}]}
    options = [
        {"key": "fine", "inputs": {"required": quality}},
        {"key": "rough", "inputs": {"required": quality}},
        {"key": "huge", "inputs": {"required": {**quality, "tiles": ["INT", {}]}}},
    ]
    info = {
        **INFO,
        "Draw": {
            "input": {"required": {"model": ["COMFY_DYNAMICCOMBO_V3", {"options": options}]}},
            "output": ["IMAGE"],
        },
    }
    value = workflow(draw(values=["fine", "high"], inputs=[]), save(2, 9), inputs=[["1", "model"]])
    found = choice(value, info)
    assert [one.input_keys for one in found.inputs] == [(("1", "model"),)]
    assert found.notes == [
        "“model” of “Draw” (1) cannot become huge: the workflow has no values for the inputs that come with it."
    ]


def test_entry_that_is_mentioned_twice_counts_once() -> None:
    found = simple(["1", "size"], [1, "size"], outputs=[2, "2"])
    assert (len(found.inputs), found.outputs, found.notes) == (1, ["2"], [])


def test_results_of_a_sub_graph_are_those_of_the_nodes_in_it() -> None:
    value = workflow(
        node(10, SUB),
        links=[],
        outputs=["10"],
        definitions={
            "subgraphs": [
                {
                    "id": SUB,
                    "nodes": [draw(5), save(6, 1)],
                    "links": [
                        {"id": 1, "origin_id": 5, "origin_slot": 0, "target_id": 6, "target_slot": 0, "type": "IMAGE"}
                    ],
                }
            ]
        },
    )
    assert choice(value).outputs == ["10:6"]
    value["extra"]["linearData"]["outputs"] = [6]
    assert choice(value).outputs == ["10:6"]


def test_node_outside_goes_before_one_of_the_same_number_inside() -> None:
    value = workflow(
        draw(5, inputs=[slot("prompt")]),
        node(10, SUB, outputs=[{"name": "IMAGE", "type": "IMAGE", "links": [8]}]),
        save(2, 9),
        save(3, 8),
        links=[(9, 5, 0, 2, 0, "IMAGE"), (8, 10, 0, 3, 0, "IMAGE")],
        inputs=[["5", "size"]],
        definitions=drawing(),
    )
    assert [one.input_keys for one in choice(value).inputs] == [(("5", "size"),)]


def instances(value: Any) -> list[tuple[int, int, str, int]]:
    """The widgets that instances show: position and id of the node, the widget's name and the place of its value."""
    kinds = {one["id"] for one in value["definitions"]["subgraphs"]}
    found = []
    for position, one in enumerate(value["nodes"]):
        names = [each["name"] for each in one.get("inputs", ()) if each.get("widget")]
        if one["type"] in kinds and len(names) == len(one.get("widgets_values") or ()):
            found += [(position, one["id"], name, at) for at, name in enumerate(names)]
    return found


@pytest.mark.parametrize("path", sorted((CASES / "handmade").glob("subgraph*.ui.json")), ids=lambda path: path.name)
def test_setting_is_bound_to_what_the_value_on_the_instance_reaches(path: Any) -> None:
    value = decode(path.read_text())
    graph = convert(value, OBJECT_INFO)
    for position, node_id, name, at in instances(value):
        changed = copy.deepcopy(value)
        values = changed["nodes"][position]["widgets_values"]
        values[at] = (
            values[at] + 1 if isinstance(values[at], int) else "center" if values[at] == "disabled" else "disabled"
        )
        other = convert(changed, OBJECT_INFO)
        reached = {
            (each, one)
            for each in graph
            for one in graph[each]["inputs"]
            if graph[each]["inputs"][one] != other[each]["inputs"][one]
        }
        changed["extra"] = {"linearData": {"inputs": [[node_id, name]]}}
        found = app_mode.read(changed, graph, OBJECT_INFO)
        assert {key for one in found.inputs for key in one.input_keys} == reached
        assert len(found.notes) == (not reached)  # a link goes before the value


# ---------------------------------------------------------------------------------------------- the words
def test_label_is_the_one_on_the_outside() -> None:
    assert simple(["1", "prompt"], inputs=[slot("prompt", label="Subject")]).inputs[0].label == "Subject"
    assert nested(["5", "prompt"], label="What to draw").inputs[0].label == "What to draw"


# ------------------------------------------------------------------------------------ what leads nowhere
@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (["8", "prompt"], "node 8, which is not in the file"),
        (["1", "steps"], "“Draw” (1), which has no such input"),
        (["1", "control_after_generate"], "not a setting of the graph"),
        (["1:2:3", "x"], "node 1:2:3, which is not in the file"),
        ([f"{GRAPH}:8:prompt", "prompt"], "which is not in the file"),
        ("prompt", "cannot be read"),
        (["1"], "cannot be read"),
    ],
)
def test_entry_that_leads_nowhere_is_reported(entry: Any, words: str) -> None:
    found = simple(entry, ["1", "size"])
    assert [one.input_keys for one in found.inputs] == [(("1", "size"),)]
    assert len(found.notes) == 1
    assert words in found.notes[0]


@pytest.mark.parametrize(("mode", "word"), [(2, "muted"), (4, "bypassed")])
def test_switched_off_node_is_reported(mode: int, word: str) -> None:
    value = workflow(
        draw(),
        save(2, 9),
        draw(3, mode=mode, title="Other"),
        inputs=[["3", "size"]],
        outputs=[2],
    )
    found = choice(value)
    assert found.inputs == []
    assert found.notes == [
        f"The author wanted users to set “size” of “Other” (3), which is {word}; they cannot set it."
    ]


def test_input_that_is_fed_by_a_link_is_reported() -> None:
    found = nested(["5", "prompt"], outside=8)
    assert found.inputs == []
    assert found.notes == [
        "The author wanted users to set “prompt” of “Draw” (10:5), which gets its value from the node “Text” (3); they "
        "cannot set it."
    ]


def test_choice_whose_number_is_used_as_well_is_reported() -> None:
    info = {
        **INFO,
        "CustomCombo": {"input": {"required": {"choice": ["COMBO", {"options": []}]}}, "output": ["STRING", "INT"]},
    }
    graph: dict[str, Any] = {
        "1": {"class_type": "CustomCombo", "inputs": {"choice": "a", "index": 0, "option1": "a", "option2": "b"}},
        "2": {"class_type": "Draw", "inputs": {"prompt": ["1", 0], "seed": 1, "size": ["1", 1]}},
        "3": {"class_type": "Save", "inputs": {"image": ["2", 0]}},
    }
    value = workflow(node(1, "CustomCombo", inputs=[slot("choice")]), links=[], inputs=[["1", "choice"]])
    assert "whose position in the list another node uses as well" in app_mode.read(value, graph, info).notes[0]
    graph["2"]["inputs"]["size"] = 512
    assert [one.input_keys for one in app_mode.read(value, graph, info).inputs] == [(("1", "choice"),)]


def test_node_of_a_sub_graph_that_is_used_twice_is_reported() -> None:
    inside = {
        "id": SUB,
        "nodes": [draw(5)],
        "outputs": [{"name": "IMAGE", "type": "IMAGE", "linkIds": [2]}],
        "links": [{"id": 2, "origin_id": 5, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "IMAGE"}],
    }
    value = workflow(
        node(10, SUB, outputs=[{"name": "IMAGE", "type": "IMAGE", "links": [8]}]),
        node(11, SUB, outputs=[{"name": "IMAGE", "type": "IMAGE", "links": [9]}]),
        save(2, 9),
        save(3, 8),
        links=[(9, 11, 0, 2, 0, "IMAGE"), (8, 10, 0, 3, 0, "IMAGE")],
        inputs=[["5", "size"], ["11:5", "size"]],
        definitions={"subgraphs": [inside]},
    )
    found = choice(value)
    assert [one.input_keys for one in found.inputs] == [(("11:5", "size"),)]
    assert "2 nodes in sub-graphs have that number" in found.notes[0]


def test_output_that_gives_no_result_is_reported() -> None:
    found = simple(outputs=[1, 2, 77])
    assert found.outputs == ["2"]
    assert found.notes == [
        "The author wanted to show the results of “Draw” (1), which gives none here; the others are shown.",
        "The author wanted to show the results of node 77, which is not in the file; the others are shown.",
    ]


def test_all_results_are_shown_where_none_of_the_chosen_ones_is_there() -> None:
    found = simple(outputs=[77])
    assert (found.outputs, found.notes) == (
        [],
        ["The author wanted to show the results of node 77, which is not in the file; all results are shown."],
    )


@pytest.mark.slow
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=8)
        | st.sampled_from(["1", f"{GRAPH}:1:size", "10:5"]),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["inputs", "outputs"]), inner),
    )
)
@settings(max_examples=200)
def test_nothing_that_a_file_may_hold_there_is_an_error(data: Any) -> None:
    value = workflow(draw(), save(2, 9))
    graph = convert(value, INFO)
    value["extra"]["linearData"] = data
    for one in app_mode.read(value, graph, INFO).inputs:
        assert all(name in graph[node_id]["inputs"] for node_id, name in one.input_keys)
    value["extra"] = data
    app_mode.read(value, graph, INFO)
    app_mode.read(data, graph, INFO)


def test_sub_graphs_that_contain_each_other_end() -> None:
    inner = {"id": SUB, "nodes": [node(1, SUB), node(2, SUB)], "links": []}
    value = {**workflow(node(10, SUB), links=[], inputs=[["1", "x"]]), "definitions": {"subgraphs": [inner]}}
    assert len(app_mode.read(value, {}, INFO).notes) == 1


# ------------------------------------------------------------------------------------ official templates
SEVEN = ("309:310", "345:343", "353:351", "361:359", "369:367", "377:375", "385:383")
# Template -> its settings as NODE.INPUT in the author's order, and the nodes whose results it shows. Read off the files
# by hand; what an author chose and later deleted is left out.
CHOSEN: dict[str, tuple[list[str], str]] = {
    "api_sonilo_v2m": (["705.file", "703.prompt", "724:722.volume", "724:719.volume"], "708"),
    "image_anima_lllite_depth_control_to_image": (["91.image", "88:84.text"], "46"),
    "image_anima_lllite_image_inpainting": (["91.image", "88:84.text"], "46"),
    "image_hidream_o1": ([], ""),
    "image_hidream_o1_dev": ([], ""),
    "image_joyai_image_edit": (["41.image", "170:174.prompt"], "182"),
    "image_krea2_turbo_int8_image_style_reference": (
        ["69.image", "30:19.value", "71.aspect_ratio", "71.megapixels"], "29",
    ),
    "image_mage_flow_turbo_t2i_int8": (["12:5.prompt", "27.aspect_ratio", "27.megapixels"], "10"),
    "template_character_portrait_relighting": (["124.image"], "138 152 158 170 181"),
    "template_contact_sheet-step_1.app": (
        ["1.image", "2.image", "5.image", "3.aspect_ratio", "3.resolution", "125.value"], "4",
    ),
    "template_contact_sheet-step_3.app": (
        [
            "+".join(f"{each}.duration" for each in SEVEN),
            "+".join(f"{each}.model.resolution" for each in SEVEN),
            *(f"{number}.image" for number in (224, 226, 227, 228, 232, 233, 234)),
            *(f"{each}.seed" for each in SEVEN),
        ],
        "308 344 352 360 368 376 384",
    ),
    "template_eric_thumbnail_generator": (["16.image", "23.prompt"], "9"),
    "template_product_placement": (["12.prompt", "1.image", "2.image", "3.image", "5.image"], "7 10"),
    "template_qwen_image_illustration_lora": (
        ["76:6.text", "76:58.width", "76:58.height", "76:73.strength_model", "76:58.batch_size", "76:3.steps"], "60",
    ),
    "template_sferro21_product_ad.app": (["1.image", "2.image", "4.prompt", "4.aspect_ratio"], "5"),
    "template_sugar_coated_gummy_style_qwen": (
        ["76:80.string_a", "76:58.width", "76:58.height", "76:78.strength_model"], "60",
    ),
    "templates-1_input-multiple_styles_prompt.app": (["1.image"], "3 5 7 11 21 23 27 25 19 17 15 13"),
    "templates-subject_holding_product.app": (["10.image", "11.image", "17.resolution"], "15"),
    "templates-subject_product_swap.app": (["10.image", "11.image", "17.resolution"], "15"),
    "templates_3d_match_game_art_style.app": (["2.image", "1.image"], "7 5 3"),
    "templates_graphic_design_recomposer": (
        [
            "125.image",
            "143:135.choice",
            "143:130.resolution+143:157.model.resolution",
            "143:130.aspect_ratio+143:157.model.aspect_ratio",
        ],
        "131",
    ),
    "templates_mjm_image_to_3d": (["1.image"], ""),
    "templates_ohneis_i2v": (["57:27.text", "64.prompt", "65.prompt"], "9 63"),
    "templates_rob_portrait_light_migration.app": (["7.image", "6.image"], "5"),
    "utility_image_stitch": ([], ""),
    "utility_z_image_turbo_2k_upscaler.app": (["77.image", "87:69.denoise"], "9"),
}  # fmt: skip
# What they chose, and which then left the workflow: a setting each but for the two whose results are gone.
GONE = {
    "api_sonilo_v2m": "704",
    "template_contact_sheet-step_3.app": "235",
    "template_product_placement": "4",
    "templates_mjm_image_to_3d": "22",
    "templates_rob_portrait_light_migration.app": "103",
}
# These need classes that ComfyUI 0.29.0 does not have, or that come with custom nodes.
REFUSED = {
    "template_qwen_multiangle.app": "CameraAngle",
    "template_seedance2_0_viral_videos_character_swap": "ByteDance2ReferenceNodeV2",
    "templates_rob_realistic_2k_images_quick_variations.app": "AILab_QwenVL",
}
LABELS = {
    "api_sonilo_v2m": ["", "", "original_audio_volume", "extra_audio_volume"],
    "image_krea2_turbo_int8_image_style_reference": ["Reference Image", "prompt", "", ""],
    "template_contact_sheet-step_1.app": ["Character Image", "Scene Image", "Product Image", "", "", "prompt"],
    "templates_ohneis_i2v": ["Image Prompt", "Edit / Enhance Image", "Animate Image"],
}


def official(name: str) -> Any:
    package = importlib.resources.files("comfyui_workflow_templates_json")
    return decode((package / "templates" / f"{name}.json").read_text("utf-8"))


def official_choice(name: str) -> Choice:
    value, info = official(name), newest_object_info()
    graph = convert(value, info)
    needed = needed_nodes(graph, output_nodes(graph, info))
    return app_mode.read(value, {node_id: one for node_id, one in graph.items() if node_id in needed}, info)


@pytest.mark.parametrize("name", CHOSEN)
def test_official_template_has_the_settings_and_results_that_its_author_chose(name: str) -> None:
    found = official_choice(name)
    wanted_inputs, wanted_outputs = CHOSEN[name]
    assert ["+".join(".".join(key) for key in one.input_keys) for one in found.inputs] == wanted_inputs
    assert found.outputs == wanted_outputs.split()
    assert [f"node {GONE[name]}, which is not in the file" in note for note in found.notes] == [True] * (name in GONE)
    if name in LABELS:
        assert [one.label for one in found.inputs] == LABELS[name]


@pytest.mark.parametrize("name", REFUSED)
def test_official_template_with_classes_that_the_server_lacks_is_refused_by_their_names(name: str) -> None:
    with pytest.raises(ConversionError, match=REFUSED[name]):
        convert(official(name), newest_object_info())


def test_no_official_template_with_a_choice_is_left_out() -> None:
    folder = importlib.resources.files("comfyui_workflow_templates_json") / "templates"
    with_choice = set()
    for path in folder.iterdir():
        if path.name.endswith(".json") and b"linearData" in (data := path.read_bytes()):
            value = json.loads(data)
            if isinstance(value, dict) and value.get("extra", {}).get("linearData") is not None:
                with_choice.add(path.name.removesuffix(".json"))
    assert with_choice == CHOSEN.keys() | REFUSED.keys()
