"""The editor's workflow of a graph, for nodes that look themselves up in extra_pnginfo["workflow"] while they run.

What the graph does not have, the nodes' properties above all, is taken from the workflow that it was imported from, as
far as that was kept. Source of the format: src/platform/workflow/validation/schemas/workflowSchema.ts of
ComfyUI_frontend (version 0.4).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from generations.comfy.graph import Graph, Node, is_link, links, own_title
from generations.comfy.object_info import InputSpec, NodeSpec, ObjectInfo, node_spec

KEPT = ("pos", "size", "flags", "mode", "color", "bgcolor", "properties", "widgets_values")
MAX_KEPT_BYTES = 1024 * 1024
MAX_SLOTS = 1000  # a graph may claim any number
COLUMNS, COLUMN_PIXELS, ROW_PIXELS = 5, 340, 260


def kept_of(workflow: object, graph: Graph) -> dict[str, Any] | None:
    """What to remember of an editor's workflow besides the graph made from it: node id -> fields. None: nothing.

    Notes, muted nodes and whatever else does not run are left behind.
    """
    entries = workflow.get("nodes") if isinstance(workflow, dict) else None
    found: dict[str, Any] = {}
    for entry in entries if isinstance(entries, list) else ():
        node = graph.get(str(entry.get("id"))) if isinstance(entry, dict) else None
        if node is not None and entry.get("type") == node["class_type"]:
            found[str(entry.get("id"))] = {name: entry[name] for name in KEPT if name in entry}
    return found if found and len(json.dumps(found)) <= MAX_KEPT_BYTES else None


def editor_workflow(
    graph: Graph,
    *,
    object_info: ObjectInfo | None = None,
    kept: Mapping[str, Mapping[str, Any]] | None = None,
    before: Graph | None = None,
) -> dict[str, Any]:
    """A workflow as the editor would save it: same ids, classes, titles, values and links.

    `kept` is what `kept_of` found when `before` was imported, the graph as it was before users' values came in.
    Without `object_info`, values stand in the order of the graph.
    """
    sketch = _Sketch(graph, object_info)
    nodes = []
    for order, node_id in enumerate(graph):
        known = (kept or {}).get(node_id, {})
        node = {**sketch.node(node_id, order), **known}
        if "widgets_values" in known:
            old = (before or graph).get(node_id, graph[node_id])
            node["widgets_values"] = _refreshed(known["widgets_values"], old, graph[node_id])
        nodes.append(node)
    numbers = [number for number in map(_id, graph) if isinstance(number, int)]
    return {
        "last_node_id": max(numbers, default=0),
        "last_link_id": len(sketch.links),
        "nodes": nodes,
        "links": sketch.links,
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def _id(node_id: str) -> int | str:
    """The editor counts with numbers; nodes that look themselves up compare with int(unique_id)."""
    return int(node_id) if node_id.isascii() and node_id.isdecimal() and len(node_id) <= 18 else node_id


class _Sketch:
    """The nodes and links of one graph. A link is [id, origin, its slot, target, its slot, type]."""

    def __init__(self, graph: Graph, object_info: ObjectInfo | None) -> None:
        self._graph = graph
        self._specs = {str(node["class_type"]): node_spec(object_info, node["class_type"]) for node in graph.values()}
        self.links: list[list[Any]] = []
        self._into: dict[str, list[list[Any]]] = {node_id: [] for node_id in graph}
        self._from: dict[str, list[list[Any]]] = {node_id: [] for node_id in graph}
        for target_id, name, source_id in links(graph):
            self._add(target_id, name, source_id)

    def _add(self, target_id: str, name: str, source_id: str) -> None:
        node = self._graph[target_id]
        spec = self._specs[node["class_type"]]
        known = spec.input(name) if spec else None
        link = [
            len(self.links) + 1, _id(source_id), int(node["inputs"][name][1]),
            _id(target_id), len(self._into[target_id]), known.type if known else "*",
        ]  # fmt: skip
        self.links.append(link)
        self._into[target_id].append(link)
        self._from[source_id].append(link)

    def node(self, node_id: str, order: int) -> dict[str, Any]:
        """One node, in its place of a simple raster."""
        node = self._graph[node_id]
        spec = self._specs[node["class_type"]]
        title = own_title(self._graph, node_id, spec)
        return {
            "id": _id(node_id),
            "type": node["class_type"],
            "pos": [order % COLUMNS * COLUMN_PIXELS, order // COLUMNS * ROW_PIXELS],
            "size": [300, 200],
            "flags": {},
            "order": order,
            "mode": 0,
            "inputs": self._inputs(node_id, spec),
            "outputs": self._outputs(node_id),
            "properties": {"Node name for S&R": node["class_type"]},
            "widgets_values": _values(node, spec),
            **({"title": title} if title else {}),
        }

    def _inputs(self, node_id: str, spec: NodeSpec | None) -> list[dict[str, Any]]:
        slots = []
        linked = [name for name, value in self._graph[node_id]["inputs"].items() if is_link(value)]
        for name, link in zip(linked, self._into[node_id], strict=True):
            known = spec.input(name) if spec else None
            widget = {"widget": {"name": name}} if known and known.is_widget else {}
            slots.append({"name": name, "type": link[5], "link": link[0], **widget})
        return slots

    def _outputs(self, node_id: str) -> list[dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        for link in self._from[node_id]:
            slot = found.setdefault(link[2], {"name": f"output {link[2]}", "type": link[5], "links": []})
            slot["links"].append(link[0])
        blank = {"name": "", "type": "*", "links": []}
        return [found.get(slot, blank) for slot in range(min(MAX_SLOTS, max(found, default=-1) + 1))]


def _values(node: Node, spec: NodeSpec | None) -> list[Any]:
    """By position, as the class orders them; behind a seed comes its control word."""
    inputs = node["inputs"]
    if spec is None:
        return [_plain(value) for value in inputs.values() if not is_link(value)]
    values: list[Any] = []
    for each in _widgets(spec.inputs, inputs):
        value = inputs.get(each.name, each.default)
        values.append(each.default if is_link(value) else _plain(value))
        values.extend(["fixed", ""][: each.control_values])
    return values


def _widgets(specs: tuple[InputSpec, ...], inputs: Mapping[str, Any]) -> Iterator[InputSpec]:
    for each in specs:
        if each.is_widget:
            yield each
            yield from _widgets(each.sub_inputs.get(str(inputs.get(each.name)), ()), inputs)


def _plain(value: Any) -> Any:
    return value["__value__"] if isinstance(value, dict) and set(value) == {"__value__"} else value


def _refreshed(stored: Any, before: Node, now: Node) -> Any:
    """The editor's values with those in their places that differ by now: found by what stood there before."""
    old = {name: _plain(value) for name, value in before["inputs"].items() if not is_link(value)}
    new = {name: _plain(value) for name, value in now["inputs"].items()}
    if isinstance(stored, dict):
        return {**stored, **{name: new[name] for name in old if name in stored and name in new}}
    if not isinstance(stored, list):
        return stored
    values, position = list(stored), 0
    for name, value in old.items():
        places = [at for at in range(position, len(values)) if _same(stored[at], value)]
        if places:
            values[places[0]] = new.get(name, value)
            position = places[0] + 1
    return values


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
