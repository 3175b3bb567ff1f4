"""From the editor's format of a workflow to the API format, as the editor itself does it when a workflow is queued.

    python -m generations.comfy.convert workflow.json --object-info object_info.json

Sources: src/utils/executionUtil.ts and src/lib/litegraph/src/subgraph/ExecutableNodeDTO.ts of ComfyUI_frontend.
It differs where the editor draws, rounds or fails: seeds keep all their digits, texts with {alternatives} and %date%
stay as they were written (see queued.py), and what cannot be converted is refused with the nodes that are at fault.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from generations.comfy import editor, everywhere, queued, wiring
from generations.comfy.editor import BYPASSED, INPUT_NODE, MUTED, OUTPUT_NODE, PRIMITIVE, Definition, EditorNode, Slot
from generations.comfy.errors import ProtocolError
from generations.comfy.graph import Graph, GraphError, GraphProblem, as_constant
from generations.comfy.kinds import DYNAMIC_COMBO
from generations.comfy.layout import has_slot, slots_of, with_shown
from generations.comfy.object_info import InputSpec, NodeSpec, ObjectInfo, is_old
from generations.comfy.primitives import Typed, typed_values
from generations.comfy.promotion import promote
from generations.comfy.unknown import why_unknown
from generations.comfy.widgets import Reading, expected_length, read_widgets
from generations.comfy.wire import decode

MAX_NODES = 20_000
MAX_DEPTH = 20
MAX_STEPS = 3_000_000  # a second or two; real workflows take some thousands
STEPS_OF_INSTANCE = 150
MAX_PROBLEMS = 200
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class ConversionError(GraphError):
    """The workflow cannot be converted; `problems` names every node that is at fault."""

    def __init__(self, problems: list[GraphProblem]) -> None:
        super().__init__(
            "\n".join(
                f"{problem.title} (node {problem.node_id}): {problem.message}" if problem.node_id else problem.message
                for problem in problems
            )
        )
        self.problems = problems


@dataclass(frozen=True, slots=True)
class _Source:
    """The output of a node that runs."""

    node_id: str
    slot: int


@dataclass(frozen=True, slots=True)
class _Constant:
    """The value of a widget that a sub-graph shows on its outside."""

    value: Any


@dataclass(slots=True)
class _Scope:
    """One place where a definition is used: the workflow itself, or an instance of a sub-graph or group in it."""

    definition: Definition
    path: str = ""
    instance: EditorNode | None = None
    parent: _Scope | None = None
    depth: int = 0
    promoted: Mapping[str, Any] = field(default_factory=dict)  # input name -> value of the instance's widget
    fixed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # inner id -> input -> value (groups)


@dataclass(frozen=True, slots=True)
class Conversion:
    """A graph, and what to look at before trusting it: each flag names a node."""

    graph: Graph
    flags: list[GraphProblem]


def convert(workflow: Mapping[str, Any], object_info: ObjectInfo) -> Graph:
    """As `convert_flagged`, for those who have no use for flags."""
    return convert_flagged(workflow, object_info).graph


def convert_flagged(workflow: Mapping[str, Any], object_info: ObjectInfo) -> Conversion:
    """The graph that the editor would queue. ConversionError when it would queue none, or a wrong one.

    A workflow without a node to run gives an empty graph.
    """
    try:
        converter = _Converter(editor.read_workflow(workflow), object_info)
        return Conversion(converter.run(), list(converter.flags.values()))
    except RecursionError as error:
        message = "Its nodes are chained or nested too deep to be followed."
        raise ConversionError([GraphProblem("", "", message)]) from error


class _Converter:
    def __init__(self, workflow: editor.Workflow, object_info: ObjectInfo) -> None:
        self.workflow = workflow
        self.object_info = object_info
        self.problems: dict[tuple[str, str], GraphProblem] = {}
        self.typed: Typed = {}  # what primitive nodes set
        self.children: dict[str, _Scope] = {}
        self.is_old = is_old(object_info)
        self.captured: list[tuple[_Scope, EditorNode, str]] = []
        self.broadcast_troubles = everywhere.connect(workflow, object_info)
        self.setters = wiring.Setters(workflow)
        self.unknown: dict[str, tuple[_Scope, EditorNode]] = {}  # nodes without a class, by their ids in the graph
        self.flags: dict[tuple[str, str], GraphProblem] = {}
        self.readings: dict[int, tuple[EditorNode, Reading]] = {}  # by the node's id() in this process
        self.count = 0
        self.steps = 0

    def run(self) -> Graph:
        if self.workflow.is_blank:
            return {}
        root = _Scope(self.workflow.root)
        promote(self.workflow, self.object_info, self._spend, is_old=self.is_old)
        self.typed = typed_values(self.workflow, self.object_info, self._spend, is_old=self.is_old)
        emitted = dict(self._emit(root))
        self._judge_unknown(emitted)
        self._refuse_captured(emitted)
        if self.problems:
            raise ConversionError(list(self.problems.values()))
        for node in emitted.values():
            node["inputs"] = {
                name: [value.node_id, value.slot] if isinstance(value, _Source) else value
                for name, value in node["inputs"].items()
                if not isinstance(value, _Source) or value.node_id in emitted
            }
        # As JavaScript orders the keys of an object; int() refuses more than 4,300 digits.
        plain = sorted((node_id for node_id in emitted if node_id.isdecimal() and len(node_id) <= 18), key=int)
        return {node_id: emitted[node_id] for node_id in dict.fromkeys([*plain, *emitted])}

    def _spend(self, steps: int) -> None:
        """ConversionError when following links and sub-graphs takes too long: nested instances grow exponentially."""
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise ConversionError([GraphProblem("", "", "Its nodes are connected in too many ways to be followed.")])

    # ------------------------------------------------------------------------------------------ nodes
    def _emit(self, scope: _Scope) -> Iterator[tuple[str, dict[str, Any]]]:
        self._spend(1 + len(scope.definition.nodes))
        for trouble in self.broadcast_troubles.get(id(scope.definition), ()):
            self._refuse(scope, trouble.node, trouble.message)
        for node in scope.definition.nodes.values():
            if wiring.is_editor_only(node, self.object_info):
                self._look_at_editor_only(scope, node)
                continue
            child = self._child(scope, node)
            if child is not None:
                if not self._is_skipped(scope, node):
                    yield from self._emit(child)
            elif node.mode not in (MUTED, BYPASSED) and (described := self._describe(scope, node)):
                self.count += 1
                if self.count > MAX_NODES:
                    raise ConversionError([GraphProblem("", "", f"This workflow has more than {MAX_NODES} nodes.")])
                yield described

    def _is_skipped(self, scope: _Scope, instance: EditorNode) -> bool:
        """True for an instance that is switched off, if that reaches its inside: not in one that is in another.

        Up to 1.27, switching one off switched its inner nodes off, too; files of later editors do without.
        """
        if instance.mode not in (MUTED, BYPASSED):
            return False
        return self.workflow.frontend_version > (1, 27) if self.is_old else not scope.path

    def _describe(self, scope: _Scope, node: EditorNode) -> tuple[str, dict[str, Any]] | None:
        class_type, spec = editor.class_of(node, self.object_info)
        if spec is None:
            self.unknown[f"{scope.path}{node.id}"] = (scope, node)
            return None
        inputs = self._constants(scope, node, spec)
        linked: dict[str, Any] = {}
        shown: dict[str, Any] = {}
        for slot in node.inputs:
            found = self._resolve(scope, node, slot, slot.type, frozenset()) if has_slot(spec, slot, inputs) else None
            if isinstance(found, _Constant):
                shown[slot.name] = found.value
            elif found is not None:
                linked[slot.name] = found
        inputs = with_shown(spec, inputs, shown)
        self._check(scope, node, spec, {name: value for name, value in inputs.items() if name not in linked})
        title = node.title or spec.display_name
        described = {"class_type": class_type, "inputs": {**inputs, **linked}, "_meta": {"title": title}}
        queued.note(described, literal=list(shown), control=queued.control_words(node, spec))
        return f"{scope.path}{node.id}", described

    def _constants(self, scope: _Scope, node: EditorNode, spec: NodeSpec) -> dict[str, Any]:
        reading = self._read(node, spec)
        for refusal in reading.refusals:
            self._refuse(scope, node, refusal)
        for note in reading.notes:
            self._flag(scope, node, note)
        values = {**reading.values, **scope.fixed.get(node.id, {})}
        values |= {name: self.typed[id(node), name] for name in values if (id(node), name) in self.typed}
        return {name: _as_sent(value, spec.input(name)) for name, value in values.items()}

    def _read(self, node: EditorNode, spec: NodeSpec) -> Reading:
        """What the node stores; read once, however many instances of a sub-graph it is in."""
        if id(node) not in self.readings:
            self.readings[id(node)] = node, read_widgets(node, spec, self._spend)
        return self.readings[id(node)][1]

    def _check(self, scope: _Scope, node: EditorNode, spec: NodeSpec, constants: Mapping[str, Any]) -> None:
        """What the editor fails at or garbles: options that bring unknown inputs along, values that only a browser has,
        and texts that are none.
        """
        for name, value in constants.items():
            wanted = spec.input(name)
            if wanted is None:
                continue
            if wanted.type == DYNAMIC_COMBO and not (isinstance(value, str) and value in wanted.sub_inputs):
                shown = json.dumps(value)[:60]
                self._refuse(
                    scope, node, f'its input "{name}" is set to {shown}, an option that the server does not know.'
                )
            elif wanted.kind is not None and wanted.kind.is_unknown:
                self._refuse(
                    scope, node, f'its input "{name}" is of the kind {wanted.type}, which only the editor can fill.'
                )
            elif wanted.is_captured:
                self.captured.append((scope, node, name))
            elif wanted.type == "STRING" and (isinstance(value, bool) or not isinstance(value, str | int | float)):
                shown = json.dumps(value)[:60]
                self._refuse(scope, node, f'its input "{name}" holds {shown}, where a text belongs.')

    def _refuse_captured(self, emitted: Graph) -> None:
        """Values that only a browser has matter where something takes what comes of them."""
        used = {
            value.node_id
            for node in emitted.values()
            for value in node["inputs"].values()
            if isinstance(value, _Source)
        }
        for scope, node, name in self.captured:
            if f"{scope.path}{node.id}" in used:
                self._refuse(scope, node, f'its input "{name}" is recorded in the browser when a workflow is queued.')

    # ------------------------------------------------------------------------------------------ nodes without a class
    def _look_at_editor_only(self, scope: _Scope, node: EditorNode) -> None:
        """What changes the workflow at the moment of queueing, in a way that no file tells."""
        if node.type == wiring.RANDOM_UNMUTER and (origins := wiring.chosen_at_random(scope.definition, node)):
            names = ", ".join(f"“{origin.title or origin.type}” (node {origin.id})" for origin in origins)
            self._refuse(scope, node, f"it switches on one of these at random each time: {names}. Unmute one of them.")

    def _judge_unknown(self, emitted: Graph) -> None:
        """Nodes whose types no server has: something real needs them, or they only exist in the editor.

        What is needed by one of them that is needed is needed, too.
        """
        used = {value.node_id for node in emitted.values() for value in node["inputs"].values() if _is_source(value)}
        waiting = [node_id for node_id in self.unknown if node_id in used]
        for node_id in waiting:
            scope, node = self.unknown[node_id]
            self._refuse(scope, node, self._why_unknown(node))
            sources = (self._resolve(scope, node, slot, slot.type, frozenset()) for slot in node.inputs)
            new = {source.node_id for source in sources if _is_source(source)} - used
            used |= new
            waiting += [each for each in self.unknown if each in new]
        types = wiring.types_of(self.object_info) if len(used) < len(used | self.unknown.keys()) else frozenset()
        for node_id, (scope, node) in self.unknown.items():
            if node_id not in used:
                self._judge_unused(scope, node, types)

    def _judge_unused(self, scope: _Scope, node: EditorNode, types: frozenset[str]) -> None:
        if _UUID.fullmatch(node.type) or wiring.may_run(node, types):
            self._refuse(scope, node, self._why_unknown(node, is_used=False))
            return
        self._flag(scope, node, f"left out: no server has the node type {node.type}, and nothing that runs needs it.")

    def _why_unknown(self, node: EditorNode, *, is_used: bool = True) -> str:
        if _UUID.fullmatch(node.type):
            return "the sub-graph that it stands for is not in the file."
        return why_unknown(node, self.object_info, is_used=is_used)

    def _refuse(self, scope: _Scope, node: EditorNode, message: str) -> None:
        problem = self._problem(scope, node, message)
        self.problems.setdefault((problem.node_id, message), problem)
        if len(self.problems) >= MAX_PROBLEMS:  # nobody reads more of them
            raise ConversionError(list(self.problems.values()))

    def _flag(self, scope: _Scope, node: EditorNode, message: str) -> None:
        if len(self.flags) < MAX_PROBLEMS:
            problem = self._problem(scope, node, message)
            self.flags.setdefault((problem.node_id, message), problem)

    def _problem(self, scope: _Scope, node: EditorNode, message: str) -> GraphProblem:
        _name, spec = editor.class_of(node, self.object_info)
        title = node.title.strip() or (
            spec.display_name if spec else "Sub-graph" if _UUID.fullmatch(node.type) else node.type
        )
        return GraphProblem(f"{scope.path}{node.id}", title, message[:1].upper() + message[1:])

    # ------------------------------------------------------------------------------------------ links
    def _resolve(
        self, scope: _Scope, node: EditorNode, slot: Slot, wanted: str, seen: frozenset[tuple[str, int]]
    ) -> _Source | _Constant | None:
        """What the link into that slot brings; None if there is none, or it comes to nothing."""
        if slot.link is None:
            return None
        self._spend(1 + len(seen))
        link = scope.definition.links.get(slot.link)
        if link is None:
            self._refuse(scope, node, f'its input "{slot.name}" is connected by link {slot.link}, which is missing.')
            return None
        if link.origin_id == INPUT_NODE and scope.parent is not None:
            return self._from_outside(scope, link.origin_slot, wanted, seen)
        origin = scope.definition.nodes.get(link.origin_id)
        if origin is None or not _has_output(origin, link.origin_slot):
            lack = "at an output that it does not have" if origin else "which is not in the file"
            self._refuse(scope, node, f'its input "{slot.name}" is connected to node {link.origin_id}, {lack}.')
            return None
        step = (f"{scope.path}{origin.id}", link.origin_slot)
        if step not in seen:
            return self._from_output(scope, origin, link.origin_slot, wanted, seen | {step})
        if origin.type not in editor.PASS_THROUGH:
            self._refuse(scope, node, "it is connected in a circle of nodes that only pass on what they get.")
        return None

    def _from_output(
        self, scope: _Scope, origin: EditorNode, number: int, wanted: str, seen: frozenset[tuple[str, int]]
    ) -> _Source | _Constant | None:
        if origin.type == PRIMITIVE or (origin.mode == MUTED and not self.is_old):
            return None  # the value of a primitive is in the widget already
        if origin.type in editor.PASS_THROUGH and (self.is_old or origin.mode != BYPASSED):
            is_open = not scope.definition.is_group and number < len(origin.inputs)
            return self._resolve(scope, origin, origin.inputs[number], wanted, seen) if is_open else None
        if origin.mode == BYPASSED:
            passed = _bypass(self._slots(origin), origin.outputs, number, wanted)
            return self._resolve(scope, origin, passed, passed.type, seen) if passed else None
        child = self._child(scope, origin)
        if child is not None:
            return self._from_inside(child, number, wanted, seen)
        if wiring.is_editor_only(origin, self.object_info):
            return None if origin.mode == MUTED else self._through_wiring(scope, origin, number, wanted, seen)
        return _Source(f"{scope.path}{origin.id}", number)

    def _slots(self, node: EditorNode) -> list[Slot]:
        """The node's inputs as the editor lays them out, whatever of them the file has."""
        definition = self.workflow.subgraphs.get(node.type)
        if definition is not None:
            saved = {slot.name: slot.link for slot in node.inputs}
            return [Slot(slot.name, slot.type, saved.get(slot.name)) for slot in definition.inputs]
        _class_type, spec = editor.class_of(node, self.object_info)
        return slots_of(spec, node) if spec is not None else node.inputs

    def _through_wiring(
        self, scope: _Scope, origin: EditorNode, number: int, wanted: str, seen: frozenset[tuple[str, int]]
    ) -> _Source | _Constant | None:
        """What a node of the editor alone gives on: what its Set node takes, or its own input of the same number."""
        if origin.type == wiring.PRESET_TEXT:
            self._refuse(
                scope, origin, "its text is kept in the browser; type it into the nodes that it is connected to."
            )
            return None
        if wiring.is_getter(origin):
            try:
                scope, origin = self._setter(scope, origin)
            except wiring.NoSource as reason:
                self._refuse(scope, origin, str(reason))
                return None
        if number >= len(origin.inputs):
            self._flag(scope, origin, "it is connected to other nodes, but gives them nothing, as in ComfyUI.")
            return None
        return self._resolve(scope, origin, origin.inputs[number], wanted, seen)

    def _setter(self, scope: _Scope, getter: EditorNode) -> tuple[_Scope, EditorNode]:
        around = [scope]
        while around[-1].parent is not None:
            around.append(around[-1].parent)
        chain = [(each.definition, each.instance.type if each.instance else "") for each in around]
        level, setter = self.setters.find(getter, chain)
        return around[level], setter

    def _from_outside(
        self, scope: _Scope, number: int, wanted: str, seen: frozenset[tuple[str, int]]
    ) -> _Source | _Constant | None:
        """What comes into an instance through its input: a link, or the value of a widget shown on it."""
        parent, instance = scope.parent, scope.instance
        if parent is None or instance is None or number >= len(scope.definition.inputs):
            return None
        own = scope.definition.inputs[number]
        self._spend(len(instance.inputs))
        outer = next((slot for slot in instance.inputs if slot.name == own.name), None)
        if outer is not None and outer.link is not None:
            return self._resolve(parent, instance, outer, own.type, seen)
        return _Constant(scope.promoted[own.name]) if own.name in scope.promoted else None

    def _from_inside(
        self, child: _Scope, number: int, wanted: str, seen: frozenset[tuple[str, int]]
    ) -> _Source | _Constant | None:
        """What leaves an instance through its output."""
        links = child.definition.links
        self._spend(len(links))
        for link_id, link in links.items():
            if link.target_id == OUTPUT_NODE and link.target_slot == number:
                instance = child.instance or EditorNode("", "")
                return self._resolve(child, instance, Slot("", wanted, link_id), wanted, seen)
        return None

    # ------------------------------------------------------------------------------------------ insides
    def _child(self, scope: _Scope, node: EditorNode) -> _Scope | None:
        """The inside of a sub-graph or group node; None for any other node."""
        path = f"{scope.path}{node.id}:"
        if path in self.children:
            return self.children[path]
        group = self.workflow.group_of(node)
        if group is not None:
            self._spend(editor.size_of_group(self.workflow.groups[group]))
        definition = self.workflow.subgraphs.get(node.type)
        if group is not None:
            definition = editor.read_group(self.workflow.groups[group], node)
        if definition is None:
            return None
        if scope.depth >= MAX_DEPTH:
            message = f"sub-graphs are nested more than {MAX_DEPTH} deep here; one of them may contain itself."
            raise ConversionError([GraphProblem(f"{scope.path}{node.id}", node.title or node.type, message)])
        self._spend(STEPS_OF_INSTANCE)
        child = _Scope(definition, path, node, scope, scope.depth + 1)
        if group is not None:
            child.fixed = self._group_values(scope, definition, node)
        elif not self.is_old or not scope.path or scope.definition.number > definition.number:
            # Editors of 2025 lost the values of an instance inside a definition that is listed before its own.
            child.promoted = node.promoted
        self.children[path] = child
        return child

    def _group_values(self, scope: _Scope, definition: Definition, instance: EditorNode) -> dict[str, dict[str, Any]]:
        """A group node keeps the values of its inner nodes one after the other, without those that are linked."""
        values = list(instance.values) if isinstance(instance.values, list) else []
        found: dict[str, dict[str, Any]] = {}
        for node in definition.nodes.values():
            _class_type, spec = editor.class_of(node, self.object_info)
            if spec is None:
                continue
            linked = {slot.widget for slot in node.inputs if slot.widget and slot.link is not None}
            free = NodeSpec(spec.class_type, spec.display_name, tuple(i for i in spec.inputs if i.name not in linked))
            length = expected_length(node, free)
            own, values = values[:length], values[length:]
            if own:
                reading = read_widgets(EditorNode(node.id, node.type, values=own), free, self._spend)
                for refusal in reading.refusals:
                    self._refuse(scope, instance, f"of its node {node.title or node.type}, {refusal}")
                found[node.id] = {name: value for name, value in reading.values.items() if name not in linked}
        return found


def _has_output(node: EditorNode, number: int) -> bool:
    return not node.outputs or 0 <= number < len(node.outputs) or node.type in editor.PASS_THROUGH


def _bypass(inputs: list[Slot], outputs: list[Slot], number: int, wanted: str) -> Slot | None:
    """The input that a bypassed node gives on for this output: one slot, chosen by type, linked or not."""
    if wanted in ("*", ""):
        return inputs[number] if number < len(inputs) else inputs[0] if inputs else None
    offered = outputs[number].type if number < len(outputs) else wanted

    def fits(slot: Slot) -> bool:
        return _is_compatible(slot.type, offered) and _is_compatible(slot.type, wanted)

    if number < len(inputs) and fits(inputs[number]):
        return inputs[number]
    exact = next((slot for slot in inputs if slot.type == wanted), None)
    return exact or next((slot for slot in inputs if fits(slot)), None)


def _is_compatible(one: str, other: str) -> bool:
    ours, theirs = ({part.strip().lower() for part in text.split(",")} for text in (one, other))
    return bool({"*", ""} & (ours | theirs) or ours & theirs)


def _is_source(value: object) -> TypeGuard[_Source]:
    return isinstance(value, _Source)


def _as_sent(value: Any, spec: InputSpec | None) -> Any:
    """The value as the graph has it; curves say what they are."""
    if spec is not None and spec.type == "CURVE" and value is not None:
        return {"__type__": "CURVE", "__value__": value}
    return as_constant(value)


def main(arguments: list[str] | None = None) -> int:
    """The command: prints the graph, or tells on stderr why there is none."""
    parser = argparse.ArgumentParser(prog="python -m generations.comfy.convert", description=__doc__.split("\n")[0])
    parser.add_argument("workflow", type=Path, help="a workflow as ComfyUI's editor saves it")
    parser.add_argument("--object-info", type=Path, required=True, help="what the server answers to GET /object_info")
    options = parser.parse_args(arguments)
    try:
        workflow, object_info = (_read_object(path) for path in (options.workflow, options.object_info))
        if not editor.is_editor_format(workflow):
            raise GraphError(f"{options.workflow} is no workflow in the editor's format: it has no list of nodes.")
        graph = convert(workflow, object_info)
    except GraphError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{json.dumps(graph, indent=2, ensure_ascii=False)}\n")
    return 0


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = decode(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, ProtocolError) as error:
        raise GraphError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise GraphError(f"{path} holds no JSON object.")
    return value


if __name__ == "__main__":
    sys.exit(main())
