"""Suggests a parameter for a constant input: its type, name, label and bounds."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from generations.comfy.graph import is_model_file
from generations.comfy.object_info import InputSpec
from generations.comfy.titles import readable
from generations.parameters.roles import suggest_role
from generations.parameters.schema import MEDIA_TYPES, Choice, Parameter, ParameterType

_LABELS = {
    "cfg": "CFG",
    "ckpt_name": "Checkpoint",
    "unet_name": "Model",
    "control_net_name": "ControlNet",
    "model_name": "Model",
    "strength_model": "Strength",
    "lora_name": "LoRA",
    "vae_name": "VAE",
    "sampler_name": "Sampler",
    "noise_seed": "Seed",
    "filename_prefix": "File name prefix",
    "batch_size": "Images per run",
    "n": "Images per run",
    "num_images": "Images per run",
    "number_of_images": "Images per run",
    "fps": "Frames per second",
}
_NAMES = {
    "noise_seed": "seed",
    "n": "count",
    "ckpt_name": "checkpoint",
    "unet_name": "model",
    "lora_name": "lora",
    "vae_name": "vae",
    "control_net_name": "control_net",
    "model_name": "model",
    "sampler_name": "sampler",
    "strength_model": "strength",
}
_ROLES = {"positive": ("prompt", "Prompt"), "negative": ("negative_prompt", "Negative prompt")}
_ADVANCED = frozenset({"sampler_name", "scheduler", "denoise", "filename_prefix", "ckpt_name", "vae_name", "clip_skip"})
_UPLOADS: dict[str, ParameterType] = {"image": "image", "video": "video", "audio": "audio"}
_CONSTANTS: dict[str, ParameterType] = {
    "INT": "integer",
    "FLOAT": "number",
    "STRING": "string",
    "BOOLEAN": "boolean",
    "COMBO": "choice",
}
# Numbers that exports write as integers when they happen to be whole; needed where the node's class is not
# known.
_FRACTIONS = frozenset({"cfg", "denoise", "guidance", "strength", "strength_model", "strength_clip"})
_LONG_TEXT = 80
# What uploads are called by what they are, not by these.
_FILES = frozenset({"file", "directory", "folder", "audio_file"})
# Names that say nothing: the title that somebody gave the node says more.
_GENERIC = frozenset({"value", "text", "string", "choice"})


def suggest_parameter(
    node_id: str,
    input_name: str,
    value: object,
    spec: InputSpec | None = None,
    *,
    title: str = "",
    role: str | None = None,
    taken: Sequence[str] | set[str] = (),
    seed_mode: str = "",
) -> Parameter:
    """A parameter for a constant input.

    `title` is the node's, used where the input's name says nothing or is taken already; `role` is "positive" or
    "negative" for a text that ends there; `taken` holds the names in use. ValueError: the value is a link,
    list, object or null.
    """
    kind = _kind(input_name, value, spec)
    role = role if kind in {"string", "text"} else None
    name, label = _called(input_name, kind, spec, title=title, role=role)
    if name in taken:
        name, label = _distinct(name, label, node_id, title, set(taken))
    fields: dict[str, Any] = {
        "name": name,
        "label": label[:200],
        "type": kind,
        "help": (spec.tooltip if spec else "")[:2000],
        "required": kind in MEDIA_TYPES or role == "positive",
        "role": suggest_role(name, kind, [input_name]),
        "is_advanced": input_name in _ADVANCED or bool(spec and spec.is_advanced),
        "bindings": [{"node_id": node_id, "input_name": input_name}],
        **_bounds(kind, value, spec),
        **({"seed_mode": seed_mode} if seed_mode and kind == "seed" else {}),
    }
    return Parameter.model_validate(fields) if kind == "seed" or kind in MEDIA_TYPES else _with_default(fields, value)


def _called(
    input_name: str, kind: ParameterType, spec: InputSpec | None, *, title: str, role: str | None
) -> tuple[str, str]:
    """Name and label: the role's, else the title of the node where that says more than the input's name."""
    if role:
        return _ROLES[role]
    if title and (input_name in _GENERIC or kind in _UPLOADS.values()):
        return _slug(title), title
    if input_name in _FILES and kind in _UPLOADS.values():
        return kind, kind.capitalize()
    return _name(input_name), _label(input_name, spec)


def _with_default(fields: Mapping[str, Any], value: object) -> Parameter:
    try:
        return Parameter.model_validate({**fields, "default": value})
    except ValidationError:
        # The graph's own value breaks the node's rules (a model that this server lacks): no default, then.
        return Parameter.model_validate(fields)


def _kind(input_name: str, value: object, spec: InputSpec | None) -> ParameterType:
    if not isinstance(value, str | int | float):
        raise ValueError(f"The input “{input_name}” has no constant that a parameter could replace.")
    if spec is not None:
        if spec.upload in _UPLOADS:
            return _UPLOADS[spec.upload]
        if spec.is_seed:
            return "seed"
        if spec.type == "STRING" and (spec.multiline or _is_long(value)):
            return "text"
        if spec.type == "COMBO" and not spec.choices:
            return "choice" if _is_unlisted_model(value, spec) else _kind_of_value(input_name, value)
        if spec.type in _CONSTANTS:
            return _CONSTANTS[spec.type]
    return _kind_of_value(input_name, value)


def _kind_of_value(input_name: str, value: object) -> ParameterType:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) and input_name not in _FRACTIONS:
        return "seed" if input_name in {"seed", "noise_seed"} else "integer"
    if isinstance(value, int | float):
        return "number"
    return "text" if input_name in {"text", "prompt"} or _is_long(value) else "string"


def _is_unlisted_model(value: object, spec: InputSpec) -> bool:
    """True for a model that the server, as it was last seen, lacks: users choose among what will be there."""
    is_model = spec.file is None and not spec.is_remote and isinstance(value, str) and is_model_file(value)
    return is_model and value not in (spec.choices or ())


def _is_long(value: object) -> bool:
    return isinstance(value, str) and ("\n" in value or len(value) > _LONG_TEXT)


def _bounds(kind: ParameterType, value: object, spec: InputSpec | None) -> dict[str, Any]:
    if spec is None:
        return {}
    if kind in {"integer", "number"}:
        step = spec.step if spec.step and spec.step > 0 else None
        return {"minimum": spec.min, "maximum": spec.max, "step": step}
    if kind == "seed":
        return {"minimum": spec.min, "maximum": spec.max}
    if kind == "choice":
        is_lacking = _is_unlisted_model(value, spec)
        given = spec.choices or ([value] if isinstance(value, str) else ())
        choices: list[Choice] = [str(item) if isinstance(item, bool) else item for item in given]
        # Model files come and go: users choose among those that the servers have at the moment.
        is_live = is_lacking or (bool(choices) and all(isinstance(one, str) and is_model_file(one) for one in choices))
        return {"choices": list({str(choice): choice for choice in choices}.values()), "is_live": is_live}
    return {}


def _name(input_name: str) -> str:
    own = _own_name(input_name)
    return _NAMES.get(own) or _slug(own)


def _own_name(input_name: str) -> str:
    """Without the option of a dynamic combo that brings the input along: “model.resolution” -> “resolution”."""
    end = input_name.rsplit(".", 1)[-1]
    return end if re.fullmatch(r"[a-z_]{3,}", end) else input_name


def _label(input_name: str, spec: InputSpec | None) -> str:
    shown = spec.display_name if spec else ""
    own = _own_name(input_name)
    return _LABELS.get(own) or readable(shown) or readable(re.sub(r"[_.]+", " ", own).strip().lower())


def _distinct(name: str, label: str, node_id: str, title: str, taken: set[str]) -> tuple[str, str]:
    """A name that is not taken, and a label: with the node's title where that tells more, else with a number."""
    number = next(number for number in range(2, len(taken) + 3) if f"{name[:50]}_{number}" not in taken)
    numbered = f"{name[:50]}_{number}", f"{label} {number}"
    titled = _slug(f"{title}_{name}"), f"{label} ({title or node_id})"
    return numbered if not title or name in _slug(title) or titled[0] in taken else titled


def _slug(text: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return (slug if slug[:1].isalpha() else f"p_{slug}")[:64].rstrip("_") or "p"
