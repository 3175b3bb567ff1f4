"""Which results of the previous prompt still hold (comfy_execution/caching.py)."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from generations.simulator.nodes.base import Environment, Node

Prompt = dict[str, Any]


def is_link(value: Any) -> bool:
    """True for `[node id, slot]` (comfy_execution/graph_utils.py)."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) in {int, float}


def sources(prompt: Prompt, node_id: str) -> list[str]:
    """The nodes that one takes its inputs from."""
    return [value[0] for value in prompt[node_id]["inputs"].values() if is_link(value)]


def signatures(prompt: Prompt, registry: dict[str, type[Node]], environment: Environment) -> dict[str, str]:
    """Node id, in the prompt's order -> what decides its result.

    That is its class, constants and fingerprint, and the same of everything before it, but no node ids. KeyError for a
    node without `inputs`, which ends ComfyUI's worker.
    """
    known: dict[str, str] = {}
    for node_id in prompt:
        _sign(prompt, node_id, registry, environment, known)
    return {node_id: known[node_id] for node_id in prompt}


def _sign(
    prompt: Prompt, node_id: str, registry: dict[str, type[Node]], environment: Environment, known: dict[str, str]
) -> str:
    if node_id in known or node_id not in prompt:
        return known.get(node_id, "")
    known[node_id] = ""  # ends cycles, which only unchecked nodes can have
    inputs = prompt[node_id]["inputs"]
    node_class = registry[prompt[node_id]["class_type"]]
    constants = {name: value for name, value in inputs.items() if not is_link(value)}
    parts: list[Any] = [node_class.class_type, node_class.fingerprint(environment, constants)]
    if node_class.is_never_cached:
        parts += [node_id, time.monotonic_ns()]
    for name, value in sorted(inputs.items()):
        link = [_sign(prompt, value[0], registry, environment, known), value[1]] if is_link(value) else None
        parts.append([name, value if link is None else None, link])
    known[node_id] = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
    return known[node_id]
