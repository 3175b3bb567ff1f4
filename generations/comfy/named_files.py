"""Where a graph names files, whichever way the name gets into the input that reads them."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from generations.comfy.asset_references import is_reference, reference_to
from generations.comfy.file_inputs import is_file_name, leads_somewhere, looks_like_file, means_no_file
from generations.comfy.graph import Graph, InputKey, is_link, links
from generations.comfy.object_info import InputSpec, ObjectInfo, input_spec

Path: TypeAlias = tuple[str | int, ...]  # keys and positions, from the graph on
_PROMPTS = frozenset({"text", "prompt", "positive", "negative", "string", "value"})
_TEXT_TYPES = frozenset({"STRING", "COMBO", "*"})


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A text that names a file. `input_key` is the input that reads it; `path` leads to the text or to its link.

    `text` is None when another node makes the name, so that it is unknown until that node runs.
    """

    input_key: InputKey
    text: str | None
    path: Path


def named_files(graph: Graph, object_info: ObjectInfo | None) -> list[NamedFile]:
    """Every name of a file in the graph's inputs, but for references (see asset_references.py)."""
    return [
        each
        for node_id, node in graph.items()
        for name, value in node["inputs"].items()
        for each in _named_in(graph, (node_id, name), value, _spec(graph, (node_id, name), object_info))
    ]


def _named_in(graph: Graph, key: InputKey, value: object, spec: InputSpec | None) -> Iterator[NamedFile]:
    path = (key[0], "inputs", key[1])
    is_file = spec is not None and spec.file is not None
    if is_link(value):
        if is_file:
            yield NamedFile(key, _text_of(graph, value), path)
    elif not _is_innocent(key, value, spec):
        yield from _texts(key, value, path, is_certain=is_file)


def _is_innocent(key: InputKey, value: object, spec: InputSpec | None) -> bool:
    """True for prompts, for choices that are not files, and for defaults that lead nowhere in particular."""
    if spec is None:
        return key[1] in _PROMPTS
    if spec.file is None and spec.type == "STRING" and spec.multiline:
        return True
    if spec.file is None or not (spec.file.kind or spec.file.is_path or spec.file.is_folder):
        if value in (spec.choices or ()):
            return spec.file is None or not is_file_name(str(value))
        return spec.type == "STRING" and value == spec.default and not leads_somewhere(str(value))
    return False


def _texts(key: InputKey, value: object, path: Path, *, is_certain: bool) -> Iterator[NamedFile]:
    """The texts in a value. Objects hold other words, too: those of a camera, beside the names of its pictures."""
    if isinstance(value, str):
        if not means_no_file(value) if is_certain else looks_like_file(key[1], value):
            yield NamedFile(key, value, path)
    elif isinstance(value, list):
        for position, each in enumerate(value):
            yield from _texts(key, each, (*path, position), is_certain=is_certain)
    elif isinstance(value, dict) and not is_reference(value):
        for name, each in value.items():
            yield from _texts(key, each, (*path, name), is_certain=is_certain and name == "__value__")


def _text_of(graph: Graph, link: Any) -> str | None:
    """The one text of a node that only holds one; whatever computes a name could compute anybody's."""
    inputs = graph[str(link[0])]["inputs"] if str(link[0]) in graph else {}
    texts = [value for value in inputs.values() if isinstance(value, str)]
    is_computed = any(is_link(value) for value in inputs.values())
    return texts[0] if len(texts) == 1 and not is_computed else None


def with_references(graph: Graph, found: Mapping[Path, uuid.UUID]) -> Graph:
    """A copy of the graph with references to these assets where the names stood."""
    changed = copy.deepcopy(graph)
    for path, asset_id in found.items():
        target: Any = changed
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = reference_to(asset_id)
    return changed


def is_read_as_file(graph: Graph, key: InputKey, object_info: ObjectInfo | None) -> bool:
    """True when a text in this input names a file, there or in a node that gets it over any number of text nodes."""
    own = _spec(graph, key, object_info)
    if own is not None and own.file is not None:
        return True
    if own is not None and own.type not in _TEXT_TYPES:
        return False
    users: dict[str, list[InputKey]] = {}
    for node_id, name, source_id in links(graph):
        users.setdefault(source_id, []).append((node_id, name))
    seen, pending = {key[0]}, [key[0]]
    while pending:
        for user in users.get(pending.pop(), ()):
            spec = _spec(graph, user, object_info)
            if spec is not None and spec.file is not None:
                return True
            if user[0] not in seen and (spec is None or spec.type in _TEXT_TYPES):
                seen.add(user[0])
                pending.append(user[0])
    return False


def _spec(graph: Graph, key: InputKey, object_info: ObjectInfo | None) -> InputSpec | None:
    return input_spec(object_info, graph[key[0]]["class_type"], key[1])
