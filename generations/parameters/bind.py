"""Puts validated values into the graph."""

import copy
from collections.abc import Mapping, Sequence

from generations.comfy.graph import Graph, as_constant
from generations.parameters.schema import Parameter
from generations.parameters.values import Value


def bind(
    graph: Graph,
    parameters: Sequence[Parameter],
    values: Mapping[str, Value],
    *,
    media: Mapping[str, object] | None = None,
) -> Graph:
    """A deep copy of the graph with the bound inputs replaced, and nothing else changed.

    `media` maps the names of media parameters to what stands for the file in the graph. A value of None leaves the
    graph's own; seeds may be in their JSON form (text). ValueError: a file is missing in `media`.
    """
    bound = copy.deepcopy(graph)
    for parameter in parameters:
        value: object = values.get(parameter.name)
        if value is None:
            continue
        if parameter.is_media:
            value = _uploaded(parameter, media or {})
        elif parameter.type == "seed":
            value = int(str(value))
        for binding in parameter.bindings:
            bound[binding.node_id]["inputs"][binding.input_name] = as_constant(value)
    return bound


def _uploaded(parameter: Parameter, media: Mapping[str, object]) -> object:
    if not media.get(parameter.name):
        raise ValueError(f"The file of the parameter “{parameter.name}” was not uploaded to the server.")
    return media[parameter.name]
