"""What users can choose at the moment, where a parameter offers what the servers have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from generations.comfy.catalog import Catalog
from generations.comfy.graph import Graph
from generations.parameters.demands import usual_value
from generations.parameters.schema import Parameter


def with_current(parameters: Iterable[Parameter], graph: Graph, catalogs: Sequence[Catalog]) -> tuple[Parameter, ...]:
    """The parameters; those that follow the servers offer what these catalogs have.

    A default that none of them has is dropped: users have to choose then, see the setting at once, and its `help` says
    why.
    """
    return tuple(_with_current(each, graph, catalogs) if each.type == "choice" else each for each in parameters)


def _with_current(parameter: Parameter, graph: Graph, catalogs: Sequence[Catalog]) -> Parameter:
    binding = parameter.bindings[0]
    node = graph[binding.node_id]
    key = (node["class_type"], binding.input_name)
    known = [catalog.choices[key] for catalog in catalogs if key in catalog.choices]
    if not known:
        return parameter
    offered = sorted(frozenset().union(*known), key=str.lower)
    changes: dict[str, Any] = {"choices": tuple(offered)} if parameter.is_live and offered else {}
    usual = usual_value(parameter, node["inputs"].get(binding.input_name))
    if usual is not None and str(usual) not in offered:
        # Left out, it would become the graph's own value: that one, or another which nobody chose.
        gone = f"The usual choice, “{usual}”, is not available at the moment."
        changes |= {"default": None, "required": True, "is_advanced": False, "help": f"{parameter.help} {gone}".strip()}
    return parameter.model_copy(update=changes)
