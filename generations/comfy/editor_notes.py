"""What the editor's file says of a node and the API format cannot: notes in the nodes' `_meta`, which ComfyUI ignores.

{"comfysaas": {"literal": [input, …], "control": {input: word}, "widgets": {"Node.widget": [node id, input] or
{"value": …}}}}: the inputs whose texts mean what they say, what the editor does with a number after each run, and the
widgets that names of files speak of.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from generations.comfy import editor
from generations.comfy.editor import INPUT_NODE, PRIMITIVE, Definition, EditorNode, Workflow
from generations.comfy.fitting import CONTROL_WORDS
from generations.comfy.graph import Graph, InputKey, Node
from generations.comfy.object_info import NodeSpec, ObjectInfo
from generations.comfy.resolving import PREFIX, SAVING, resolve_prompt, widget_names
from generations.comfy.widgets import read_widgets

NOTES = "comfysaas"
MAX_DEPTH = 20
MAX_INSTANCES = 20_000
_ALIAS = "Node name for S&R"
# The editor's own savers have no alias unless the file gives them one; every other node has its class's name.
NO_ALIAS = SAVING - {"VHS_VideoCombine"}


def notes_of(node: Node) -> dict[str, Any]:
    """What was noted of the editor's file."""
    meta = node.get("_meta")
    found = meta.get(NOTES) if isinstance(meta, dict) else None
    return found if isinstance(found, dict) else {}


def note(node: Node, **facts: Any) -> None:
    """Note it, unless there is nothing to note."""
    facts = {name: fact for name, fact in facts.items() if fact}
    if facts:
        meta = node.get("_meta")
        node["_meta"] = {**(meta if isinstance(meta, dict) else {}), NOTES: {**notes_of(node), **facts}}


def without_notes(graph: Graph) -> Graph:
    """The graph for ComfyUI, which would write the notes into every file; nodes without any are not copied."""
    return {
        node_id: {**node, "_meta": {name: one for name, one in node["_meta"].items() if name != NOTES}}
        if notes_of(node)
        else node
        for node_id, node in graph.items()
    }


def keep_literal(graph: Graph) -> None:
    """Note that the texts of a graph in the API format mean what they say where resolving would change them.

    The editor resolves texts when it exports a graph: what then has braces is meant to have them.
    """
    for node in graph.values():
        changed = [
            name
            for name, value in node["inputs"].items()
            if isinstance(value, str) and name != PREFIX and resolve_prompt(value, lambda _count: 0) != value
        ]
        if changed:
            note(node, literal=sorted({*notes_of(node).get("literal", []), *changed}))


def seed_mode_of(graph: Graph, node_id: str, input_name: str) -> str:
    """What the editor does with that number after each run; "" when the file does not say so."""
    words = notes_of(graph[node_id]).get("control") if node_id in graph else None
    word = words.get(input_name) if isinstance(words, dict) else None
    word = "increment" if word == "increment-wrap" else word
    return word if isinstance(word, str) and word in CONTROL_WORDS else ""


# ------------------------------------------------------------------------------------------ reading the file
def control_words(node: EditorNode, spec: NodeSpec) -> dict[str, str]:
    """Input -> what the editor does with its number after each run: fixed, increment, decrement or randomize."""
    known = read_widgets(node, spec).values
    numbers = [each.name for each in spec.inputs if each.type == "INT" and each.control_values and each.name in known]
    named = node.named or (node.values if isinstance(node.values, Mapping) else {})
    word = named.get("control_after_generate")
    if len(numbers) == 1 and isinstance(word, str) and word in CONTROL_WORDS:
        return {numbers[0]: word}
    values = node.values if isinstance(node.values, list) else []
    found: dict[str, str] = {}
    start = 0
    for name in numbers:
        for at in range(start, len(values) - 1):
            word = values[at + 1]
            if values[at] == known[name] and isinstance(word, str) and word in CONTROL_WORDS:
                found[name] = word
                start = at + 2
                break
    return found


def note_widgets(graph: Graph, workflow: Mapping[str, Any], object_info: ObjectInfo) -> None:
    """Note which widgets the names of files speak of: in the editor's order, which decides between nodes of one name,
    and with the values of those that are not in the graph.
    """
    wanted = {
        node_id: list(widget_names(node["inputs"][PREFIX]))
        for node_id, node in graph.items()
        if node["class_type"] in SAVING and isinstance(node["inputs"].get(PREFIX), str)
    }
    if not any(wanted.values()):
        return
    file = _File(editor.read_workflow(workflow), object_info, graph)
    for node_id, pairs in wanted.items():
        found = {".".join(pair): key for pair in pairs if (key := file.find(*pair)) is not None}
        note(graph[node_id], widgets=found)


@dataclass(frozen=True, slots=True)
class _Used:
    """A node of the file, where a definition is used."""

    definition: Definition
    path: str
    node: EditorNode


class _File:
    """All nodes of an editor's file, inner ones first, as the editor goes through them."""

    def __init__(self, workflow: Workflow, object_info: ObjectInfo, graph: Graph) -> None:
        self.workflow = workflow
        self.object_info = object_info
        self.graph = graph
        nodes = list(itertools.islice(self._walk(workflow.root, "", 0), MAX_INSTANCES))
        # The first of each name counts: hence backwards.
        self.aliased = {name: each for each in reversed(nodes) if isinstance(name := self._alias(each.node), str)}
        self.titled = {self._title(each.node): each for each in reversed(nodes)}

    def _walk(self, definition: Definition, path: str, depth: int) -> Iterator[_Used]:
        for node in definition.nodes.values():
            inner = self.workflow.subgraphs.get(node.type)
            if inner is not None and depth < MAX_DEPTH:
                yield from self._walk(inner, f"{path}{node.id}:", depth + 1)
            yield _Used(definition, path, node)

    def find(self, name: str, widget: str) -> list[str] | dict[str, Any] | None:
        """Where the graph has the value of that widget, or {"value": …} where it has none; None: no such widget."""
        used = self.aliased.get(name) or self.titled.get(name)
        if used is None:
            return None
        key = self._input_key(used.definition, used.path, used.node, widget, 0)
        is_live = key is not None and not self._is_fed(used, widget)
        if is_live and key is not None and isinstance(self._constant(key), str | int | float):
            return list(key)
        value = self._stored(used.node, widget)
        return None if value is None else {"value": value}

    def _is_fed(self, used: _Used, widget: str) -> bool:
        """True when a link decides what the widget's input gets: the widget keeps the value that it had before."""
        slot = next((each for each in used.node.inputs if each.widget == widget and each.link is not None), None)
        link = used.definition.links.get(slot.link or "") if slot else None
        origin = used.definition.nodes.get(link.origin_id) if link else None
        return link is not None and (origin is None or origin.type != PRIMITIVE)

    def _alias(self, node: EditorNode) -> object:
        spec = editor.class_of(node, self.object_info)
        return node.properties.get(_ALIAS, spec.class_type if spec and spec.class_type not in NO_ALIAS else None)

    def _title(self, node: EditorNode) -> str:
        spec = editor.class_of(node, self.object_info)
        return node.title or (spec.display_name if spec else node.type)

    def _constant(self, key: InputKey) -> object:
        node = self.graph.get(key[0])
        return node["inputs"].get(key[1]) if node else None

    def _input_key(
        self, definition: Definition, path: str, node: EditorNode, widget: str, depth: int
    ) -> InputKey | None:
        """Of the widget itself, or of the one that a primitive node or an instance of a sub-graph sets by it."""
        inner = self.workflow.subgraphs.get(node.type)
        if node.type != PRIMITIVE and inner is None:
            return f"{path}{node.id}", widget
        if inner is None:
            target = self._target(definition, node.id, 0) if widget == "value" else None
            return self._input_key(definition, path, *target, depth + 1) if target and depth < MAX_DEPTH else None
        number = next((at for at, slot in enumerate(inner.inputs) if slot.name == widget), None)
        target = self._target(inner, INPUT_NODE, number) if number is not None else None
        if target is None or depth >= MAX_DEPTH:
            return None
        return self._input_key(inner, f"{path}{node.id}:", *target, depth + 1)

    def _target(self, definition: Definition, origin: str, number: int) -> tuple[EditorNode, str] | None:
        """The first node and widget that this output leads to."""
        for link_id, link in definition.links.items():
            node = definition.nodes.get(link.target_id)
            if link.origin_id == origin and link.origin_slot == number and node is not None:
                slot = node.taking(link_id)
                if slot is not None:
                    return node, slot.widget or slot.name
        return None

    def _stored(self, node: EditorNode, widget: str) -> object:
        spec = editor.class_of(node, self.object_info)
        if node.type == PRIMITIVE and widget == "value":
            return node.values[0] if isinstance(node.values, list) and node.values else None
        if spec is None:
            return None
        word = next(iter(control_words(node, spec).values()), None) if widget == "control_after_generate" else None
        return word or read_widgets(node, spec).values.get(widget)
