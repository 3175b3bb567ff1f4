"""Files inside a whole workflow: the `core/ASSET` objects of the Comfy API v2, where a file name would stand."""

import copy
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from generations.comfy.file_inputs import FileInput, known_file
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


def replace_references(graph: Graph, name_of: Callable[[uuid.UUID, FileInput | None], str]) -> Graph:
    """A copy of the graph with file names in their place: `name_of` makes them of an asset and what its input is."""
    replaced = copy.deepcopy(graph)
    for node in replaced.values():
        for name, value in node["inputs"].items():
            known = known_file(node["class_type"], name)
            node["inputs"][name] = _replace(value, lambda asset_id, known=known: name_of(asset_id, known))  # type: ignore[misc]
    return replaced


def reference_to(asset_id: uuid.UUID) -> dict[str, Any]:
    """What stands in a graph for that asset."""
    return {"__type": TYPE, "info": {"id": str(asset_id)}}


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


def _replace(value: Any, name_of: Callable[[uuid.UUID], str]) -> Any:
    if isinstance(value, list):
        return [_replace(each, name_of) for each in value]
    if not isinstance(value, dict):
        return value
    if is_reference(value):
        asset_id = asset_id_of(value)
        assert asset_id is not None  # noqa: S101  (checked when it was submitted)
        return name_of(asset_id)
    return {name: _replace(each, name_of) for name, each in value.items()}
