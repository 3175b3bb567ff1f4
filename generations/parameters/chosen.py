"""Parameters for what the author of a workflow chose, in the author's order and with the author's words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from generations.comfy.app_mode import ChosenInput
from generations.comfy.editor_notes import seed_mode_of
from generations.comfy.graph import Graph, InputKey, with_own_options
from generations.comfy.object_info import InputSpec, ObjectInfo, input_spec, node_spec
from generations.comfy.titles import author_title, readable
from generations.parameters.detect import suggest_parameter
from generations.parameters.propose import propose
from generations.parameters.roles import assign_roles, fitting_role
from generations.parameters.schema import MEDIA_TYPES, Parameter
from generations.parameters.sensible import NARROWED

# Inputs whose name says nothing, so that the title of their node stands for them.
_NAMELESS = frozenset(
    {"value", "text", "string", "prompt", "image", "video", "audio", "file", "choice", "number", "ratio", "selected"}
)


def chosen_parameters(
    graph: Graph, inputs: Sequence[ChosenInput], object_info: ObjectInfo | None = None
) -> list[Parameter]:
    """One parameter for each input, ready for use: names are unique, and nothing is hidden among the advanced ones."""
    if not inputs:
        return []
    proposed = {
        binding.input_key: parameter for parameter in propose(graph, object_info) for binding in parameter.bindings
    }
    titles = _Titles(graph, inputs, object_info)
    made: list[Parameter] = []
    renamed: dict[str, str] = {}  # names of proposals -> what they are called here
    for chosen in inputs:
        taken = {parameter.name for parameter in made}
        base = proposed.get(chosen.input_keys[0]) or _suggested(graph, chosen, object_info)
        label = titles.label(chosen, _without_number(base).label)
        specs = [spec for key in chosen.input_keys if (spec := _spec(graph, key, object_info))]
        parameter = _as_chosen(_without_number(base), chosen, label, specs, taken)
        renamed.setdefault(base.name, parameter.name)
        made.append(parameter)
    return assign_roles([_drawn(parameter, renamed) for parameter in made], graph)


def _spec(graph: Graph, key: InputKey, object_info: ObjectInfo | None) -> InputSpec | None:
    return with_own_options(graph, key[0], input_spec(object_info, graph[key[0]]["class_type"], key[1]))


def _suggested(graph: Graph, chosen: ChosenInput, object_info: ObjectInfo | None) -> Parameter:
    node_id, name = chosen.input_keys[0]
    node = graph[node_id]
    return suggest_parameter(
        node_id,
        name,
        node["inputs"][name],
        _spec(graph, (node_id, name), object_info),
        title=author_title(graph, node_id, node_spec(object_info, node["class_type"])),
        seed_mode=seed_mode_of(graph, node_id, name),
    )


def _without_number(proposed: Parameter) -> Parameter:
    """The second of several proposals may be the only one that the author chose."""
    name, label = (re.fullmatch(r"(.+)[_ ]([2-9]|[1-9][0-9])", text) for text in (proposed.name, proposed.label))
    if name is None or label is None or name[2] != label[2]:
        return proposed
    return proposed.model_copy(update={"name": name[1], "label": label[1]})


def _as_chosen(
    base: Parameter, chosen: ChosenInput, label: str, specs: Sequence[InputSpec], taken: set[str]
) -> Parameter:
    fields = base.model_dump(exclude={"bindings"})
    words = chosen.name or chosen.label or (label if label != base.label else "")
    fields |= {
        "name": _free(_slug(words) or base.name, taken),
        "label": label[:200],
        "bindings": [{"node_id": node_id, "input_name": name} for node_id, name in chosen.input_keys],
        "is_advanced": chosen.is_advanced,
        "help": (chosen.help or base.help)[:2000],
    }
    fields |= _bounds(base, chosen, specs)
    if chosen.type and chosen.type != base.type:
        fields |= {"type": chosen.type, "choices": chosen.choices, "is_live": False}
        fields |= {"required": chosen.type in MEDIA_TYPES, "max_length": None}
        fields |= {"default": None if chosen.type in {*MEDIA_TYPES, "seed"} else _as(chosen.type, base.default)}
        fields |= {"role": fitting_role(base.role, chosen.type)}
    try:
        return Parameter.model_validate(fields)
    except ValidationError:
        # The value in the file breaks a rule of the node or of the author: there is no default, then.
        return Parameter.model_validate({**fields, "default": None})


def _as(type_name: str, default: object) -> object:
    """The default in another type than its input's: some tools keep all values as texts."""
    if type_name in {"integer", "number"} and isinstance(default, str):
        with suppress(ValueError):
            return int(default) if type_name == "integer" else float(default)
    if type_name == "boolean" and isinstance(default, str):
        return default.strip().lower() in {"true", "1", "yes", "on"}
    return default


def _bounds(base: Parameter, chosen: ChosenInput, specs: Iterable[InputSpec]) -> dict[str, Any]:
    """The narrowest of what the nodes take and what the author allows; our own idea of it only where they say none."""
    if (chosen.type or base.type) not in {"integer", "number", "seed"}:
        return {"minimum": None, "maximum": None, "step": None} if chosen.type else {}
    specs = list(specs)
    is_ours = base.role in NARROWED
    least = None if is_ours and chosen.minimum is not None else base.minimum
    most = None if is_ours and chosen.maximum is not None else base.maximum
    lows = [low for low in (least, chosen.minimum, *(spec.min for spec in specs)) if low is not None]
    highs = [high for high in (most, chosen.maximum, *(spec.max for spec in specs)) if high is not None]
    return {
        "minimum": max(lows, default=None),
        "maximum": min(highs, default=None),
        "step": chosen.step or base.step,
    }


class _Titles:
    """What to call each setting: the author's label, else the title of the node where it says more than the input."""

    def __init__(self, graph: Graph, inputs: Sequence[ChosenInput], object_info: ObjectInfo | None) -> None:
        self.graph = graph
        self.object_info = object_info
        nodes = [chosen.input_keys[0][0] for chosen in inputs]
        self.alone = {node_id for node_id in nodes if nodes.count(node_id) == 1}
        self.used: set[str] = set()

    def label(self, chosen: ChosenInput, suggested: str) -> str:
        """The author's words as they are; ours with a number where another setting has them."""
        wanted = self._label(chosen, suggested)
        label = wanted
        if not chosen.label and wanted in self.used:
            label = next(f"{wanted} {n}" for n in range(2, len(self.used) + 3) if f"{wanted} {n}" not in self.used)
        self.used.add(label)
        return label

    def _label(self, chosen: ChosenInput, suggested: str) -> str:
        node_id, name = chosen.input_keys[0]
        node = self.graph[node_id]
        title = chosen.title or author_title(self.graph, node_id, node_spec(self.object_info, node["class_type"]))
        if chosen.label or not title:
            return readable(chosen.label) or suggested
        is_one = sum(isinstance(value, str | int | float) for value in node["inputs"].values()) == 1
        if chosen.title or (node_id in self.alone and (is_one or name in _NAMELESS)):
            return title
        return suggested if title in suggested else f"{suggested} ({title})"


def _drawn(parameter: Parameter, renamed: dict[str, str]) -> Parameter:
    """A mask is drawn on a picture that users choose; where none is among the settings, it is uploaded."""
    if not parameter.drawn_on:
        return parameter
    return parameter.model_copy(update={"drawn_on": renamed.get(parameter.drawn_on, "")})


def _free(name: str, taken: set[str]) -> str:
    return name if name not in taken else next(_numbered(name, taken))


def _numbered(name: str, taken: set[str]) -> Iterator[str]:
    return (found for number in range(2, len(taken) + 3) if (found := f"{name[:60]}_{number}") not in taken)


def _slug(text: str) -> str:
    """A parameter's name made of words; "" when nothing of them can be in one."""
    slug = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    if not slug or len(re.sub(r"[\x00-\x7f]", "", text)) > len(text) / 2:
        return ""
    return (slug if slug[0].isalpha() else f"p_{slug}")[:60].rstrip("_")
