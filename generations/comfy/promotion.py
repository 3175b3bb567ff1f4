"""What the instances of sub-graphs hold: the values of inner widgets that they show on their outside.

An input of a sub-graph that leads to a widget is a widget of each instance, with a value of its own; it starts with the
value of the first widget that it leads to, over any number of levels. Editors of early 2026 listed such widgets in
`proxyWidgets` instead of connecting them: those become inputs here, as the editor itself does it when it loads them.
Sources: src/lib/litegraph/src/subgraph/SubgraphNode.ts and
src/core/graph/subgraph/migration/proxyWidgetMigration.ts of ComfyUI_frontend 1.58.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from generations.comfy.editor import (
    INPUT_NODE,
    PRIMITIVE,
    Definition,
    EditorNode,
    Link,
    NodeId,
    Slot,
    Workflow,
    class_of,
)
from generations.comfy.kinds import ABSENT
from generations.comfy.layout import as_held
from generations.comfy.object_info import InputSpec, ObjectInfo
from generations.comfy.troubles import Spend
from generations.comfy.widgets import held_values

MAX_CHAIN = 100
_PREFIX = re.compile(r"\s*(\d+)\s*:\s*(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Source:
    """A widget inside of an instance's sub-graph, as `proxyWidgets` names it."""

    node_id: NodeId
    name: str
    inner_id: NodeId = ""  # of the node that has the widget, where several levels have one of that name


@dataclass(slots=True)
class _Entry:
    """One widget in `proxyWidgets`. `inputs` names the instance's inputs that show it already."""

    source: _Source
    value: Any  # set on the instance; ABSENT when none is
    inputs: list[str]


def promote(workflow: Workflow, object_info: ObjectInfo, spend: Spend, *, is_old: bool) -> None:
    """Set `promoted` of every instance in the workflow, and connect what `proxyWidgets` lists.

    `spend` takes the steps that it costs. Editors of 2025 (`is_old`) knew nothing of `proxyWidgets`.
    """
    promotions = _Promotions(workflow, object_info, spend, is_old=is_old)
    order = _leaves_first(workflow.subgraphs)
    by_file = not is_old and _has_twins(workflow.subgraphs)
    for name in order:
        promotions.set(workflow.subgraphs[name], name if by_file else "")
    promotions.set(workflow.root)


class _Promotions:
    def __init__(self, workflow: Workflow, object_info: ObjectInfo, spend: Spend, *, is_old: bool) -> None:
        self.subgraphs = workflow.subgraphs
        self.object_info = object_info
        self.spend = spend
        self.is_old = is_old
        self.known: dict[str, list[EditorNode]] = {}  # type -> its instances that were set so far
        self.held: dict[int, dict[str, Any]] = {}
        self.specs: dict[tuple[int, str], InputSpec | None] = {}  # (instance, input) -> the widget that it leads to
        self.ready: dict[str, int] = {}  # definition -> place in the file's list where all that is in it is set up

    def set(self, graph: Definition, by_file: str = "") -> None:
        """Set the instances in a definition; `by_file` is its name where the editor goes by the order of the file."""
        hosts = [node for node in graph.nodes.values() if node.type in self.subgraphs]
        # Those that the editor sets up before their definition lose all that they hold.
        early = {host.id for host in hosts if by_file and graph.number < self.ready.get(host.type, 0)}
        if by_file:
            self.ready[by_file] = max([graph.number, *(self.ready.get(host.type, 0) for host in hosts)])
        for host in hosts:
            self._start(host, is_early=host.id in early)
            self.known.setdefault(host.type, []).append(host)
        for host in hosts:
            if not self.is_old and host.id not in early:
                self._migrate(host)

    def _start(self, host: EditorNode, *, is_early: bool) -> None:
        """The values that the file has for the instance, by position; else those of the widgets inside."""
        definition = self.subgraphs[host.type]
        stored = host.values if isinstance(host.values, list) and not is_early else []
        kept = {} if is_early else _quarantined(host.properties)
        position = 0
        for slot in definition.inputs:
            inside = self._inside(definition, slot)
            if inside is None:
                continue
            value, self.specs[id(host), slot.name] = inside
            self._hold(host, slot.name, kept.get(slot.name, stored[position] if position < len(stored) else value))
            position += 1

    def _targets(self, definition: Definition, slot: Slot) -> Iterator[tuple[EditorNode, Slot]]:
        """Where the links of that input of a sub-graph lead, in the order in which it lists them."""
        for link_id in slot.links:
            link = definition.links.get(link_id)
            target = definition.nodes.get(link.target_id) if link else None
            if target is not None:
                self.spend(1 + len(target.inputs))
                found = target.taking(link_id)
                if found is not None:
                    yield target, found

    def _inside(self, definition: Definition, slot: Slot) -> tuple[Any, InputSpec | None] | None:
        """The first widget that the input leads to: its value, and its description if the server has it."""
        for target, found in self._targets(definition, slot):
            value = self._value(target, found.name)
            if value is not None:
                return value[0], self._spec(target, found.name)
        return None

    def _spec(self, node: EditorNode, name: str) -> InputSpec | None:
        if node.type in self.subgraphs:
            return self.specs.get((id(node), name))
        spec = class_of(node, self.object_info)
        return spec.input(name) if spec else None

    def _value(self, node: EditorNode, name: str) -> tuple[Any] | None:
        """The value of the node's widget of that name, in a tuple; None when it has no such widget."""
        if node.type in self.subgraphs:
            return (node.promoted[name],) if name in node.promoted else None
        if id(node) not in self.held:
            spec = class_of(node, self.object_info)
            self.spend(1 + (len(spec.inputs) if spec else 0))
            # What the server does not know (any more) was a widget where the file says so; today's editor skips it, and
            # the values of an instance move by one.
            shown = {slot.name: ABSENT for slot in node.inputs if slot.widget and not (spec and spec.input(slot.name))}
            self.held[id(node)] = shown | (held_values(node, spec, self.spend) if spec else {})
        held = self.held[id(node)]
        return (held[name],) if name in held else None

    # ------------------------------------------------------------------------------------------ proxyWidgets
    def _migrate(self, host: EditorNode) -> None:
        rows = _rows(host.properties.get("proxyWidgets"))
        stored = host.values if isinstance(host.values, list) else []
        sources = [self._source(host, row) for row in rows]
        entries = [
            _Entry(source, stored[at] if at < len(stored) else ABSENT, self._shown_by(host, source))
            for at, source in enumerate(sources)
        ]
        primitives: dict[NodeId, list[_Entry]] = {}
        for entry in entries:
            source = self.subgraphs[host.type].nodes.get(entry.source.node_id)
            if entry.inputs:
                self._replace(host, entry.inputs[0], entry.value)
            elif entry.source.node_id == "-1":  # an input by its name, as some versions wrote it
                self._replace(host, entry.source.name, entry.value)
            elif source is not None and source.type == PRIMITIVE:
                primitives.setdefault(source.id, []).append(entry)
            elif source is not None:
                self._connect_widget(host, source, entry)
        for node_id, of_primitive in primitives.items():
            self._connect_primitive(host, self.subgraphs[host.type].nodes[node_id], of_primitive)

    def _replace(self, host: EditorNode, name: str, value: Any) -> None:
        if name in host.promoted and value is not ABSENT:
            self._hold(host, name, value)

    def _hold(self, host: EditorNode, name: str, value: Any) -> None:
        spec = self.specs.get((id(host), name))
        host.promoted[name] = as_held(value, spec, is_old=self.is_old) if spec and value is None else value

    def _source(self, host: EditorNode, row: list[str]) -> _Source:
        """Older entries have the ids of the nodes on the way before the name of the widget."""
        name, inner = row[1], row[2] if len(row) > 2 else ""
        if not self._is_there(host, row[0], name):
            while found := _PREFIX.fullmatch(name):
                inner, name = found[1], found[2]
        return _Source(row[0], name, inner)

    def _is_there(self, host: EditorNode, node_id: NodeId, name: str) -> bool:
        for _step in range(MAX_CHAIN):
            node = self.subgraphs[host.type].nodes.get(node_id)
            if node is None:
                return False
            if node.type not in self.subgraphs:
                return self._value(node, name) is not None or node.type == PRIMITIVE
            behind = self._behind(node, name)
            if behind is None:
                return False
            host, (node_id, name) = node, behind
        return False

    def _behind(self, host: EditorNode, name: str) -> tuple[NodeId, str] | None:
        """(node, widget) that the input of that name leads to first; of an instance inside, its input's name."""
        definition = self.subgraphs[host.type]
        self.spend(1 + len(definition.inputs))
        slot = next((each for each in definition.inputs if each.name == name), None)
        for target, found in self._targets(definition, slot) if slot else ():
            if target.type in self.subgraphs or self._value(target, found.name) is not None:
                return target.id, found.name
        return None

    def _shown_by(self, host: EditorNode, source: _Source) -> list[str]:
        names = [slot.name for slot in self.subgraphs[host.type].inputs]
        return [name for name in names if self._behind(host, name) == (source.node_id, source.name)][:1]

    def _connect_widget(self, host: EditorNode, node: EditorNode, entry: _Entry) -> None:
        name = self._slot_name(node, entry.source)
        value = self._value(node, name)
        if value is None or name.startswith("$$"):  # a preview, or gone
            return
        self._connect(host, entry.source.name, [(node, name)], value[0])
        self._replace(host, self.subgraphs[host.type].inputs[-1].name, entry.value)

    def _slot_name(self, node: EditorNode, source: _Source) -> str:
        """The input of the inner node behind which the widget is; of an instance, perhaps one with another name."""
        for slot in self.subgraphs[node.type].inputs if node.type in self.subgraphs else ():
            behind = self._behind(node, slot.name)
            if (
                behind == (source.inner_id, source.name)
                if source.inner_id
                else (slot.name == source.name or (behind is not None and behind[1] == source.name))
            ):
                return slot.name
        return source.name

    def _connect_primitive(self, host: EditorNode, primitive: EditorNode, entries: list[_Entry]) -> None:
        """A primitive that the instance shows becomes an input in its place, with all that the primitive feeds."""
        definition = self.subgraphs[host.type]
        self.spend(len(definition.nodes) + sum(len(node.inputs) for node in definition.nodes.values()))
        fed = [
            (node, slot.name)
            for node in definition.nodes.values()
            for slot in node.inputs
            if (link := definition.links.get(slot.link or "")) is not None and link.origin_id == primitive.id
        ]
        if not fed or len({entry.source.name for entry in entries}) > 1:
            return
        specs = [self._spec(node, name) for node, name in fed]
        if any(spec is None or not _is_alike(spec, specs[0]) for spec in specs):
            for node, name in fed[1:]:  # the editor fails at it, and leaves the first connected
                at = next(at for at, slot in enumerate(node.inputs) if slot.name == name)
                node.inputs[at] = replace(node.inputs[at], link=None)
            return
        inside = self._value(*fed[0])  # a primitive has no value of its own yet when the editor looks at this
        title = primitive.title if primitive.title not in ("", PRIMITIVE) else entries[0].source.name
        self._connect(host, title, fed, inside[0] if inside else ABSENT)
        given = [entry.value for entry in entries if entry.value is not ABSENT]
        self._replace(host, definition.inputs[-1].name, given[0] if given else ABSENT)

    def _connect(self, host: EditorNode, wanted: str, fed: list[tuple[EditorNode, str]], value: Any) -> None:
        """A new input of the sub-graph that feeds these; every instance has it, with that value."""
        definition = self.subgraphs[host.type]
        number = len(definition.inputs)
        self.spend(number + len(self.known.get(host.type, ())) + sum(1 + len(node.inputs) for node, _name in fed))
        name = _unique(wanted, {slot.name for slot in definition.inputs})
        links: list[str] = []
        kind = "*"
        for node, slot_name in fed:
            at = next((at for at, slot in enumerate(node.inputs) if slot.name == slot_name), len(node.inputs))
            if at == len(node.inputs):
                node.inputs.append(Slot(slot_name, "*", widget=slot_name))
            links.append(f"{INPUT_NODE}:{number}:{len(links)}")
            kind = node.inputs[at].type
            node.inputs[at] = replace(node.inputs[at], link=links[-1])
            definition.links[links[-1]] = Link(INPUT_NODE, number, node.id, at)
        definition.inputs.append(Slot(name, kind, links=tuple(links)))
        for each in self.known.get(host.type, []):
            self.specs[id(each), name] = self._spec(*fed[0])
            self._hold(each, name, value)


def _is_alike(one: InputSpec, other: InputSpec | None) -> bool:
    """True for widgets that one input of a sub-graph can feed."""
    return other is not None and (one.type, one.min, one.max, one.step) == (
        other.type,
        other.min,
        other.max,
        other.step,
    )


def _has_twins(subgraphs: Mapping[str, Definition]) -> bool:
    """True where a definition has two instances of one sub-graph.

    The editor then sets up all definitions in the file's order: as it looks for those that wait for no other, it counts
    both, but takes only one off.
    """
    for definition in subgraphs.values():
        used = [node.type for node in definition.nodes.values() if node.type in subgraphs]
        if len(used) > len(set(used)):
            return True
    return False


def _leaves_first(subgraphs: Mapping[str, Definition]) -> list[str]:
    """Definitions before those that use them, as the editor sets them up; in the file's order if they go in circles."""
    users: dict[str, list[str]] = {name: [] for name in subgraphs}
    waits = dict.fromkeys(subgraphs, 0)
    for name, definition in subgraphs.items():
        for used in dict.fromkeys(node.type for node in definition.nodes.values() if node.type in subgraphs):
            users[used].append(name)
            waits[name] += 1
    ready = [name for name, count in waits.items() if count == 0]
    for name in ready:
        for user in users[name]:
            waits[user] -= 1
            if waits[user] == 0:
                ready.append(user)
    return ready if len(ready) == len(subgraphs) else list(subgraphs)


def _rows(value: object) -> list[list[str]]:
    """`proxyWidgets`: [node id, widget name] or [node id, widget name, inner node id]; nothing if any is malformed."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return []
    rows = value if isinstance(value, list) else []
    is_sound = all(
        isinstance(row, list) and len(row) in (2, 3) and all(isinstance(each, str) for each in row) for row in rows
    )
    return rows if is_sound else []


def _quarantined(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Values of inputs that an editor put aside when it could not place them; they win over positions."""
    rows = properties.get("proxyWidgetErrorQuarantine")
    found: dict[str, Any] = {}
    for row in reversed(rows if isinstance(rows, list) else []):
        original = row.get("originalEntry") if isinstance(row, dict) else None
        if isinstance(original, list) and len(original) > 1 and original[0] == "-1" and "hostValue" in row:
            found[str(original[1])] = row["hostValue"]
    return found


def _unique(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    return found
