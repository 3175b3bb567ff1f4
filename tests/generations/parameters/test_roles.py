"""What parameters stand for: suggested, given, checked, kept."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.graph import Graph
from generations.parameters.propose import propose
from generations.parameters.roles import ROLES, with_roles
from generations.parameters.schema import DefinitionError, parse_parameters
from tests.generations.parameters.proposing import sampled
from tests.generations.parameters.strategies import definition
from tests.support.graphs import node
from tests.support.workflows import OBJECT_INFO


def roles(graph: Graph) -> dict[str, str]:
    return {each.name: each.role for each in propose(graph, OBJECT_INFO) if each.role}


def suggested(*definitions: dict[str, Any]) -> list[str]:
    return [each["role"] for each in with_roles(definitions)]


def stored(name: str, kind: str, input_name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "bindings": [{"node_id": "1", "input_name": input_name}], **more}


def test_proposals_say_what_they_stand_for() -> None:
    assert roles(sampled()) == {
        "prompt": "prompt",
        "negative_prompt": "negative_prompt",
        "width": "width",
        "height": "height",
        "batch_size": "count",
        "seed": "seed",
        "checkpoint": "model",
        "steps": "steps",
        "cfg": "guidance",
        "sampler": "sampler",
        "scheduler": "scheduler",
    }


def test_second_prompt_stands_for_nothing() -> None:
    graph = sampled(
        both=node("ConditioningCombine", conditioning_1=["pos", 0], conditioning_2=["more", 0]),
        more=node("CLIPTextEncode", text="and a dog", clip=["ckpt", 1]),
    )
    graph["k"]["inputs"]["positive"] = ["both", 0]
    found = roles(graph)
    assert found["prompt"] == "prompt" and "prompt_2" not in found


def test_denoising_of_a_picture_is_the_strength_of_the_change() -> None:
    graph = sampled(img=node("LoadImage", image="a.png"), size=node("VAEEncode", pixels=["img", 0], vae=["ckpt", 2]))
    graph["k"]["inputs"]["denoise"] = 0.6
    found = roles(graph)
    assert (found["denoise"], found["image"]) == ("strength", "image")
    graph["k"]["inputs"]["denoise"] = 1.0
    assert "denoise" not in roles(graph)


def test_picture_that_only_an_upscaler_takes_is_there_to_be_enlarged() -> None:
    graph = {
        "img": node("LoadImage", image="a.png"),
        "model": node("UpscaleModelLoader", model_name="x4.pth"),
        "up": node("ImageUpscaleWithModel", upscale_model=["model", 0], image=["img", 0]),
        "save": node("SaveImage", images=["up", 0], filename_prefix="x"),
    }
    assert roles(graph) == {"image": "upscale_input"}
    graph["look"] = node("PreviewImage", images=["img", 0])  # before and after, side by side
    assert roles(graph) == {"image": "upscale_input"}
    graph["other"] = node("ImageInvert", image=["img", 0])
    graph["also"] = node("SaveImage", images=["other", 0], filename_prefix="x")
    assert roles(graph) == {"image": "image"}


def test_definitions_from_before_there_were_roles_have_those_that_they_suggest() -> None:
    assert suggested(
        stored("prompt", "text", "text"),
        stored("prompt_2", "text", "text"),
        stored("how_many", "integer", "batch_size"),
        stored("photo", "image", "image"),
        stored("change", "number", "denoise", default=0.5),
        stored("ratio", "choice", "model.ratio"),
        stored("size", "number", "scale_by"),
        stored("mask", "image", "mask"),
    ) == ["prompt", "", "count", "image", "strength", "aspect_ratio", "", "mask"]


def test_given_role_goes_before_a_suggested_one_and_an_empty_one_stays_empty() -> None:
    first, second = stored("width", "integer", "width"), stored("breadth", "integer", "size", role="width")
    assert suggested(first, second) == ["", "width"]
    assert suggested({**first, "role": ""}) == [""]


@pytest.mark.parametrize("broken", [None, 3, [], {}, {"name": [], "type": {}, "bindings": 3}, {"bindings": [1, {}]}])
def test_broken_definitions_are_refused_by_their_checks_and_not_here(broken: Any) -> None:
    list(with_roles([broken]))
    with pytest.raises(DefinitionError):
        parse_parameters([broken])


@pytest.mark.parametrize("role", ROLES)
def test_role_fits_the_types_that_it_names_and_no_others(role: str) -> None:
    for kind in ("integer", "number", "string", "text", "boolean", "choice", "seed", "image", "mask", "video", "audio"):
        given = definition("x", kind, role=role)
        if kind in ROLES[role].types:  # type: ignore[index]
            assert parse_parameters([given])[0].role == role
        else:
            with pytest.raises(DefinitionError, match="does not fit the type"):
                parse_parameters([given])


def test_role_belongs_to_one_parameter_but_pictures_and_seeds_are_many() -> None:
    with pytest.raises(DefinitionError, match="“Prompt” belongs to a already") as caught:
        parse_parameters([definition("a", "text", role="prompt"), definition("b", "text", role="prompt")])
    assert list(caught.value.faults) == ["b"]
    many = [definition("a", "image", role="image"), definition("b", "image", role="image")]
    assert [each.role for each in parse_parameters(many)] == ["image", "image"]


def test_unknown_role_is_refused() -> None:
    with pytest.raises(DefinitionError, match="role"):
        parse_parameters([definition("a", "text", role="king")])
