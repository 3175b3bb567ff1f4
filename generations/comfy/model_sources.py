"""Where model files come from and go to: what workflows say of it, and what is known of ComfyUI's loaders.

The editor's nodes carry `properties.models`, and older workflows a list of their own: [{name, url, directory}]
(frontend: workflowSchema). The folders below ComfyUI's `models` are those that its loaders list (folder_paths.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict
from urllib.parse import urlsplit

from generations.comfy.graph import Graph, model_choices

LONGEST_URL = 1000
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]*(/[A-Za-z0-9_][A-Za-z0-9_. -]*)*")

# nodes.py and comfy_extras of ComfyUI. By the name of the input, where all loaders mean the same by it.
_BY_INPUT = {
    "ckpt_name": "checkpoints",
    "lora_name": "loras",
    "vae_name": "vae",
    "unet_name": "diffusion_models",
    "control_net_name": "controlnet",
    "style_model_name": "style_models",
    "gligen_name": "gligen",
    "hypernetwork_name": "hypernetworks",
    "photomaker_model_name": "photomaker",
    "audio_encoder_name": "audio_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "clip_name3": "text_encoders",
    "clip_name4": "text_encoders",
}
_BY_PLACE = {
    ("CLIPLoader", "clip_name"): "text_encoders",
    ("CLIPVisionLoader", "clip_name"): "clip_vision",
    ("LTXAVTextEncoderLoader", "text_encoder"): "text_encoders",
    ("UpscaleModelLoader", "model_name"): "upscale_models",
    ("LatentUpscaleModelLoader", "model_name"): "latent_upscale_models",
    ("ModelPatchLoader", "name"): "model_patches",
}


class Source(TypedDict):
    """What a workflow says of a file: its https address, and its folder below `models`, or "" where it names none."""

    url: str
    directory: str


def folder_of(node_class: str, input_name: str) -> str:
    """The folder below `models` whose files that input lists; "" when it is not known."""
    return _BY_PLACE.get((node_class, input_name)) or _BY_INPUT.get(input_name, "")


def read_sources(workflow: object, graph: Graph) -> dict[str, Source]:
    """What the editor's workflow says of the model files that the graph names, by their names there. Never raises."""
    said: dict[str, Source] = {}
    for entry in _entries(workflow):
        name, url, directory = entry.get("name"), entry.get("url"), entry.get("directory")
        if isinstance(name, str) and name not in said and _is_address(url):
            is_folder = isinstance(directory, str) and len(directory) <= 100 and _FOLDER.fullmatch(directory)
            said[name] = {"url": str(url), "directory": str(directory) if is_folder else ""}
    wanted = {value for _node_class, _input_name, value in model_choices(graph)}
    return {name: said[found] for name in sorted(wanted) if (found := name if name in said else _base(name)) in said}


def _base(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def _is_address(url: object) -> bool:
    if not isinstance(url, str) or len(url) > LONGEST_URL:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname)


def _entries(workflow: object) -> Iterator[Mapping[str, Any]]:
    """Every entry of a list of models: of nodes, of those within sub-graphs, and of the workflow."""
    top = _mapping(workflow)
    subgraphs = _list(_mapping(top.get("definitions")).get("subgraphs"))
    for each in (top, *map(_mapping, subgraphs)):
        nodes = map(_mapping, _list(each.get("nodes")))
        for holder in (*(_mapping(node.get("properties")) for node in nodes), each):
            yield from (entry for entry in _list(holder.get("models")) if isinstance(entry, dict))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
