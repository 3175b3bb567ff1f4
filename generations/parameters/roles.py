"""What parameters stand for: by role, pages and programs find the prompt or the size, whatever a template calls it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from generations.comfy.graph import Graph, is_link, output_nodes
from generations.comfy.object_info import ObjectInfo

if TYPE_CHECKING:
    from generations.parameters.schema import Parameter

Role: TypeAlias = Literal[
    "prompt", "negative_prompt", "width", "height", "size", "aspect_ratio", "count", "seed", "image", "mask",
    "strength", "upscale_input", "steps", "guidance", "sampler", "scheduler", "model", "duration", "frames", "fps",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Meaning:
    """A role in plain words, and the types of parameters that can have it. With `is_shared`,
    several parameters of a template can have it: a list of values fills them in their order.
    """

    label: str
    types: tuple[str, ...]
    is_shared: bool = False


_TEXTS = ("text", "string")
_WHOLE = ("integer", "choice")
_NUMBERS = ("integer", "number", "choice")
_WORDS = ("choice", "string")
ROLES: Mapping[Role, Meaning] = {
    "prompt": Meaning("Prompt", _TEXTS),
    "negative_prompt": Meaning("Negative prompt", _TEXTS),
    "width": Meaning("Width in pixels", _WHOLE),
    "height": Meaning("Height in pixels", _WHOLE),
    "size": Meaning("Size, such as 1024x1024", _WORDS),
    "aspect_ratio": Meaning("Aspect ratio, such as 16:9", _WORDS),
    "count": Meaning("Number of results in one run", _WHOLE),
    "seed": Meaning("Seed", ("seed", "integer"), is_shared=True),
    "image": Meaning("Picture to work on", ("image",), is_shared=True),
    "mask": Meaning("Mask of what to change", ("mask", "image")),
    "strength": Meaning("Strength of the change, 0 to 1", ("number", "choice")),
    "upscale_input": Meaning("Picture or video to enlarge", ("image", "video")),
    "steps": Meaning("Steps", _WHOLE),
    "guidance": Meaning("Guidance (CFG)", _NUMBERS),
    "sampler": Meaning("Sampler", _WORDS),
    "scheduler": Meaning("Scheduler", _WORDS),
    "model": Meaning("Model", _WORDS),
    "duration": Meaning("Duration in seconds", _NUMBERS),
    "frames": Meaning("Number of frames", _WHOLE),
    "fps": Meaning("Frames per second", _NUMBERS),
}
_BY_TYPE: Mapping[str, Role] = {"seed": "seed", "image": "image", "mask": "mask"}
# By the name of the parameter, or of an input that it sets.
_BY_NAME: Mapping[str, Role] = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "mask": "mask",
    "width": "width",
    "height": "height",
    "size": "size",
    "image_size": "size",
    "aspect_ratio": "aspect_ratio",
    "ratio": "aspect_ratio",
    "count": "count",
    "batch_size": "count",
    "n": "count",
    "num_images": "count",
    "number_of_images": "count",
    "steps": "steps",
    "cfg": "guidance",
    "cfg_scale": "guidance",
    "guidance": "guidance",
    "guidance_scale": "guidance",
    "sampler": "sampler",
    "sampler_name": "sampler",
    "scheduler": "scheduler",
    "checkpoint": "model",
    "ckpt_name": "model",
    "unet_name": "model",
    "duration": "duration",
    "seconds": "duration",
    "length": "frames",
    "num_frames": "frames",
    "fps": "fps",
    "frame_rate": "fps",
}
_UPSCALER = re.compile(r"upscal|enhanc|vsr", re.IGNORECASE)
_CHECKER = re.compile(r"nsfw|safety|moderat", re.IGNORECASE)
_VERDICTS = ("STRING", "BOOLEAN", "INT", "FLOAT")
_LOOKING = re.compile(r"^Preview|Compare|^Get.*Size$|^Save")  # at a picture, without making another of it


def suggest_role(
    name: str, kind: str, input_names: Iterable[str], *, default: object = None, has_picture: bool = False
) -> Role | Literal[""]:
    """What a parameter of this name and type most probably stands for; "" when that does not tell.

    `input_names`: what it sets. `has_picture`: whether the template takes one, which a denoising below 1 keeps part of.
    """
    inputs = [each.rsplit(".", 1)[-1] for each in input_names]  # those of dynamic combos are dotted
    is_partial = isinstance(default, int | float) and 0 < default < 1
    if "denoise" in inputs and is_partial and has_picture:
        return "strength"
    named = (_BY_NAME[each] for each in (name, *inputs) if each in _BY_NAME)
    by_type = [_BY_TYPE[kind]] if kind in _BY_TYPE else []
    return next(iter([*(role for role in named if kind in ROLES[role].types), *by_type]), "")


def assign_roles(parameters: Sequence[Parameter], graph: Graph) -> list[Parameter]:
    """The same parameters with roles, as far as the graph, their names and the roles that they have already tell.

    Texts are negative by role or name. The prompt is the first other text that is not folded: folded texts belong to
    how the template does its work.
    """
    texts = (each for each in parameters if each.type in _TEXTS and not each.is_advanced)
    prompt = next((each.name for each in texts if not _is_negative(each)), "")
    has_picture = any(each.type == "image" for each in parameters)
    taken: set[str] = set()
    found = []
    for each in parameters:
        inputs = [binding.input_name for binding in each.bindings]
        role = suggest_role(each.name, each.type, inputs, default=each.default, has_picture=has_picture) or each.role
        if each.type in _TEXTS and role in {"", "prompt"}:
            role = "negative_prompt" if _is_negative(each) else "prompt" if each.name == prompt else ""
        elif role in {"", "image"} and _is_enlarged(each, graph):
            role = "upscale_input"
        role = free_role(role, taken)
        taken.add(role)
        is_bare = role == "strength" and each.label == "Denoise"
        found.append(each.model_copy(update={"role": role, **({"label": "Strength of the change"} if is_bare else {})}))
    return found


def _is_negative(parameter: Parameter) -> bool:
    return parameter.role == "negative_prompt" or "negative" in parameter.name


def _is_enlarged(parameter: Parameter, graph: Graph) -> bool:
    """True for a picture or video that nothing but upscalers takes."""
    if parameter.type not in {"image", "video"}:
        return False
    loaders = {binding.node_id for binding in parameter.bindings}
    users = [
        node["class_type"]
        for node in graph.values()
        if any(is_link(value) and value[0] in loaders for value in node["inputs"].values())
        and not _LOOKING.search(node["class_type"])
    ]
    return bool(users) and all(map(_UPSCALER.search, users))


def likely_safety_node(graph: Graph, object_info: ObjectInfo | None) -> str:
    """The node that shows what a checker found, such as a text or a yes or no; "" when there is none."""
    for node_id in output_nodes(graph, object_info or {}):
        for value in graph[node_id]["inputs"].values():
            if isinstance(value, list) and is_link(value) and _is_verdict(str(value[0]), value[1], graph, object_info):
                return node_id
    return ""


def _is_verdict(node_id: str, slot: int | float, graph: Graph, object_info: ObjectInfo | None) -> bool:
    class_type = graph[node_id]["class_type"] if node_id in graph else ""
    info = (object_info or {}).get(class_type)
    outputs = info.get("output") if isinstance(info, dict) else None
    if not _CHECKER.search(class_type) or not isinstance(outputs, list) or slot not in range(len(outputs)):
        return False
    return outputs[int(slot)] in _VERDICTS


def with_roles(definitions: Iterable[Any]) -> Iterator[Any]:
    """Stored definitions; each without a role gets the one that its name and type suggest.

    Versions from before there were roles have none, and never change. An empty role stays empty.
    """
    given = list(definitions)
    taken = {role for each in given if isinstance(each, dict) and isinstance(role := each.get("role"), str)}
    has_picture = any(isinstance(each, dict) and each.get("type") == "image" for each in given)
    for each in given:
        if not isinstance(each, dict) or "role" in each:
            yield each
            continue
        role = free_role(_role_of(each, has_picture=has_picture), taken)
        taken.add(role)
        yield {**each, "role": role}


def fitting_role(role: str, kind: str) -> Role | Literal[""]:
    """The role, or "" when a parameter of this type cannot have it."""
    return next((each for each, meaning in ROLES.items() if each == role and kind in meaning.types), "")


def free_role(role: Role | Literal[""], taken: Collection[str]) -> Role | Literal[""]:
    """The role, or "" when another parameter has it and it cannot be shared."""
    return "" if role and role in taken and not ROLES[role].is_shared else role


def _role_of(definition: Mapping[str, Any], *, has_picture: bool) -> Role | Literal[""]:
    """Never raises: a stored draft, or a file from elsewhere, may be wrong in any way."""
    bindings = definition.get("bindings")
    inputs = [each for each in bindings if isinstance(each, dict)] if isinstance(bindings, list | tuple) else []
    return suggest_role(
        str(definition.get("name")),
        str(definition.get("type")),
        [str(each.get("input_name")) for each in inputs],
        default=definition.get("default"),
        has_picture=has_picture,
    )
