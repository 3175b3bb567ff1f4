"""Labels for settings of a kind, such as two models: by the titles of their nodes, or by what their files are for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from generations.comfy.graph import Graph
from generations.parameters.schema import Parameter

_FILES = frozenset({"ckpt_name", "unet_name", "lora_name", "vae_name", "control_net_name", "model_name"})
_KINDS = _FILES | {"strength_model"}
_NOISE = re.compile(r"(?<![a-z])(high|low)[ _.-]?noise(?![a-z])", re.IGNORECASE)


def told_apart(parameters: Sequence[Parameter], graph: Graph, titled: Callable[[str], str]) -> list[Parameter]:
    """The same; models of a kind that would have a number are called by what differs, where all of them tell."""
    found = list(parameters)
    kinds: dict[tuple[str, str], list[int]] = {}
    for at, each in enumerate(found):
        binding = each.bindings[0]
        if binding.input_name in _KINDS:
            kinds.setdefault((graph[binding.node_id]["class_type"], binding.input_name), []).append(at)
    taken = {each.name for each in found}
    for group in kinds.values():
        marks = [_mark(found[at], graph, titled) for at in group]
        if len(group) > 1 and len(set(map(str.lower, marks))) == len(group) and all(marks):
            base = found[group[0]]
            for at, mark in zip(group, marks, strict=True):
                name = _slug(f"{base.name}_{mark}")
                if name not in taken:
                    taken.add(name)
                    label = f"{base.label} ({mark})"[:200]
                    found[at] = found[at].model_copy(update={"name": name, "label": label})
    return found


def _mark(parameter: Parameter, graph: Graph, titled: Callable[[str], str]) -> str:
    node_id = parameter.bindings[0].node_id
    if title := titled(node_id):
        return title
    files = (str(value) for name, value in graph[node_id]["inputs"].items() if name in _FILES)
    noises = {found[1].lower() for each in files for found in _NOISE.finditer(each)}
    return f"{noises.pop()} noise" if len(noises) == 1 else ""


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower())[:64].strip("_")
