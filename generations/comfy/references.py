"""Files inside a whole workflow: the `core/ASSET` objects of the Comfy API v2, where a file name would stand."""

import copy
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from generations.comfy.graph import Graph, GraphError

TYPE = "core/ASSET"
MAX_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Reference:
    """One of them. `asset_id` is None when it names none, or none that could be one."""

    node_id: str
    input_name: str
    asset_id: uuid.UUID | None


def find_references(graph: Graph) -> Iterator[Reference]:
    """Every reference in the graph's inputs. GraphError when they are nested more than MAX_DEPTH levels deep."""
    for node_id, node in graph.items():
        for name, value in node["inputs"].items():
            for found in _within(value):
                yield Reference(node_id, name, asset_id_of(found))


def replace_references(graph: Graph, names: Mapping[uuid.UUID, str]) -> Graph:
    """A copy of the graph with the file names in their place. KeyError for an asset without a name."""
    replaced = copy.deepcopy(graph)
    for node in replaced.values():
        node["inputs"] = {name: _replace(value, names) for name, value in node["inputs"].items()}
    return replaced


def is_reference(value: object) -> bool:
    """True for `{"__type": "core/ASSET", …}`."""
    return isinstance(value, dict) and value.get("__type") == TYPE


def asset_id_of(reference: Mapping[str, Any]) -> uuid.UUID | None:
    """Its `info.id`, which alone counts."""
    info = reference.get("info")
    found = info.get("id") if isinstance(info, dict) else None
    try:
        return uuid.UUID(found) if isinstance(found, str) else None
    except ValueError:
        return None


def _within(value: object, depth: int = 0) -> Iterator[dict[str, Any]]:
    if depth > MAX_DEPTH:
        raise GraphError(f"An input of this workflow is nested more than {MAX_DEPTH} levels deep.")
    if isinstance(value, dict):
        if is_reference(value):
            yield value
        else:
            for each in value.values():
                yield from _within(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _within(each, depth + 1)


def _replace(value: Any, names: Mapping[uuid.UUID, str]) -> Any:
    if isinstance(value, list):
        return [_replace(each, names) for each in value]
    if not isinstance(value, dict):
        return value
    if is_reference(value):
        asset_id = asset_id_of(value)
        assert asset_id is not None  # noqa: S101  (checked when it was submitted)
        return names[asset_id]
    return {name: _replace(each, names) for name, each in value.items()}
