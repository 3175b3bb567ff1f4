"""How /object_info describes a class of nodes."""

from __future__ import annotations

from typing import Any

from generations.simulator.nodes.base import Environment, Node
from generations.simulator.recording import Recorded


def describe(name: str, node: type[Node], environment: Environment) -> dict[str, Any]:
    """A class's entry of /object_info, keys in ComfyUI's order."""
    if issubclass(node, Recorded):
        return node.described(environment)
    specs = node.input_specs(environment)
    inputs: dict[str, Any] = {"required": _listed(specs["required"])}
    if specs["optional"]:
        inputs["optional"] = _listed(specs["optional"])
    if node.hidden:
        inputs["hidden"] = dict(node.hidden)
    return {
        "input": inputs,
        "input_order": {kind: list(entries) for kind, entries in inputs.items()},
        "output": list(node.returns),
        "output_is_list": [False] * len(node.returns),
        "output_name": list(node.return_names or node.returns),
        "name": name,
        "display_name": node.display_name or (None if node.is_v3 else name),
        "description": node.description,
        "python_module": node.python_module,
        "category": node.category,
        "output_node": node.is_output,
        **({"deprecated": False, "experimental": False, "api_node": False} if node.is_v3 else {}),
    }


def _listed(specs: Any) -> dict[str, Any]:
    return {name: [list(part) if isinstance(part, tuple) else part for part in spec] for name, spec in specs.items()}
