"""Whole workflows name files as ComfyUI does; each name must be that of a file of the sender's own.

A name that stayed in the graph would read whatever lies under it on the server, other people's results included. So
names become references (comfy/asset_references.py), which the relay uploads under a name of ours.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from generations.comfy.asset_references import find_references
from generations.comfy.file_inputs import is_upload, leads_somewhere, split_annotation
from generations.comfy.graph import Graph, InputKey, is_link
from generations.comfy.named_files import NamedFile, Path, is_read_as_file, named_files, with_references
from generations.comfy.object_info import ObjectInfo, node_spec
from generations.models import Asset, ComfyServer
from generations.parameters.schema import Parameter
from generations.parameters.validate import InvalidInputs

if TYPE_CHECKING:
    from accounts.models import Workspace

_RESULTS = frozenset({"output", "temp"})


class MissingAssetError(Exception):
    """A whole workflow names a file that is not there, or not its sender's. `input_keys`: where it does."""

    def __init__(self, keys: Sequence[InputKey], *, is_computed: bool = False) -> None:
        super().__init__(keys)
        self.input_keys = list(keys)
        self.is_computed = is_computed

    def __str__(self) -> str:
        node_id, name = self.input_keys[0]
        if self.is_computed:
            return (
                f"Node {node_id}: another node makes the name of the file for “{name}”. Name one of your files there."
            )
        return f"Node {node_id}: you have no file of the name that “{name}” asks for. Upload it, then send this again."


def resolve(workspace: Workspace, graph: Graph, object_info: ObjectInfo | None) -> tuple[Graph, set[uuid.UUID]]:
    """(the graph with references instead of names, the ids of all the files it needs).

    MissingAssetError names every input that names no file of this workspace, and none that all its servers offer;
    GraphError for inputs that are nested too deep.
    """
    references = list(find_references(graph))
    named = named_files(graph, object_info)
    ids = {each.asset_id for each in references if each.asset_id}
    known = set(Asset.objects.in_workspace(workspace).filter(pk__in=ids).values_list("pk", flat=True)) if ids else set()
    missing = [(each.node_id, each.input_name) for each in references if each.asset_id not in known]
    found = _own_files(workspace, named)
    offered = _offered(graph, [each for each in named if each.path not in found])
    unknown = [each for each in named if each.path not in found and each.path not in offered]
    missing += [each.input_key for each in unknown]
    if missing:
        raise MissingAssetError(missing, is_computed=bool(unknown) and unknown[0].text is None)
    return with_references(graph, found), known | set(found.values())


def _own_files(workspace: Workspace, named: Iterable[NamedFile]) -> dict[Path, uuid.UUID]:
    """The newest file of this workspace for each name; `[output]` and `[temp]` speak of results."""
    wanted = {each.path: _candidates(each.text) for each in named if each.text}
    names = {name for candidates in wanted.values() for name, _is_result in candidates}
    if not names:
        return {}
    uploads: dict[tuple[str, bool], uuid.UUID] = {}
    rows = Asset.objects.in_workspace(workspace).filter(name__in=names).order_by("created_at", "pk")
    for pk, name, output in rows.values_list("pk", "name", "output"):
        uploads[name, False] = pk
        if output is not None:
            uploads[name, True] = pk
    chosen = {path: [uploads[each] for each in candidates if each in uploads] for path, candidates in wanted.items()}
    return {path: found[0] for path, found in chosen.items() if found}


def _candidates(text: str) -> list[tuple[str, bool]]:
    """(asset's name, whether it must be a result), the likeliest first."""
    name, folder = split_annotation(text.strip().strip("\"'"))
    if folder in _RESULTS:  # results are known by their file name, without the folder that ComfyUI put them into
        return [(name.replace("\\", "/").rpartition("/")[2], True)]
    return [(name, False), (name.removeprefix("./").removeprefix("input/"), False)]


def _offered(graph: Graph, named: Sequence[NamedFile]) -> set[Path]:
    """Those that every server which has the class lists itself, and whose admin lets users name them."""
    rows = ComfyServer.objects.enabled()
    if not named or not rows.filter(are_files_offered=True).exists():
        return set()
    servers = [(is_allowed, info or {}) for is_allowed, info in rows.values_list("are_files_offered", "object_info")]
    return {each.path for each in named if each.text and _is_offered(graph, each.input_key, each.text, servers)}


def _is_offered(graph: Graph, key: InputKey, text: str, servers: Iterable[tuple[bool, ObjectInfo]]) -> bool:
    """Listed under that very name, which says neither another folder nor that of our uploads."""
    if is_upload(text) or leads_somewhere(text) or is_link(graph[key[0]]["inputs"][key[1]]):
        return False
    class_type = graph[key[0]]["class_type"]
    having = [(is_allowed, node_spec(info, class_type)) for is_allowed, info in servers if class_type in info]
    return bool(having) and all(
        is_allowed and spec is not None and (known := spec.input(key[1])) and text in (known.choices or ())
        for is_allowed, spec in having
    )


def read_as_files(
    graph: Graph, parameters: Iterable[Parameter], object_info: ObjectInfo | None
) -> tuple[Parameter, ...]:
    """Those parameters whose texts an input would read as the name of a file.

    Publishing refuses them (parameters/bounds.py); older versions, and those published before a server told its node
    types, may have them.
    """
    return tuple(
        each
        for each in parameters
        if (each.type in {"text", "string"} or each.is_live)
        and any(is_read_as_file(graph, (one.node_id, one.input_name), object_info) for one in each.bindings)
    )


def refuse_names(graph: Graph, parameters: Iterable[Parameter], values: Mapping[str, object]) -> None:
    """InvalidInputs for values of users for these parameters, which read files."""
    errors = {
        each.name: ["This input reads a file of the server. Ask the operator to make it a file to upload."]
        for each in parameters
        if values.get(each.name) not in _admins_own(each, graph)
    }
    if errors:
        raise InvalidInputs(errors)


def _admins_own(parameter: Parameter, graph: Graph) -> Iterator[object]:
    yield from (None, parameter.default, *parameter.choices)
    yield from (graph[each.node_id]["inputs"].get(each.input_name) for each in parameter.bindings)
