"""What authors name is proposed under that name, with bounds of use."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.app_mode import ChosenInput
from generations.comfy.graph import Graph
from generations.comfy.titles import readable
from generations.parameters.chosen import chosen_parameters
from tests.generations.parameters.proposing import keys, newest, sampled, titled
from tests.support.graphs import node
from tests.support.workflows import newest_object_info


def film(**changes: Any) -> Graph:
    """A film whose length is made of seconds, and whose steps and CFG a switch chooses."""
    graph = sampled(
        size=node("EmptyHunyuanLatentVideo", width=640, height=640, length=["frames", 1], batch_size=1),
        frames=node("ComfyMathExpression", expression="floor(a * 16) + 1", **{"values.a": ["seconds", 0]}),
        seconds=titled("PrimitiveFloat", "Float (Duration)", value=5),
        fast=titled("PrimitiveBoolean", "Enable Lightning LoRA", value=False),
        steps=node("ComfySwitchNode", switch=["fast", 0], on_false=["many", 0], on_true=["few", 0]),
        many=titled("PrimitiveInt", "Int (Steps)", value=20),
        few=titled("PrimitiveInt", "Int (Steps)", value=4),
    )
    graph["k"]["inputs"]["steps"] = ["steps", 0]
    return {**graph, **changes}


def test_value_with_a_title_is_proposed_although_a_formula_lies_between() -> None:
    duration = newest(film())["duration"]
    assert (duration.label, duration.role, duration.default, duration.is_advanced) == ("Duration", "duration", 5, False)
    assert (duration.minimum, duration.maximum, keys(duration)) == (0, 60, [("seconds", "value")])
    untitled = film(seconds=node("PrimitiveFloat", value=5))
    assert all(("seconds", "value") not in keys(each) for each in newest(untitled).values())
    unused = sampled(seconds=titled("PrimitiveFloat", "Duration", value=5))
    assert "duration" not in newest(unused)


@pytest.mark.parametrize("is_fast", [False, True])
def test_values_at_a_switch_say_when_they_count_and_the_one_in_use_has_the_role(is_fast: bool) -> None:
    proposed = newest(film(fast=titled("PrimitiveBoolean", "Enable Lightning LoRA", value=is_fast)))
    switch = proposed["enable_lightning_lora"]
    assert (switch.type, switch.default, switch.is_advanced) == ("boolean", is_fast, True)
    used, idle = ("few", "many") if is_fast else ("many", "few")
    labels = {"few": "Steps (Enable Lightning LoRA: on)", "many": "Steps (Enable Lightning LoRA: off)"}
    by_key = {keys(each)[0]: each for each in proposed.values()}
    named = by_key[used, "value"]
    assert (named.name, named.label, named.role, named.minimum) == ("steps", labels[used], "steps", 1)
    assert (by_key[idle, "value"].label, by_key[idle, "value"].role) == (labels[idle], "")


def test_code_is_no_setting_and_a_film_is_one_result() -> None:
    proposed = newest(film())
    assert not {"expression", "batch_size"} & set(proposed)
    assert newest(sampled())["batch_size"].label == "Images per run"


def test_what_a_service_is_paid_by_is_in_sight_and_what_shapes_its_node_is_none() -> None:
    options = {"size": "auto", "background": "auto", "quality": "low", "custom_width": 1024, "custom_height": 1024}
    inputs = {"model": "gpt-image-2", **{f"model.{name}": value for name, value in options.items()}}
    graph: Graph = {
        "a": node("OpenAIGPTImageNodeV2", prompt="a cat", n=1, seed=0, **inputs),
        "save": node("SaveImage", images=["a", 0], filename_prefix="x"),
    }
    proposed = newest(graph)
    assert {name: each.is_advanced for name, each in proposed.items()} == {
        "prompt": False, "size": False, "quality": False, "count": True, "seed": True, "background": True,
    }  # fmt: skip
    assert (proposed["count"].label, proposed["count"].role) == ("Images per run", "count")


def test_denoising_that_keeps_a_part_of_a_picture_is_called_by_what_it_does() -> None:
    graph = sampled(load=node("LoadImage", image="x.png"), size=node("VAEEncode", pixels=["load", 0], vae=["ckpt", 2]))
    graph["k"]["inputs"]["denoise"] = 0.6
    denoise = newest(graph)["denoise"]
    assert (denoise.label, denoise.role) == ("Strength of the change", "strength")
    assert newest(sampled())["denoise"].label == "Denoise"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("prompt", "Prompt"),
        ("lora_strength", "LoRA strength"),
        ("cfg", "CFG"),
        ("Your prompt", "Your prompt"),
        ("My_Prompt", "My_Prompt"),
        ("提示词", "提示词"),
        ("", ""),
    ],
)
def test_only_technical_names_are_made_readable(text: str, label: str) -> None:
    assert readable(text) == label


def test_technical_names_of_authors_are_made_readable() -> None:
    chosen = ChosenInput((("pos", "text"),), label="style_prompt")
    assert [each.label for each in chosen_parameters(sampled(), [chosen], newest_object_info())] == ["Style prompt"]
