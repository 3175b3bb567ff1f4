"""Parameters as drafts, versions and packages store them."""

from __future__ import annotations

from typing import Any, TypeAlias

from generations.comfy.graph import Graph
from generations.comfy.object_info import ObjectInfo
from generations.parameters.propose import propose
from generations.parameters.schema import Parameter

Definition: TypeAlias = dict[str, Any]


def definition_of(parameter: Parameter) -> Definition:
    """The parameter in JSON: what programs look up in every one, and of the rest what is not the default."""
    always = {"name", "type", "label", "bindings", "role"}
    full = parameter.model_dump(mode="json")
    brief = parameter.model_dump(mode="json", exclude_defaults=True)
    return {name: value for name, value in full.items() if name in always or name in brief}


def proposals(graph: Graph, object_info: ObjectInfo | None) -> list[Definition]:
    """What users most probably should be able to set."""
    return [definition_of(parameter) for parameter in propose(graph, object_info)]
