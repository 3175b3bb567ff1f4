"""What is proposed for a workflow: one rule a test, on small graphs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generations.comfy.graph import Graph
from generations.parameters.bind import bind
from generations.parameters.bounds import check_bounds
from generations.parameters.propose import propose
from generations.parameters.schema import check_bindings, parse_parameters
from generations.parameters.validate import validate
from tests.generations.parameters.proposing import found, keys, sampled
from tests.support.graphs import node
from tests.support.workflows import OBJECT_INFO, newest_object_info


@pytest.mark.parametrize("info", [OBJECT_INFO, None])
def test_default_workflow_in_the_order_of_a_form(info: Any) -> None:
    proposed = found(sampled(), info)
    assert list(proposed) == [
        "prompt", "negative_prompt", "width", "height", "batch_size", "seed", "checkpoint", "steps", "cfg",
        "sampler", "scheduler", "denoise",
    ]  # fmt: skip
    assert [name for name, each in proposed.items() if not each.is_advanced] == ["prompt", "width", "height"]
    assert proposed["prompt"].required and proposed["prompt"].default == "a cat"
    assert proposed["seed"].type == "seed" and proposed["seed"].default is None


def test_what_feeds_no_result_is_not_proposed() -> None:
    graph = sampled(
        left=node("CLIPTextEncode", text="forgotten", clip=["ckpt", 1]), also=node("LoadImage", image="a.png")
    )
    assert list(found(graph)) == list(found(sampled()))


def test_prompt_is_found_behind_conditioning_chains() -> None:
    graph = sampled(
        area=node("ConditioningSetArea", conditioning=["pos", 0], width=64, height=64, x=0, y=0, strength=1.0),
        both=node("ConditioningCombine", conditioning_1=["area", 0], conditioning_2=["more", 0]),
        more=node("CLIPTextEncode", text="and a dog", clip=["ckpt", 1]),
    )
    graph["k"]["inputs"]["positive"] = ["both", 0]
    proposed = found(graph)
    assert keys(proposed["prompt"]) == [("pos", "text")]
    assert keys(proposed["prompt_2"]) == [("more", "text")]
    assert keys(proposed["negative_prompt"]) == [("neg", "text")]


def test_outputs_of_a_control_net_are_told_apart() -> None:
    graph = sampled(
        apply=node(
            "ControlNetApplyAdvanced", positive=["neg", 0], negative=["pos", 0], control_net=["cn", 0],
            image=["img", 0], strength=1.0, start_percent=0.0, end_percent=1.0,
        ),
        cn=node("ControlNetLoader", control_net_name="c.safetensors"),
        img=node("LoadImage", image="a.png"),
    )  # fmt: skip
    graph["k"]["inputs"] |= {"positive": ["apply", 0], "negative": ["apply", 1]}
    proposed = found(graph)
    assert keys(proposed["prompt"]) == [("neg", "text")]
    assert keys(proposed["negative_prompt"]) == [("pos", "text")]
    assert keys(proposed["image"]) == [("img", "image")]


def test_zeroed_out_prompt_is_no_negative_one() -> None:
    graph = sampled(zero=node("ConditioningZeroOut", conditioning=["pos", 0]))
    graph["k"]["inputs"]["negative"] = ["zero", 0]
    assert "negative_prompt" not in found(graph)


def test_text_that_ends_in_both_is_a_prompt() -> None:
    graph = sampled()
    graph["k"]["inputs"]["negative"] = ["pos", 0]
    proposed = found(graph)
    assert keys(proposed["prompt"]) == [("pos", "text")]
    assert "negative_prompt" not in proposed


def test_encoder_that_takes_a_text_twice_gets_it_together() -> None:
    both = node("CLIPTextEncodeFlux", clip=["ckpt", 1], clip_l="a cat", t5xxl="a cat", guidance=3.5)
    proposed = found(sampled(pos=both))
    assert keys(proposed["prompt"]) == [("pos", "clip_l"), ("pos", "t5xxl")]
    assert keys(proposed["guidance"]) == [("pos", "guidance")]


def test_text_of_a_string_node_is_the_prompt() -> None:
    graph = sampled(text=node("PrimitiveStringMultiline", value="a bird"))
    graph["pos"]["inputs"]["text"] = ["text", 0]
    assert keys(found(graph)["prompt"]) == [("text", "value")]


def test_guiders_have_prompts_too() -> None:
    graph = sampled(
        guider=node("BasicGuider", model=["ckpt", 0], conditioning=["pos", 0]),
        noise=node("RandomNoise", noise_seed=5),
        sampler=node("KSamplerSelect", sampler_name="euler"),
        sigmas=node("BasicScheduler", model=["ckpt", 0], scheduler="simple", steps=4, denoise=1.0),
        k=node(
            "SamplerCustomAdvanced", noise=["noise", 0], guider=["guider", 0], sampler=["sampler", 0],
            sigmas=["sigmas", 0], latent_image=["size", 0],
        ),
    )  # fmt: skip
    proposed = found(graph)
    assert keys(proposed["prompt"]) == [("pos", "text")]
    assert keys(proposed["seed"]) == [("noise", "noise_seed")]
    assert keys(proposed["sampler"]) == [("sampler", "sampler_name")]
    assert proposed["scheduler"] and proposed["steps"]


def test_samplers_in_a_row_are_set_together() -> None:
    graph = sampled()
    graph["k2"] = node("KSampler", **{**graph["k"]["inputs"], "latent_image": ["k", 0], "denoise": 0.5})
    graph["vae"]["inputs"]["samples"] = ["k2", 0]
    proposed = found(graph)
    assert keys(proposed["seed"]) == [("k", "seed"), ("k2", "seed")]
    assert keys(proposed["steps"]) == [("k", "steps"), ("k2", "steps")]
    assert keys(proposed["denoise"]) == [("k", "denoise")] and keys(proposed["denoise_2"]) == [("k2", "denoise")]


def test_sampler_without_noise_has_no_seed_of_its_own() -> None:
    advanced = node("KSamplerAdvanced", **{**sampled()["k"]["inputs"], "noise_seed": 3, "add_noise": "disable"})
    assert "seed" not in found(sampled(k=advanced))


def test_nodes_that_agree_on_the_size_share_it() -> None:
    graph = sampled(
        scaled=node("ImageScale", image=["vae", 0], upscale_method="area", width=512, height=768, crop="disabled")
    )
    graph["save"]["inputs"]["images"] = ["scaled", 0]
    proposed = found(graph)
    assert keys(proposed["width"]) == [("size", "width"), ("scaled", "width")]
    # The latent takes only 16 and more: the narrower bound counts.
    assert (proposed["width"].minimum, proposed["width"].maximum) == (16, 2048)


def test_number_of_a_primitive_node_is_named_after_what_it_feeds() -> None:
    graph = sampled(w=node("PrimitiveInt", value=640))
    graph["size"]["inputs"]["width"] = ["w", 0]
    width = found(graph)["width"]
    assert keys(width) == [("w", "value")]
    assert (width.default, width.minimum, width.maximum) == (640, 16, 2048)


def test_title_that_somebody_gave_names_what_the_input_does_not() -> None:
    graph = sampled(
        joined=node("StringConcatenate", string_a=["style", 0], string_b="x", delimiter=" "),
        style=node("PrimitiveString", value="oil painting"),
        show=node("PreviewAny", source=["joined", 0]),
    )
    assert "value" in found(graph)
    graph["style"]["_meta"] = {"title": "String"}  # what the class is called
    assert "value" in found(graph)
    graph["style"]["_meta"] = {"title": "Art style"}
    assert found(graph)["art_style"].label == "Art style"
    graph["pos"]["_meta"] = {"title": "Positive"}
    assert keys(found(graph)["prompt"]) == [("pos", "text")]


def test_two_pictures_are_two_parameters_although_they_begin_with_the_same() -> None:
    graph = {
        "a": node("LoadImage", image="x.png"),
        "b": node("LoadImage", image="x.png"),
        "c": node("ImageBatch", image1=["a", 0], image2=["b", 0]),
        "save": node("SaveImage", images=["c", 0], filename_prefix="x"),
    }
    proposed = found(graph)
    assert {name: (each.type, each.required) for name, each in proposed.items()} == {
        "image": ("image", True),
        "image_2": ("image", True),
    }


def test_choice_that_the_server_lacks_is_no_default() -> None:
    checkpoint = found(sampled())["checkpoint"]
    assert checkpoint.type in {"choice", "string"}
    assert checkpoint.default != "a.safetensors" or "a.safetensors" in checkpoint.choices or checkpoint.type == "string"


def in_sight(graph: Graph, info: Any = None) -> list[str]:
    return [name for name, each in found(graph, info or newest_object_info()).items() if not each.is_advanced]


def asked(prompt: Any = "a cat", **inputs: Any) -> dict[str, Any]:
    """A node that calls a service."""
    given = {"model": "gemini-3-pro-image-preview", "seed": 7, "aspect_ratio": "16:9", "resolution": "2K"}
    return node("GeminiImage2Node", prompt=prompt, **given, **inputs)


def test_settings_of_the_node_that_the_size_comes_from_are_in_sight() -> None:
    graph = sampled(by=node("ResolutionSelector", aspect_ratio="1:1 (Square)", megapixels=1.0, multiple=8))
    graph["size"]["inputs"] |= {"width": ["by", 0], "height": ["by", 1]}
    assert in_sight(graph) == ["prompt", "aspect_ratio", "megapixels"]
    scaled = sampled(scaled=node("ImageScaleToTotalPixels", image=["vae", 0], upscale_method="area", megapixels=1.0))
    scaled["save"]["inputs"]["images"] = ["scaled", 0]
    assert in_sight(scaled) == ["prompt", "width", "height"]


def test_measures_of_what_a_service_makes_are_in_sight_and_set_together_where_they_agree() -> None:
    save = node("SaveImage", images=["b", 0], filename_prefix="x")
    graph: Graph = {"a": asked(), "b": asked("a dog", images=["a", 0]), "save": save}
    proposed = found(graph, newest_object_info())
    assert in_sight(graph) == ["prompt", "prompt_2", "aspect_ratio", "resolution"]
    assert keys(proposed["resolution"]) == [("a", "resolution"), ("b", "resolution")]


def test_choice_that_sets_several_nodes_has_what_all_of_them_offer() -> None:
    inputs = {"prompt": "", "model": "grok-imagine-image", "number_of_images": 1, "seed": 1}
    graph: Graph = {
        "a": asked(),
        "b": node("GrokImageNode", **inputs, aspect_ratio="16:9", resolution="2K"),
        "c": node("ImageBatch", image1=["a", 0], image2=["b", 0]),
        "save": node("SaveImage", images=["c", 0], filename_prefix="x"),
    }
    ratio = found(graph, newest_object_info())["aspect_ratio"]
    assert keys(ratio) == [("a", "aspect_ratio"), ("b", "aspect_ratio")]
    check_bounds([ratio], graph, newest_object_info())
    assert {"16:9", "1:1"} <= set(ratio.choices) and "21:9" not in ratio.choices


def test_option_of_a_dynamic_combo_is_no_part_of_a_name() -> None:
    inputs = {"model": "Nano Banana 2 (Gemini 3.1 Flash Image)", "model.resolution": "1K", "model.aspect_ratio": "1:1"}
    graph: Graph = {
        "a": node("GeminiNanoBanana2V2", prompt="a cat", seed=1, **inputs),
        "save": node("SaveImage", images=["a", 0], filename_prefix="x"),
    }
    resolution = found(graph, newest_object_info())["resolution"]
    assert (resolution.label, keys(resolution)) == ("Resolution", [("a", "model.resolution")])


def test_options_that_the_author_wrote_are_a_choice() -> None:
    options = {"choice": "oil", "index": 1, "option1": "water", "option2": "oil", "option3": ""}
    graph = sampled(style=node("CustomCombo", **options))
    graph["style"]["_meta"] = {"title": "Art style"}
    graph["pos"]["inputs"]["text"] = ["style", 0]
    style = found(graph, newest_object_info())["art_style"]
    assert (style.type, style.choices, style.default, style.is_advanced) == ("choice", ("water", "oil"), "oil", False)
    graph["k"]["inputs"]["steps"] = ["style", 1]  # the number would stay behind when somebody chooses another one
    assert "art_style" not in found(graph, newest_object_info())


def test_loudness_is_in_sight() -> None:
    graph: Graph = {
        "load": node("LoadAudio", audio="a.mp3"),
        "loud": node("AudioAdjustVolume", audio=["load", 0], volume=3),
        "save": node("SaveAudio", audio=["loud", 0], filename_prefix="x"),
    }
    assert in_sight(graph) == ["audio", "volume"]


def test_length_is_that_of_a_film() -> None:
    graph = sampled(size=node("EmptyHunyuanLatentVideo", width=512, height=512, length=25, batch_size=1))
    assert in_sight(graph) == ["prompt", "width", "height", "length"]
    graph = sampled(one=node("ImageFromBatch", image=["vae", 0], batch_index=0, length=1))
    graph["save"]["inputs"]["images"] = ["one", 0]
    assert "length" not in found(graph, newest_object_info())


@pytest.mark.parametrize(
    "fixed",
    [
        node("RegexReplace", string=["mine", 0], regex_pattern="cat", replace="dog"),
        node("StringConcatenate", string_a=["mine", 0], string_b=", oil on canvas", delimiter=""),
    ],
)
def test_what_a_node_does_to_a_text_is_folded(fixed: dict[str, Any]) -> None:
    graph = sampled(mine=node("PrimitiveStringMultiline", value="a cat"), fixed=fixed)
    graph["pos"]["inputs"]["text"] = ["fixed", 0]
    proposed = found(graph, newest_object_info())
    assert keys(proposed["prompt"]) == [("mine", "value")]
    assert in_sight(graph) == ["prompt", "width", "height"]
    assert any(each.bindings[0].node_id == "fixed" for each in proposed.values())


def test_what_tells_a_model_how_to_work_is_folded() -> None:
    graph = sampled(
        rules=node("PrimitiveStringMultiline", value="You write prompts."),
        asked=node("GeminiNode", prompt="a cat", model="gemini-2.5-pro", seed=1, system_prompt=["rules", 0]),
    )
    graph["rules"]["_meta"] = {"title": "Text String (System Prompt)"}
    graph["pos"]["inputs"]["text"] = ["asked", 0]
    proposed = found(graph, newest_object_info())
    texts = {keys(each)[0]: each.is_advanced for each in proposed.values() if each.type == "text"}
    assert texts == {("rules", "value"): True, ("asked", "prompt"): False, ("neg", "text"): True}


def test_texts_of_several_nodes_of_a_kind_are_a_recipe_where_users_bring_a_file() -> None:
    graph: Graph = {"img": node("LoadImage", image="a.png")}
    for name in ("a", "b", "c"):
        graph[name] = asked(f"In the style of {name}", images=["img", 0])
        graph[f"save_{name}"] = node("SaveImage", images=[name, 0], filename_prefix="x")
    assert in_sight(graph) == ["image", "aspect_ratio", "resolution"]
    assert "prompt" not in {each.role for each in found(graph, newest_object_info()).values()}
    graph["b"]["_meta"] = {"title": "Your own style"}
    assert in_sight(graph)[:3] == ["prompt", "your_own_style_prompt", "prompt_2"]  # the other two are no recipe
    del graph["img"]
    graph["b"].pop("_meta")
    for name in ("a", "b", "c"):
        del graph[name]["inputs"]["images"]
    assert in_sight(graph)[:3] == ["prompt", "prompt_2", "prompt_3"]


def test_when_there_are_too_many_those_in_sight_stay() -> None:
    graph = sampled()
    for number in range(30):
        lora = node("LoraLoaderModelOnly", model=["ckpt", 0], lora_name=f"{number}.safetensors", strength_model=1.0)
        graph[f"l{number}"] = lora
        if number:
            lora["inputs"]["model"] = [f"l{number - 1}", 0]
    graph["k"]["inputs"]["model"] = ["l29", 0]
    proposed = found(graph, newest_object_info())
    assert len(proposed) == 40 and in_sight(graph) == ["prompt", "width", "height"]


def test_loader_is_called_what_its_author_called_it() -> None:
    graph: Graph = {"a": node("LoadImage", image="x.png"), "b": node("LoadImage", image="y.png")}
    graph["a"]["_meta"] = {"title": "Load Subject Image"}
    graph["b"]["_meta"] = {"title": "Load Image"}  # what the class is called
    graph["c"] = node("ImageBatch", image1=["a", 0], image2=["b", 0])
    graph["save"] = node("SaveImage", images=["c", 0], filename_prefix="x")
    labels = {each.name: each.label for each in found(graph).values()}
    assert labels == {"subject_image": "Subject Image", "image": "Image"}


def test_many_nodes_are_no_burden() -> None:
    graph: Graph = sampled()
    for number in range(200):
        graph[f"n{number}"] = node("ImageInvert", image=[f"n{number - 1}" if number else "vae", 0])
    graph["save"]["inputs"]["images"] = ["n199", 0]
    assert list(found(graph)) == list(found(sampled()))


def test_chains_without_end_are_no_burden() -> None:
    graph: Graph = sampled()
    for number in range(3000):
        source = ["pos", 0] if number == 0 else [f"c{number - 1}", 0]
        graph[f"c{number}"] = node("ConditioningSetTimestepRange", conditioning=source, start=0.0, end=1.0)
    graph["k"]["inputs"]["positive"] = ["c2999", 0]
    assert "seed" in found(graph)


CLASSES = sorted(set(OBJECT_INFO) - {"SaveImage"})


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(st.data())
def test_whatever_the_graph_proposals_are_sound(data: st.DataObject) -> None:
    """They can be published as they are, set no input twice, and change nothing with their defaults."""
    graph: Graph = {}
    for number in range(data.draw(st.integers(1, 6))):
        kind = data.draw(st.sampled_from([*CLASSES, "KSampler", "CLIPTextEncode", "EmptyLatentImage", "Unknown"]))
        inputs: dict[str, Any] = {}
        for name, spec in OBJECT_INFO.get(kind, {"input": {}})["input"].get("required", {}).items():
            options = spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
            constant = st.sampled_from([1, 0.5, True, "", "text", "a.png", options.get("default", 3)])
            link = st.builds(lambda at: [str(at), 0], st.integers(0, 5))
            inputs[name] = data.draw(constant | link if graph else constant)
        graph[str(number)] = node(kind, **inputs)
    graph["save"] = node("SaveImage", images=[str(len(graph) - 1), 0], filename_prefix="x")
    for each in graph.values():
        each["inputs"] = {
            name: value if not isinstance(value, list) or value[0] in graph else 1
            for name, value in each["inputs"].items()
        }
    info = data.draw(st.sampled_from([OBJECT_INFO, None]))
    proposed = parse_parameters([each.model_dump(mode="json") for each in propose(graph, info)])
    check_bindings(proposed, graph)
    given = {each.name for each in proposed if each.required and each.default in (None, "")}
    constants = [each for each in proposed if not each.is_media and each.name not in given]
    bound = bind(graph, constants, validate(constants, {}))
    assert bound == graph or json.loads(json.dumps(bound)) == json.loads(json.dumps(graph))
