"""From the editor's format of a workflow to the API format, as the editor itself does it when a workflow is queued.

    python -m generations.comfy.convert workflow.json --object-info object_info.json

Source: src/utils/executionUtil.ts of ComfyUI_frontend. Here each node becomes one of the graph; widgets.py has its own
values, scopes.py what sub-graphs give it, links.py what other nodes do.
It differs where the editor draws, rounds or fails: seeds keep all their digits, texts with {alternatives} and %date%
stay as they were written (see queued.py), and what cannot be converted is refused with the nodes that are at fault.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generations.comfy import editor, editor_notes, everywhere, wiring
from generations.comfy.editor import BYPASSED, MUTED, EditorNode
from generations.comfy.errors import ProtocolError
from generations.comfy.fitting import Fit, fit
from generations.comfy.graph import MAX_NODES, Graph, GraphError, GraphProblem
from generations.comfy.kinds import DYNAMIC_COMBO
from generations.comfy.layout import as_sent, has_slot, with_shown
from generations.comfy.links import Constant, Links, Source
from generations.comfy.object_info import InputSpec, NodeSpec, ObjectInfo
from generations.comfy.primitives import Typed, typed_values
from generations.comfy.promotion import promote
from generations.comfy.scopes import Scope, Scopes
from generations.comfy.topology import settle_links
from generations.comfy.troubles import ConversionError, Troubles
from generations.comfy.unknown import missing_types, why_unknown
from generations.comfy.widgets import Reading, misfit, read_widgets, shown
from generations.comfy.wire import decode

__all__ = ["Conversion", "ConversionError", "convert", "convert_flagged"]


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
        return Conversion(converter.run(), list(converter.troubles.flags.values()))
    except RecursionError as error:
        message = "The workflow's nodes are chained or nested too deep to be followed."
        raise ConversionError([GraphProblem("", "", message)]) from error


class _Converter:
    def __init__(self, workflow: editor.Workflow, object_info: ObjectInfo) -> None:
        self.workflow = workflow
        self.object_info = object_info
        self.troubles = Troubles(object_info)
        self.scopes = Scopes(workflow, object_info, self.troubles)
        self.undecided = {} if self.scopes.is_old else settle_links(workflow, object_info, self.troubles.spend)
        self.broadcast_troubles = everywhere.connect(workflow, object_info)
        self.links = Links(self.scopes)
        self.typed: Typed = {}  # what primitive nodes set
        self.readings: dict[int, Reading] = {}  # by id() of the node, which its scope keeps alive
        self.captured: list[tuple[Scope, EditorNode, str]] = []
        self.unknown: dict[str, tuple[Scope, EditorNode]] = {}  # nodes without a class, by their ids in the graph
        self.missing: dict[str, GraphProblem] = {}  # of those of them that something needs
        self.count = 0

    def run(self) -> Graph:
        if self.workflow.is_blank:
            return {}
        is_old, spend = self.scopes.is_old, self.troubles.spend
        promote(self.workflow, self.object_info, spend, is_old=is_old)
        self.typed = typed_values(self.workflow, self.object_info, spend, is_old=is_old)
        emitted = dict(self._emit(self.scopes.root))
        self._judge_unknown(emitted)
        self._refuse_captured(emitted)
        if self.troubles.problems:
            nodes = {node_id: node for node_id, (_scope, node) in self.unknown.items() if node_id in self.missing}
            summary = missing_types(nodes, self.object_info)
            summed = self.missing.values() if summary else ()
            raise ConversionError(list(self.troubles.problems.values()), summary, summed)
        for node in emitted.values():
            node["inputs"] = {
                name: [value.node_id, value.slot] if isinstance(value, Source) else value
                for name, value in node["inputs"].items()
                if not isinstance(value, Source) or value.node_id in emitted
            }
        # As JavaScript orders the keys of an object; int() refuses more than 4,300 digits.
        plain = sorted((node_id for node_id in emitted if node_id.isdecimal() and len(node_id) <= 18), key=int)
        return {node_id: emitted[node_id] for node_id in dict.fromkeys([*plain, *emitted])}

    # ------------------------------------------------------------------------------------------ nodes
    def _emit(self, scope: Scope) -> Iterator[tuple[str, dict[str, Any]]]:
        self.troubles.spend(1 + len(scope.definition.nodes))
        for trouble in self.broadcast_troubles.get(id(scope.definition), ()):
            self.troubles.refuse(scope, trouble.node, trouble.message)
        for node in self.undecided.get(id(scope.definition), ()):
            self.troubles.refuse(scope, node, "none of its inputs names the link that leads to it; connect it again.")
        for node in scope.definition.nodes.values():
            if wiring.is_editor_only(node, self.object_info):
                self._look_at_editor_only(scope, node)
                continue
            child = self.scopes.child(scope, node)
            if child is not None:
                if not self._is_skipped(scope, node):
                    yield from self._emit(child)
            elif node.mode not in (MUTED, BYPASSED) and (described := self._describe(scope, node)):
                self.count += 1
                if self.count > MAX_NODES:
                    raise ConversionError([GraphProblem("", "", f"This workflow has more than {MAX_NODES} nodes.")])
                yield described

    def _is_skipped(self, scope: Scope, instance: EditorNode) -> bool:
        """True for an instance that is switched off, if that reaches its inside: not in one that is in another.

        Up to 1.27, switching one off switched its inner nodes off, too; files of later editors do without.
        """
        if instance.mode not in (MUTED, BYPASSED):
            return False
        return self.workflow.frontend_version > (1, 27) if self.scopes.is_old else not scope.path

    def _describe(self, scope: Scope, node: EditorNode) -> tuple[str, dict[str, Any]] | None:
        spec = editor.class_of(node, self.object_info)
        if spec is None:
            self.unknown[scope.id_of(node)] = (scope, node)
            return None
        inputs = self._constants(scope, node, spec)
        linked: dict[str, Any] = {}
        held: dict[str, Any] = {}
        for slot in node.inputs:
            self.troubles.spend(1 + len(spec.inputs) // 8)
            is_there = slot.link is not None and has_slot(spec, slot, inputs)
            found = self.links.resolve(scope, node, slot) if is_there else None
            if isinstance(found, Constant):
                held[slot.name] = found.value
            elif found is not None:
                linked[slot.name] = found
        inputs = with_shown(spec, inputs, held)
        self._check(scope, node, spec, {name: value for name, value in inputs.items() if name not in linked})
        title = node.title or spec.display_name
        described = {"class_type": spec.class_type, "inputs": {**inputs, **linked}, "_meta": {"title": title}}
        editor_notes.note(described, literal=list(held), control=editor_notes.control_words(node, spec))
        return scope.id_of(node), described

    def _constants(self, scope: Scope, node: EditorNode, spec: NodeSpec) -> dict[str, Any]:
        reading = self._read(node, spec)
        for refusal in reading.refusals:
            self.troubles.refuse(scope, node, refusal)
        for note in reading.notes:
            self.troubles.flag(scope, node, note)
        values = {**reading.values, **scope.fixed.get(node.id, {})}
        values |= {name: self.typed[id(node), name] for name in values if (id(node), name) in self.typed}
        return {name: as_sent(value, spec.input(name)) for name, value in values.items()}

    def _read(self, node: EditorNode, spec: NodeSpec) -> Reading:
        """What the node stores; read once, however many instances of a sub-graph it is in."""
        if id(node) not in self.readings:
            self.readings[id(node)] = read_widgets(node, spec, self.troubles.spend)
        return self.readings[id(node)]

    def _check(self, scope: Scope, node: EditorNode, spec: NodeSpec, constants: Mapping[str, Any]) -> None:
        for name, value in constants.items():
            wanted = spec.input(name)
            if wanted is None:
                continue
            if wanted.is_captured:
                self.captured.append((scope, node, name))
            elif garbled := _garbled(value, wanted):
                self.troubles.refuse(scope, node, f"its input “{name}” {garbled}.")
            elif fit(value, wanted, spec.inputs) is Fit.NO:
                # Its place is certain: named by the file, set on a sub-graph or by a primitive. The server judges it.
                self.troubles.flag(scope, node, misfit(wanted, value))

    def _refuse_captured(self, emitted: Graph) -> None:
        """Values that only a browser has matter where something takes what comes of them."""
        used = _used(emitted)
        for scope, node, name in self.captured:
            if scope.id_of(node) in used:
                self.troubles.refuse(
                    scope, node, f"its input “{name}” is recorded in the browser when a workflow is queued."
                )

    # ------------------------------------------------------------------------------------------ nodes without a class
    def _look_at_editor_only(self, scope: Scope, node: EditorNode) -> None:
        """What changes the workflow at the moment of queueing, which the file does not fix."""
        if node.type == wiring.RANDOM_UNMUTER and (origins := wiring.chosen_at_random(scope.definition, node)):
            names = ", ".join(f"“{origin.title or origin.type}” (node {origin.id})" for origin in origins)
            self.troubles.refuse(
                scope, node, f"it switches on one of these at random each time: {names}. Unmute one of them."
            )

    def _judge_unknown(self, emitted: Graph) -> None:
        """Nodes whose types no server has: something real needs them, or they only exist in the editor.

        What is needed by one of them that is needed is needed, too.
        """
        used = _used(emitted)
        waiting = [node_id for node_id in self.unknown if node_id in used]
        for node_id in waiting:
            scope, node = self.unknown[node_id]
            self._refuse_unknown(node_id, scope, node)
            sources = (self.links.resolve(scope, node, slot) for slot in node.inputs)
            new = {source.node_id for source in sources if isinstance(source, Source)} - used
            used |= new
            waiting += [each for each in self.unknown if each in new]
        types = wiring.types_of(self.object_info) if len(used) < len(used | self.unknown.keys()) else frozenset()
        for node_id, (scope, node) in self.unknown.items():
            if node_id not in used:
                self._judge_unused(scope, node, types)

    def _refuse_unknown(self, node_id: str, scope: Scope, node: EditorNode) -> None:
        problem = self.troubles.refuse(scope, node, self._why_unknown(node))
        if not node.is_sub_graph:
            self.missing[node_id] = problem

    def _judge_unused(self, scope: Scope, node: EditorNode, types: frozenset[str]) -> None:
        if node.is_sub_graph or wiring.may_run(node, types):
            self.troubles.refuse(scope, node, self._why_unknown(node, is_used=False))
            return
        self.troubles.flag(
            scope, node, f"left out: no server has the node type {node.type}, and nothing that runs needs it."
        )

    def _why_unknown(self, node: EditorNode, *, is_used: bool = True) -> str:
        if node.is_sub_graph:
            return "the sub-graph that it stands for is not in the file."
        return why_unknown(node, self.object_info, is_used=is_used)


def _used(emitted: Graph) -> set[str]:
    """The nodes whose outputs the graph takes, whether they are in it or not."""
    return {
        value.node_id for node in emitted.values() for value in node["inputs"].values() if isinstance(value, Source)
    }


def _garbled(value: object, wanted: InputSpec) -> str | None:
    """What the editor would fail at or send garbled, as the end of a sentence about the input; None for all else."""
    if wanted.type == DYNAMIC_COMBO and not (isinstance(value, str) and value in wanted.sub_inputs):
        return f"is set to {shown(value)}, an option that the server does not know"
    if wanted.kind is not None and wanted.kind.is_unknown:
        return f"is of the type {wanted.type}, which only the editor can fill"
    if wanted.type == "STRING" and (isinstance(value, bool) or not isinstance(value, str | int | float)):
        return f"holds {shown(value)}, where a text belongs"
    return None


def main(arguments: list[str] | None = None) -> int:
    """The command: prints the graph, or on stderr why there is none. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m generations.comfy.convert", description=__doc__.split("\n")[0])
    parser.add_argument("workflow", type=Path, help="a workflow as ComfyUI's editor saves it")
    parser.add_argument("--object-info", type=Path, required=True, help="what the server answers to GET /object_info")
    options = parser.parse_args(arguments)
    try:
        workflow, object_info = (_read_object(path) for path in (options.workflow, options.object_info))
        if not editor.is_editor_format(workflow):
            raise GraphError(f"{options.workflow} is not a workflow in the editor's format: it has no list of nodes.")
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
        raise GraphError(f"{path} does not hold a JSON object.")
    return value


if __name__ == "__main__":
    sys.exit(main())
