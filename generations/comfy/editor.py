"""Reading workflows in the format of ComfyUI's editor: nodes, links, sub-graphs and group nodes, old and new.

Sources: src/platform/workflow/validation/schemas/workflowSchema.ts and src/extensions/core/groupNode.ts of
ComfyUI_frontend.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from generations.comfy.object_info import NodeSpec, ObjectInfo, node_spec

NodeId: TypeAlias = str

INPUT_NODE, OUTPUT_NODE = "-10", "-20"
MUTED, BYPASSED = 2, 4
NO_SLOT = 2**31
PASS_THROUGH = frozenset({"Reroute", "Reroute (rgthree)"})
PRIMITIVE = "PrimitiveNode"
# Classes that ComfyUI renamed (src/stores, fix-ups on load): former -> present name.
_RENAMED = {"T2IAdapterLoader": "ControlNetLoader", "SDV_img2vid_Conditioning": "SVD_img2vid_Conditioning"}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_GROUP_TYPE = re.compile(r"workflow[>/](.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Slot:
    """An input or output. `link` is the id of the link into an input, None if there is none; `links` are those that an
    input or output of a sub-graph lists, in its order (the editor goes by them, not by the table of links); `label` is
    what it was renamed to.
    """

    name: str
    type: str
    link: str | None = None
    widget: str = ""
    label: str = ""
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    origin_id: NodeId
    origin_slot: int
    target_id: NodeId
    target_slot: int
    type: str = ""


@dataclass(slots=True)
class EditorNode:
    """One node as it was saved. `values` are by position, or by name as some custom nodes keep them.

    `named` are the values by name that newer editors write beside them, None where there are none; `saved` is the whole
    entry, with what only the editor needs.
    """

    id: NodeId
    type: str
    mode: int = 0
    title: str = ""
    inputs: list[Slot] = field(default_factory=list)
    outputs: list[Slot] = field(default_factory=list)
    values: list[Any] | Mapping[str, Any] | None = None
    named: Mapping[str, Any] | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    saved: Mapping[str, Any] = field(default_factory=dict)
    promoted: dict[str, Any] = field(default_factory=dict)  # of an instance: input -> value of its widget (promotion)

    def taking(self, link_id: str) -> Slot | None:
        """The input that takes this link, if one does."""
        return next((slot for slot in self.inputs if slot.link == link_id), None)

    @property
    def is_sub_graph(self) -> bool:
        """True for an instance of a sub-graph, whether the file has it or not."""
        return is_uuid(self.type)


@dataclass(slots=True)
class Definition:
    """What the nodes of a workflow, a sub-graph or a group node are. `number`: its place in the file's list; `saved`:
    the whole entry.
    """

    name: str
    nodes: dict[NodeId, EditorNode]
    links: dict[str, Link]
    inputs: list[Slot] = field(default_factory=list)
    outputs: list[Slot] = field(default_factory=list)
    number: int = 0
    is_group: bool = False
    saved: Mapping[str, Any] = field(default_factory=dict)

    def link_into_output(self, number: int) -> str | None:
        """Id of the link that this output of a sub-graph gives on: the first of those it lists that the file has."""
        listed = self.outputs[number].links if number < len(self.outputs) else ()
        return next((link_id for link_id in listed if link_id in self.links), None)


@dataclass(slots=True)
class Workflow:
    """A whole file. `is_blank`: the editor would load nothing at all."""

    root: Definition
    subgraphs: dict[str, Definition]
    groups: dict[str, Mapping[str, Any]]
    frontend_version: tuple[int, ...] = ()
    is_blank: bool = False

    def group_of(self, node: EditorNode) -> str | None:
        """Name of the group that this node stands for."""
        found = _GROUP_TYPE.fullmatch(node.type)
        return found[1] if found and found[1] in self.groups else None


def is_uuid(text: str) -> bool:
    """True for what sub-graphs and workflows are called by."""
    return _UUID.fullmatch(text) is not None


def is_editor_format(value: object) -> bool:
    """True for what the editor saves; the API format has no list of nodes."""
    return isinstance(value, dict) and isinstance(value.get("nodes"), list)


def read_workflow(value: Mapping[str, Any]) -> Workflow:
    """The workflow in parsed JSON. Whatever is malformed in it is left out; never raises."""
    extra = _mapping(value.get("extra"))
    links = value.get("links")
    is_blank = isinstance(links, list) and any(link is None for link in links)
    subgraphs: dict[str, Definition] = {}
    _read_definitions(value, subgraphs)
    version = re.match(r"([0-9]{1,9})\.([0-9]{1,9})", str(extra.get("frontendVersion", "")))
    return Workflow(
        root=_read_definition(value),
        subgraphs=subgraphs,
        groups={str(name): _mapping(group) for name, group in _mapping(extra.get("groupNodes")).items()},
        frontend_version=tuple(int(part) for part in version.groups()) if version else (),
        is_blank=is_blank,
    )


def _read_definitions(value: Mapping[str, Any], found: dict[str, Definition]) -> None:
    for entry in _list(_mapping(value.get("definitions")).get("subgraphs")):
        if isinstance(entry, dict) and str(entry.get("id")) not in found:
            definition = _read_definition(entry)
            definition.number = len(found)
            found[str(entry.get("id"))] = definition
            _read_definitions(entry, found)


def _read_definition(value: Mapping[str, Any]) -> Definition:
    nodes = [_read_node(entry) for entry in _list(value.get("nodes")) if isinstance(entry, dict)]
    links: dict[str, Link] = {}
    for entry in _list(value.get("links")):
        read = _read_link(entry)
        if read:
            links[read[0]] = read[1]
    return Definition(
        name=str(value.get("name") or ""),
        nodes={node.id: node for node in nodes},
        links=links,
        inputs=_read_slots(value.get("inputs")),
        outputs=_read_slots(value.get("outputs")),
        saved=value,
    )


def _read_node(entry: Mapping[str, Any]) -> EditorNode:
    values, named = entry.get("widgets_values"), entry.get("widgets_values_named")
    mode = entry.get("mode")
    title = entry.get("title")
    return EditorNode(
        id=str(entry.get("id")),
        type=str(entry.get("type") or "").strip(),
        mode=mode if isinstance(mode, int) else 0,
        title=title if isinstance(title, str) else "",
        inputs=_read_slots(entry.get("inputs")),
        outputs=_read_slots(entry.get("outputs")),
        values=_read_values(values),
        named=named if isinstance(named, dict) else None,
        properties=_mapping(entry.get("properties")),
        saved=entry,
    )


def _read_values(values: object) -> list[Any] | Mapping[str, Any] | None:
    if isinstance(values, dict) and isinstance(length := values.get("length"), int) and 0 <= length <= 10_000:
        return [values.get(str(index)) for index in range(length)]  # an array that was saved as an object
    return values if isinstance(values, list | dict) else None


def _read_slots(entries: object) -> list[Slot]:
    return [_read_slot(entry) for entry in _list(entries) if isinstance(entry, dict)]


def _read_slot(entry: Mapping[str, Any]) -> Slot:
    link, kind, label = entry.get("link"), entry.get("type"), entry.get("label")
    return Slot(
        name=str(entry.get("name") or ""),
        type=kind if isinstance(kind, str) else "COMBO" if isinstance(kind, list) else "*",
        link=None if link is None else str(link),
        widget=str(_mapping(entry.get("widget")).get("name") or ""),
        label=label.strip() if isinstance(label, str) else "",
        links=tuple(str(each) for each in _list(entry.get("linkIds"))),
    )


def _read_link(entry: object) -> tuple[str, Link] | None:
    if isinstance(entry, dict):
        parts = [entry.get(key) for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")]
    elif isinstance(entry, list) and len(entry) >= 5:
        parts = [*entry[:6], None][:6]
    else:
        return None
    link_id, origin, origin_slot, target, target_slot, kind = parts
    return str(link_id), Link(
        str(origin),
        _slot_number(origin_slot),
        str(target),
        _slot_number(target_slot),
        kind if isinstance(kind, str) else "",
    )


def _slot_number(value: object) -> int:
    """The slot's position; one that no node has for a negative number."""
    try:
        number = int(value)  # type: ignore[call-overload]  # old files have texts
        return number if number >= 0 else NO_SLOT
    except (TypeError, ValueError, OverflowError):
        return 0


def size_of_group(group: Mapping[str, Any]) -> int:
    """What reading it costs, in nodes and links."""
    return 1 + sum(len(_list(group.get(key))) for key in ("nodes", "links", "external"))


def read_group(group: Mapping[str, Any], instance: EditorNode) -> Definition:
    """A group node's insides as if they were a sub-graph: inner ids are positions, free inputs and outputs are numbered
    in the order of the nodes.

    An inner reroute gives nothing on, as in the editor.
    """
    nodes = [_read_node({**entry, "id": index}) for index, entry in enumerate(_dicts(group.get("nodes")))]
    links = _group_links(group, nodes)
    fed = {(link.target_id, link.target_slot) for link in links.values()}
    outputs = _group_outputs(group, nodes, links)
    inputs = _group_inputs(nodes, links, fed, [slot for slot in instance.inputs if not slot.widget])
    return Definition("", {node.id: node for node in nodes}, links, inputs, outputs, is_group=True)


def _group_outputs(group: Mapping[str, Any], nodes: list[EditorNode], links: dict[str, Link]) -> list[Slot]:
    """What leaves the group: outputs that nothing in it takes, and those that it lists. Adds their links."""
    used = {(link.origin_id, link.origin_slot) for link in links.values()}
    external = {
        (str(row[0]), _slot_number(row[1]))
        for row in _list(group.get("external"))
        if isinstance(row, list) and len(row) > 1
    }
    outputs: list[Slot] = []
    for node in nodes:
        for number, slot in enumerate(node.outputs):
            if (node.id, number) in external or (node.id, number) not in used:
                link_id = f"out{len(outputs)}"
                links[link_id] = Link(node.id, number, OUTPUT_NODE, len(outputs))
                outputs.append(replace(slot, links=(link_id,)))
    return outputs


def _group_inputs(
    nodes: list[EditorNode], links: dict[str, Link], fed: Container[tuple[NodeId, int]], free: list[Slot]
) -> list[Slot]:
    """Inputs that nothing in the group feeds, under the names of the instance's `free` ones. Adds their links."""
    inputs: list[Slot] = []
    for node in nodes:
        for number, slot in enumerate(node.inputs):
            if (node.id, number) in fed or slot.widget or len(inputs) >= len(free):
                continue
            link_id = f"in{len(inputs)}"
            links[link_id] = Link(INPUT_NODE, len(inputs), node.id, number)
            inputs.append(Slot(free[len(inputs)].name, slot.type))
            node.inputs[number] = Slot(slot.name, slot.type, link_id, slot.widget)
    return inputs


def _group_links(group: Mapping[str, Any], nodes: list[EditorNode]) -> dict[str, Link]:
    links: dict[str, Link] = {}
    by_id = {node.id: node for node in nodes}
    for position, row in enumerate(_list(group.get("links"))):
        if not isinstance(row, list) or len(row) < 4 or row[0] is None or row[2] is None:
            continue
        link = Link(str(row[0]), _slot_number(row[1]), str(row[2]), _slot_number(row[3]))
        target = by_id.get(link.target_id)
        if target is None or link.target_slot >= len(target.inputs):
            continue
        slot = target.inputs[link.target_slot]
        target.inputs[link.target_slot] = Slot(slot.name, slot.type, str(position), slot.widget)
        links[str(position)] = link
    return links


def class_of(node: EditorNode, object_info: ObjectInfo) -> NodeSpec | None:
    """The node's class, under its present name if it was renamed; None when the server does not know it."""
    name = node.type
    if name not in object_info and _RENAMED.get(name) in object_info:
        name = _RENAMED[name]
    return node_spec(object_info, name)


def _dicts(value: object) -> Iterable[Mapping[str, Any]]:
    return (entry for entry in _list(value) if isinstance(entry, dict))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
