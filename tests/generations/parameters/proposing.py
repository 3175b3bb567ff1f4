"""Small graphs, and what is proposed for them."""

from __future__ import annotations

from typing import Any

from generations.comfy.graph import Graph
from generations.parameters.bounds import check_bounds
from generations.parameters.propose import propose
from generations.parameters.schema import Parameter, check_bindings, parse_parameters
from tests.support.graphs import node
from tests.support.workflows import OBJECT_INFO, newest_object_info


def sampled(**changes: Any) -> Graph:
    """Text to picture; `changes` replace or add nodes by id."""
    graph = {
        "ckpt": node("CheckpointLoaderSimple", ckpt_name="a.safetensors"),
        "pos": node("CLIPTextEncode", text="a cat", clip=["ckpt", 1]),
        "neg": node("CLIPTextEncode", text="ugly", clip=["ckpt", 1]),
        "size": node("EmptyLatentImage", width=512, height=768, batch_size=1),
        "k": node(
            "KSampler", model=["ckpt", 0], positive=["pos", 0], negative=["neg", 0], latent_image=["size", 0],
            seed=7, steps=20, cfg=8.0, sampler_name="euler", scheduler="normal", denoise=1.0,
        ),
        "vae": node("VAEDecode", samples=["k", 0], vae=["ckpt", 2]),
        "save": node("SaveImage", images=["vae", 0], filename_prefix="x"),
    }  # fmt: skip
    return {**graph, **changes}


def found(graph: Graph, info: Any = OBJECT_INFO) -> dict[str, Parameter]:
    """What is proposed, by name. DefinitionError when it could not be stored."""
    proposed = propose(graph, info)
    check_bindings(parse_parameters([each.model_dump(mode="json") for each in proposed]), graph)
    return {each.name: each for each in proposed}


def keys(parameter: Parameter) -> list[tuple[str, str]]:
    """The inputs that it sets: (node, input)."""
    return [(each.node_id, each.input_name) for each in parameter.bindings]


def titled(kind: str, title: str, **inputs: Any) -> dict[str, Any]:
    """A node that its author gave a title."""
    return {**node(kind, **inputs), "_meta": {"title": title}}


def newest(graph: Graph) -> dict[str, Parameter]:
    """What is proposed where a ComfyUI 0.29 has the nodes. DefinitionError when it allows what they do not."""
    proposed = found(graph, newest_object_info())
    check_bounds(list(proposed.values()), graph, newest_object_info())
    return proposed
