"""What a link brings: the output of a node that runs, or the value that an instance of a sub-graph holds.

Links lead through bypassed nodes, reroutes, the walls of sub-graphs, and nodes that the editor alone has. Source:
src/lib/litegraph/src/subgraph/ExecutableNodeDTO.ts of ComfyUI_frontend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from generations.comfy import editor, wiring
from generations.comfy.editor import BYPASSED, INPUT_NODE, MUTED, PRIMITIVE, EditorNode, Slot
from generations.comfy.scopes import Scope, Scopes
from generations.comfy.topology import editor_slots


@dataclass(frozen=True, slots=True)
class Source:
    """The output of a node that runs."""

    node_id: str
    slot: int


@dataclass(frozen=True, slots=True)
class Constant:
    """The value of a widget that a sub-graph shows on its outside."""

    value: Any


Brought: TypeAlias = Source | Constant | None  # None: nothing comes through the link
_Seen: TypeAlias = frozenset[tuple[str, int]]  # the outputs (id in the graph, number) that were passed on the way


class Links:
    """Follows links through all scopes of a workflow."""

    def __init__(self, scopes: Scopes) -> None:
        self.scopes = scopes
        self.troubles = scopes.troubles
        self.workflow = scopes.workflow
        self.object_info = scopes.object_info
        self.is_old = scopes.is_old
        self.setters = wiring.Setters(scopes.workflow)

    def resolve(self, scope: Scope, node: EditorNode, slot: Slot) -> Brought:
        """What the link into that slot brings; None if there is none, or it comes to nothing."""
        return self._resolve(scope, node, slot, slot.type, frozenset())

    def _resolve(self, scope: Scope, node: EditorNode, slot: Slot, wanted: str, seen: _Seen) -> Brought:
        if slot.link is None:
            return None
        self.troubles.spend(1 + len(seen))
        link = scope.definition.links.get(slot.link)
        if link is None:
            self.troubles.refuse(
                scope, node, f"its input “{slot.name}” is connected by link {slot.link}, which is missing."
            )
            return None
        if link.origin_id == INPUT_NODE and scope.parent is not None:
            return self._from_outside(scope, link.origin_slot, seen)
        origin = scope.definition.nodes.get(link.origin_id)
        if origin is None or not _has_output(origin, link.origin_slot):
            lack = "which has no such output" if origin else "which is not in the file"
            self.troubles.refuse(scope, node, f"its input “{slot.name}” is connected to node {link.origin_id}, {lack}.")
            return None
        step = (scope.id_of(origin), link.origin_slot)
        if step not in seen:
            return self._from_output(scope, origin, link.origin_slot, wanted, seen | {step})
        if origin.type not in editor.PASS_THROUGH:
            self.troubles.refuse(scope, node, "it is connected in a circle of nodes that only pass on what they get.")
        return None

    def _from_output(self, scope: Scope, origin: EditorNode, number: int, wanted: str, seen: _Seen) -> Brought:
        if origin.type == PRIMITIVE or (origin.mode == MUTED and not self.is_old):
            return None  # the value of a primitive is in the widget already
        if origin.type in editor.PASS_THROUGH and (self.is_old or origin.mode != BYPASSED):
            is_open = not scope.definition.is_group and number < len(origin.inputs)
            return self._resolve(scope, origin, origin.inputs[number], wanted, seen) if is_open else None
        if origin.mode == BYPASSED:
            self.troubles.spend(1 + len(origin.inputs))
            slots = editor_slots(self.workflow, self.object_info, origin)
            passed = _bypass(slots, origin.outputs, number, wanted)
            return self._resolve(scope, origin, passed, passed.type, seen) if passed else None
        child = self.scopes.child(scope, origin)
        if child is not None:
            return self._from_inside(child, number, wanted, seen)
        if wiring.is_editor_only(origin, self.object_info):
            return None if origin.mode == MUTED else self._through_wiring(scope, origin, number, wanted, seen)
        return Source(scope.id_of(origin), number)

    def _through_wiring(self, scope: Scope, origin: EditorNode, number: int, wanted: str, seen: _Seen) -> Brought:
        """What a node of the editor alone gives on: what its Set node takes, or its own input of the same number."""
        if origin.type == wiring.PRESET_TEXT:
            self.troubles.refuse(
                scope, origin, "its text is kept in the browser; type it into the nodes that it is connected to."
            )
            return None
        if wiring.is_getter(origin):
            try:
                scope, origin = self._setter(scope, origin)
            except wiring.NoSource as reason:
                self.troubles.refuse(scope, origin, str(reason))
                return None
        if number >= len(origin.inputs):
            self.troubles.flag(scope, origin, "it is connected to other nodes, but gives them nothing, as in ComfyUI.")
            return None
        return self._resolve(scope, origin, origin.inputs[number], wanted, seen)

    def _setter(self, scope: Scope, getter: EditorNode) -> tuple[Scope, EditorNode]:
        around = [scope]
        while around[-1].parent is not None:
            around.append(around[-1].parent)
        chain = [(each.definition, each.instance.type if each.instance else "") for each in around]
        level, setter = self.setters.find(getter, chain)
        return around[level], setter

    def _from_outside(self, scope: Scope, number: int, seen: _Seen) -> Brought:
        """What comes into an instance through its input: a link, or the value of a widget shown on it."""
        parent, instance = scope.parent, scope.instance
        if parent is None or instance is None or number >= len(scope.definition.inputs):
            return None
        own = scope.definition.inputs[number]
        self.troubles.spend(len(instance.inputs))
        outer = next((slot for slot in instance.inputs if slot.name == own.name), None)
        if outer is not None and outer.link is not None:
            return self._resolve(parent, instance, outer, own.type, seen)
        return Constant(scope.promoted[own.name]) if own.name in scope.promoted else None

    def _from_inside(self, child: Scope, number: int, wanted: str, seen: _Seen) -> Brought:
        """What leaves an instance through its output."""
        outputs = child.definition.outputs
        self.troubles.spend(len(outputs[number].links) if number < len(outputs) else 0)
        link_id = child.definition.link_into_output(number)
        if link_id is None:
            return None
        return self._resolve(child, child.instance or EditorNode("", ""), Slot("", wanted, link_id), wanted, seen)


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
