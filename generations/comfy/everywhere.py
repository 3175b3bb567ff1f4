"""Use Everywhere: nodes that broadcast what they get to every open input that fits, as the links that they stand for.

Source: js/ of cg-use-everywhere 7.8 (use_everywhere_graph_analysis.js, use_everywhere_ui.js), which adds real links
while a workflow is queued. What no file decides is named, never guessed. Where a file has the list of links that the
editor found (`extra.ue_links`), that list has to agree. broadcasts.py has what nodes offer, and for which inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from generations.comfy import editor
from generations.comfy.boxes import Group, read_groups
from generations.comfy.broadcasts import (
    PROMPTS,
    SEED,
    UNCLEAR_AGE,
    Broadcast,
    Output,
    Refused,
    Target,
    Unclear,
    fits_input,
    fits_name,
    fits_title,
    is_controller,
    is_on,
    mapping,
    matches,
    priority_of,
    settings_of,
)
from generations.comfy.editor import BYPASSED, INPUT_NODE, MUTED, OUTPUT_NODE, Definition, EditorNode, Link, Slot
from generations.comfy.object_info import ObjectInfo

MAX_COMPARISONS = 300_000
MOST_NAMED = 5
_LIVE = 0
_UNCLEAR_BOX = "it depends on groups, and the file does not say on which side of a border a node lies"
_UNCLEAR_INSIDE = "inside a sub-graph, its restrictions depend on what the editor shows at the moment"
_UNCLEAR_CHOICE = "ComfyUI itself does not link a text to a list of choices"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What the file does not decide, at one node of a definition."""

    node: EditorNode
    message: str


def connect(workflow: editor.Workflow, object_info: ObjectInfo) -> dict[int, list[Trouble]]:
    """Adds the links to the workflow's definitions. Returns what is not decided, by id() of the definition."""
    budget = _Budget()
    definitions = (workflow.root, *workflow.subgraphs.values())
    graphs = [_Graph(each, object_info, budget, is_root=each is workflow.root) for each in definitions]
    return {id(graph.definition): graph.connect() for graph in graphs if graph.broadcasts}


class _Budget:
    """What one file may cost: broadcasts times inputs, and times groups."""

    def __init__(self) -> None:
        self.left = MAX_COMPARISONS

    def spend(self, comparisons: int) -> None:
        self.left -= comparisons
        if self.left < 0:
            raise Unclear("there are too many broadcasts, inputs and groups to compare")


class _Graph:
    """The workflow or one sub-graph: nothing is broadcast from one to another."""

    def __init__(self, definition: Definition, object_info: ObjectInfo, budget: _Budget, *, is_root: bool) -> None:
        self.definition = definition
        self.object_info = object_info
        self.budget = budget
        self.is_root = is_root
        self.groups: list[Group] = read_groups(definition)
        self.recorded = _recorded(definition)
        self.troubles: list[Trouble] = []
        self.broadcasts = [each for node in definition.nodes.values() for each in self._broadcasts_of(node)]

    # ------------------------------------------------------------------------------------ who broadcasts what
    def _broadcasts_of(self, node: EditorNode) -> list[Broadcast]:
        is_converted = bool(node.properties.get("ue_convert"))
        if node.mode != _LIVE or not (is_converted or is_controller(node)):
            return []
        settings, is_old = settings_of(node)
        if node.type == SEED or settings.get("seed_inputs"):
            regex = settings.get("input_regex") if not is_old and settings.get("input_regex") else "seed"
            found = [Broadcast(node, (node.id, 0), "INT", 0, {**settings, "input_regex": regex}, is_old)]
        elif is_converted:
            found = list(self._outputs_of(node, settings))
        else:
            found = list(self._inputs_of(node, settings, is_old))
        return [each for each in self._finished(node, found, settings) if self._is_live(each.output[0])]

    def _outputs_of(self, node: EditorNode, settings: Mapping[str, Any]) -> Iterator[Broadcast]:
        silent = settings.get("output_not_broadcasting")
        for number, slot in enumerate(node.outputs):
            if not (isinstance(silent, Mapping) and silent.get(slot.name)):
                label = slot.label or slot.name
                yield Broadcast(node, (node.id, number), slot.type, 0, settings, False, label, number)

    def _inputs_of(self, node: EditorNode, settings: Mapping[str, Any], is_old: bool) -> Iterator[Broadcast]:
        for number, slot in enumerate(node.inputs):
            link = self._behind_bypassed(self.definition.links.get(slot.link or ""))
            if link is None:
                continue
            label = slot.label or slot.name
            if node.type == PROMPTS and number < 2:
                label = ("positive", "negative")[number]
            kind = link.type or self._output_type(link)
            yield Broadcast(node, (link.origin_id, link.origin_slot), kind, 0, settings, is_old, label, number)

    def _finished(self, node: EditorNode, found: list[Broadcast], settings: Mapping[str, Any]) -> Iterator[Broadcast]:
        """With the priority of their node, and whether their names count."""
        types = [each.type for each in found]
        repeated = {kind for kind in types if types.count(kind) > 1}
        own = settings.get("priority")
        priority = own if isinstance(own, int | float) and own else priority_of(node, settings, bool(repeated))
        for each in found:
            each.priority = priority
            each.must_match = each.number >= 0 and bool(each.type in repeated or settings.get("apply_to_unrepeated"))
            yield each

    def _behind_bypassed(self, link: Link | None) -> Link | None:
        """The link that feeds the bypassed nodes that this one comes from, as far as their types agree."""
        found, steps = link, 0
        while found is not None and steps < 1000:
            origin = self.definition.nodes.get(found.origin_id)
            if origin is None or origin.mode != BYPASSED:
                return found
            kind = found.type or self._output_type(found)
            same = origin.inputs[found.origin_slot : found.origin_slot + 1]
            slots = [slot for slot in (*same, *origin.inputs) if slot.type == kind]
            found, steps = self.definition.links.get((slots[0].link if slots else None) or ""), steps + 1
        return link

    def _output_type(self, link: Link) -> str:
        if link.origin_id == INPUT_NODE:
            slots = self.definition.inputs
        else:
            origin = self.definition.nodes.get(link.origin_id)
            slots = origin.outputs if origin else []
        return slots[link.origin_slot].type if link.origin_slot < len(slots) else "*"

    def _is_live(self, node_id: str) -> bool:
        origin = self.definition.nodes.get(node_id)
        return node_id == INPUT_NODE or (origin is not None and origin.mode == _LIVE)

    # ------------------------------------------------------------------------------------ what it reaches
    def connect(self) -> list[Trouble]:
        """Each open input to the broadcast of the highest priority that fits."""
        for node in list(self.definition.nodes.values()):
            if node.mode != MUTED and not is_controller(node) and not node.properties.get("rejects_ue_links"):
                for target in self._open_inputs(node):
                    found = self._decide(target)
                    if found is not None:
                        self._link(found, target)
        self._connect_outputs()
        return self.troubles

    def _open_inputs(self, node: EditorNode) -> Iterator[Target]:
        spec = editor.class_of(node, self.object_info)
        title = node.title or (spec.display_name if spec else node.type)
        self._add_missing(node)
        for number, slot in enumerate(node.inputs):
            if slot.link is not None and slot.link in self.definition.links:
                continue
            wanted = spec.input(slot.name) if spec else None
            shown = (slot.label,) if slot.label else (slot.name, wanted.display_name if wanted else "")
            names = tuple(dict.fromkeys(name for name in shown if name))
            yield Target(node, number, slot, title, names, wanted is None or wanted.required)

    def _add_missing(self, node: EditorNode) -> None:
        """Sockets that the class has and the file lacks: the editor shows them, so they are open, too."""
        spec = editor.class_of(node, self.object_info)
        known = {slot.name for slot in node.inputs}
        for each in spec.inputs if spec else ():
            if each.name not in known and not each.is_widget and not each.type.startswith("COMFY_"):
                node.inputs.append(Slot(each.name, each.type))

    def _decide(self, target: Target) -> Broadcast | None:
        """The broadcast for this input, if any; a trouble when the file does not decide that."""
        try:
            found = self._best(target)
        except Unclear as reason:
            if self.recorded is None or not reason.is_recorded:
                self._trouble(target, f"it is not clear what is broadcast to {{}}: {reason}.")
                return None
            return self._recorded_for(target)
        if self.recorded is not None and self._has_record(target, found) is False:
            self._trouble(target, "the file's list of links and its settings disagree about what is broadcast to {}.")
            return None
        return found

    def _best(self, target: Target) -> Broadcast | None:
        """Unclear when it is not decided; a trouble when two are equally good."""
        fitting = [each for each in self.broadcasts if self._may_reach(each, target)]
        unclear: Unclear | None = None
        found: list[Broadcast] = []
        for each in fitting:
            try:
                if self._reaches(each, target):
                    found.append(each)
            except Unclear as reason:
                unclear = reason
        if fitting and not self._is_connectable(target, bool(found or unclear)):
            return None
        if unclear:
            raise unclear
        highest = max((each.priority for each in found), default=0)
        best = [each for each in found if each.priority == highest]
        if len(best) > 1:
            if target.is_required or self.recorded is None:
                nodes = dict.fromkeys(
                    f"“{each.controller.title or each.controller.type}” (node {each.controller.id})" for each in best
                )
                self._trouble(
                    target, f"these broadcast to {{}} with the same priority: {', '.join(list(nodes)[:MOST_NAMED])}."
                )
            return None
        return best[0] if best else None

    def _may_reach(self, each: Broadcast, target: Target) -> bool:
        """By its type alone, which is quick."""
        self.budget.spend(1)
        if each.output[0] == target.node.id:
            return False
        if each.type == target.slot.type:
            return True
        if each.type == "STRING" and target.slot.type == "COMBO":
            return is_on(each.settings.get("string_to_combo"))
        return target.slot.type == "*" and is_on(each.settings.get("send_to_any"))

    def _is_connectable(self, target: Target, is_wanted: bool) -> bool:
        """Inputs of widgets take broadcasts where they were ticked, all others where they were not unticked."""
        settings, name = mapping(target.node.properties.get("ue_properties")), target.slot.name
        ticked = settings.get("widget_ue_connectable", target.node.properties.get("widget_ue_connectable"))
        if not target.slot.widget:
            return not mapping(settings.get("input_ue_unconnectable")).get(name)
        if isinstance(ticked, Mapping):
            return bool(ticked.get(name))
        # Before there were ticks, a widget that was turned into an input was one to broadcast to. Inside of a
        # sub-graph, the extension looks such nodes up by ids that are not theirs.
        if is_wanted and not self.is_root:
            raise Unclear(UNCLEAR_AGE)
        return True

    def _reaches(self, each: Broadcast, target: Target) -> bool:
        """By everything but its type. Unclear when the file does not decide it."""
        checks = (fits_title, fits_input, fits_name, self._fits_place, self._fits_color)
        unclear: Unclear | None = None
        for check in checks:
            try:
                if not check(each, target):
                    return False
            except Unclear as reason:
                unclear = reason
        if unclear:
            raise unclear
        if each.controller.type == SEED and each.is_old:
            raise Unclear(UNCLEAR_AGE)
        if each.type == "STRING" and target.slot.type == "COMBO":
            raise Refused(_UNCLEAR_CHOICE)
        return True

    def _fits_place(self, each: Broadcast, target: Target) -> bool:
        mode, pattern = each.settings.get("group_restricted"), each.settings.get("group_regex")
        if mode or pattern:
            self.budget.spend(len(self.groups))
        if mode in (1, 2):
            around = [group for group in self.groups if self._is_in(group, each.controller)]
            if any(self._is_in(group, target.node) for group in around) != (mode == 1):
                return False
        if not pattern or pattern == ".*":
            return True
        if not self.is_root:
            raise Unclear(_UNCLEAR_INSIDE)
        inverted = bool(each.settings.get("group_regex_invert"))
        wanted = [group for group in self.groups if matches(pattern, group.title) != inverted]
        return any(self._is_in(group, target.node) for group in wanted)

    def _is_in(self, group: Group, node: EditorNode) -> bool:
        found = group.holds(node)
        if found is None:
            raise Unclear(_UNCLEAR_BOX)
        return found

    def _fits_color(self, each: Broadcast, target: Target) -> bool:
        mode = each.settings.get("color_restricted")
        if mode not in (1, 2):
            return True
        if mode == 2 and not self.is_root:
            raise Unclear(_UNCLEAR_INSIDE)
        is_same = bool(each.controller.saved.get("color") == target.node.saved.get("color"))
        return is_same is (mode == 1)

    # ------------------------------------------------------------------------------------ what follows from it
    def _connect_outputs(self) -> None:
        """Outputs of a sub-graph that nothing is linked to are open, too."""
        node = EditorNode(OUTPUT_NODE, "", title="subgraph output node")
        for number, slot in enumerate(self.definition.outputs):
            if self.definition.link_into_output(number) is not None:
                continue
            target = Target(node, number, replace(slot, widget=""), node.title, (slot.label or slot.name,), False)
            recorded, self.recorded = self.recorded, None  # it numbers outputs differently
            found = self._decide(target)
            self.recorded = recorded
            if found is not None:
                self._link(found, target)

    def _link(self, found: Broadcast, target: Target) -> None:
        link_id = f"broadcast {len(self.definition.links)}"
        origin, origin_slot = found.output
        self.definition.links[link_id] = Link(origin, origin_slot, target.node.id, target.number, found.type)
        if target.node.id == OUTPUT_NODE:
            outputs = self.definition.outputs
            outputs[target.number] = replace(outputs[target.number], links=(link_id,))
        else:
            target.node.inputs[target.number] = replace(target.slot, link=link_id)

    def _has_record(self, target: Target, found: Broadcast | None) -> bool:
        recorded = (self.recorded or {}).get((target.node.id, target.number))
        return recorded == (found.output if found else None)

    def _recorded_for(self, target: Target) -> Broadcast | None:
        recorded = (self.recorded or {}).get((target.node.id, target.number))
        return next((each for each in self.broadcasts if each.output == recorded), None)

    def _trouble(self, target: Target, message: str) -> None:
        """At the node whose input it is; for an output of a sub-graph, at the first node that broadcasts."""
        subject = f"its input “{target.slot.name}”"
        node = target.node
        if node.id == OUTPUT_NODE:
            subject, node = f"the output “{target.slot.name}” of this sub-graph", self.broadcasts[0].controller
        self.troubles.append(Trouble(node, f"Use Everywhere: {message.format(subject)} Connect it with a link."))


def _recorded(definition: Definition) -> dict[tuple[str, int], Output] | None:
    """(node, input) -> output, as the editor found it; None when the file does not have that list."""
    rows = mapping(definition.saved.get("extra")).get("ue_links")
    if not isinstance(rows, list):
        return None
    found: dict[tuple[str, int], Output] = {}
    for row in rows:
        if isinstance(row, dict):
            slots = row.get("downstream_slot"), row.get("upstream_slot")
            target, source = (slot if isinstance(slot, int) else 0 for slot in slots)
            found[str(row.get("downstream")), target] = (str(row.get("upstream")), source)
    return found
