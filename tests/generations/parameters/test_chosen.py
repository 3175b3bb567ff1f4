"""Parameters for what authors chose: their order and words, and otherwise what proposals would be."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.app_mode import ChosenInput
from generations.parameters.bounds import check_bounds
from generations.parameters.chosen import chosen_parameters
from generations.parameters.schema import DefinitionError, Parameter, check_bindings, parse_parameters
from tests.support.factories import txt2img_graph
from tests.support.workflows import OBJECT_INFO, newest_object_info


def chosen(graph: Any, *inputs: ChosenInput | str, info: Any = OBJECT_INFO) -> list[Parameter]:
    asked = [ChosenInput((tuple(each.split(".", 1)),)) if isinstance(each, str) else each for each in inputs]  # type: ignore[arg-type]
    parameters = chosen_parameters(graph, asked, info)
    check_bindings(parse_parameters([each.model_dump() for each in parameters]), graph)
    return parameters


def titled(graph: Any, **titles: str) -> Any:
    for node_id, title in titles.items():
        graph[node_id.removeprefix("n")]["_meta"] = {"title": title}
    return graph


def test_order_is_the_authors_and_kinds_are_those_of_proposals() -> None:
    found = chosen(txt2img_graph(), "3.steps", "6.text", "3.seed", "7.text", "5.width")
    assert [(each.name, each.type) for each in found] == [
        ("steps", "integer"), ("prompt", "text"), ("seed", "seed"), ("negative_prompt", "text"), ("width", "integer"),
    ]  # fmt: skip
    assert (found[0].minimum, found[0].maximum, found[0].default) == (1, 10000, txt2img_graph()["3"]["inputs"]["steps"])


def test_nothing_that_an_author_chose_is_hidden_among_the_advanced_settings() -> None:
    assert [each.is_advanced for each in chosen(txt2img_graph(), "3.sampler_name", "4.ckpt_name", "3.denoise")] == [
        False
    ] * 3


def test_authors_label_is_kept_as_it_is_and_names_the_parameter() -> None:
    found = chosen(
        txt2img_graph(),
        ChosenInput((("6", "text"),), label="What to draw?"),
        ChosenInput((("7", "text"),), label="描いてはいけないもの"),
        ChosenInput((("3", "steps"),), label="2 steps"),
    )
    assert [(each.name, each.label) for each in found] == [
        ("what_to_draw", "What to draw?"), ("negative_prompt", "描いてはいけないもの"), ("p_2_steps", "2 steps"),
    ]  # fmt: skip


def test_title_stands_for_an_input_whose_name_says_nothing_and_is_added_to_others() -> None:
    graph = titled(txt2img_graph(), n6="Scene", n3="First pass")
    assert [each.label for each in chosen(graph, "6.text", "3.steps")] == ["Scene", "Steps (First pass)"]
    pictures = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}, "_meta": {"title": "Your face"}},
        "2": {"class_type": "LoadImage", "inputs": {"image": "b.png"}},
        "3": {"class_type": "LoadImage", "inputs": {"image": "c.png"}},
    }
    found = chosen(pictures, "2.image", "1.image", "3.image")
    assert [(each.name, each.label, each.type) for each in found] == [
        ("image", "Image", "image"), ("your_face", "Your face", "image"), ("image_2", "Image 2", "image"),
    ]  # fmt: skip


def test_second_of_two_proposals_has_no_number_when_it_is_the_only_one() -> None:
    pictures = {str(number): {"class_type": "LoadImage", "inputs": {"image": "a.png"}} for number in (1, 2)}
    assert [(each.name, each.label) for each in chosen(pictures, "2.image")] == [("image", "Image")]


def test_one_setting_for_several_inputs_takes_what_all_of_them_take() -> None:
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    }
    found = chosen(graph, ChosenInput((("1", "width"), ("2", "width")), title="Breadth"))
    assert (found[0].label, found[0].name, found[0].minimum, found[0].maximum) == ("Breadth", "breadth", 16, 2048)
    assert [each.node_id for each in found[0].bindings] == ["1", "2"]


def test_what_the_author_says_of_bounds_and_choices_narrows_what_the_node_takes() -> None:
    found = chosen(
        txt2img_graph(),
        ChosenInput((("3", "steps"),), name="quality", help="More is slower.", minimum=10, maximum=30, step=5),
        ChosenInput((("3", "cfg"),), minimum=-7, maximum=1),
        ChosenInput((("6", "text"),), type="choice", choices=("a fox", "a hare")),
    )
    assert (found[0].name, found[0].help, found[0].minimum, found[0].maximum, found[0].step) == (
        "quality", "More is slower.", 10, 30, 5,
    )  # fmt: skip
    assert (found[1].minimum, found[1].maximum, found[1].default) == (0, 1, None)
    assert (found[2].type, found[2].choices, found[2].default) == ("choice", ("a fox", "a hare"), None)


def test_list_that_the_author_wrote_gives_its_options() -> None:
    options = {"choice": "b", "index": 1, "option1": "a", "option2": "b", "option3": ""}
    graph = {"1": {"class_type": "CustomCombo", "inputs": options}}
    found = chosen(graph, "1.choice", info=newest_object_info())[0]
    assert (found.type, found.choices, found.default, found.is_live) == ("choice", ("a", "b"), "b", False)
    check_bounds([found], graph, newest_object_info())
    with pytest.raises(DefinitionError, match="does not offer c"):
        check_bounds([found.model_copy(update={"choices": ("a", "b", "c")})], graph, newest_object_info())


def test_mask_is_drawn_on_the_picture_that_is_chosen_with_it() -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "LoadImageMask", "inputs": {"image": "a.png", "channel": "alpha"}},
        "3": {"class_type": "VAEEncodeForInpaint", "inputs": {"pixels": ["1", 0], "mask": ["2", 0], "grow_mask_by": 6}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        "5": {"class_type": "MaskPreview", "inputs": {"mask": ["2", 0]}},
    }
    both = chosen(graph, ChosenInput((("1", "image"),), label="Photo"), "2.image")
    assert [(each.name, each.type, each.drawn_on) for each in both] == [
        ("photo", "image", ""), ("mask", "mask", "photo"),
    ]  # fmt: skip
    assert chosen(graph, "2.image")[0].drawn_on == ""


@pytest.mark.parametrize("info", [None, {}])
def test_without_schemas_values_decide(info: Any) -> None:
    assert [each.type for each in chosen(txt2img_graph(), "3.steps", "6.text", info=info)] == ["integer", "text"]
