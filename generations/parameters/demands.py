"""What a run demands of a server beyond its version: the files, choices and numbers that its inputs are set to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from generations.comfy.catalog import Value, is_number
from generations.comfy.graph import Graph, model_choices
from generations.parameters.schema import Parameter

_CHOSEN_TYPES = {"choice", "integer", "number"}


def model_files(graph: Graph) -> list[Value]:
    """The model files that a bound graph names."""
    return sorted(set(model_choices(graph)))


def chosen_values(graph: Graph, parameters: Iterable[Parameter]) -> list[Value]:
    """What a bound graph demands of a server beyond its version: its model files, and the choices and numbers that
    the user set.
    """
    found: set[Value] = set(model_choices(graph))
    for parameter in parameters:
        for binding in parameter.bindings if parameter.type in _CHOSEN_TYPES else ():
            node = graph[binding.node_id]
            value = node["inputs"].get(binding.input_name)
            if isinstance(value, str) or is_number(value):
                found.add((str(node["class_type"]), binding.input_name, value))
    return sorted(found, key=lambda each: (each[0], each[1], str(each[2])))


@dataclass(frozen=True, slots=True)
class Default:
    """What one input is set to where users leave the setting `label` alone."""

    label: str
    value: Value


def defaults(graph: Graph, parameters: Iterable[Parameter]) -> list[Default]:
    """What becomes of a run for which users choose nothing. What they have to choose has no default."""
    found = []
    for parameter in parameters:
        if parameter.is_media or parameter.type == "seed":
            continue
        for binding in parameter.bindings:
            node = graph.get(binding.node_id, {"class_type": "", "inputs": {}})
            value = usual_value(parameter, node["inputs"].get(binding.input_name))
            if isinstance(value, str) or is_number(value):
                found.append(Default(parameter.label, (str(node["class_type"]), binding.input_name, value)))
    return found


def usual_value(parameter: Parameter, own: object) -> Any:
    """What an input is set to when users choose nothing; `own` is the graph's value. None: they have to."""
    if parameter.default is not None:
        return parameter.default
    return None if parameter.required else own
