"""Use Everywhere: nodes that broadcast what they get to every open input that fits, as the links that they stand for.

Source: js/ of cg-use-everywhere 7.8 (use_everywhere_classes.js, use_everywhere_graph_analysis.js, ue_properties.js,
use_everywhere_settings.js, use_everywhere_ui.js), which adds real links while a workflow is queued; files of versions
before 7 keep the settings in other places. What no file decides is named, never guessed. Where a file has the list of
links that the editor found (`extra.ue_links`), that list has to agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from generations.comfy import editor
from generations.comfy.boxes import Group, read_groups
from generations.comfy.editor import BYPASSED, INPUT_NODE, MUTED, OUTPUT_NODE, Definition, EditorNode, Link, Slot
from generations.comfy.object_info import ObjectInfo

SEED, PROMPTS = "Seed Everywhere", "Prompts Everywhere"
ANYTHING = ("Anything Everywhere", "Anything Everywhere3", "Anything Everywhere?", PROMPTS)
MAX_COMPARISONS = 300_000
MOST_NAMED = 5
_LIVE = 0
_OLD_PROMPTS = (r"(_|\b)pos(itive|_|\b)|^prompt", r"(_|\b)neg(ative|_|\b)")
_UNCLEAR_PATTERN = "its pattern “{}” is more than can be followed here"
_UNCLEAR_BOX = "it depends on groups, and on which side of a border a node lies"
_UNCLEAR_INSIDE = "inside of a sub-graph, its limits go by what the editor shows at the moment"
_UNCLEAR_AGE = "versions of Use Everywhere before and after 7 read its settings differently"
_UNCLEAR_CHOICE = "ComfyUI itself links no text to a list of choices"

Output: TypeAlias = tuple[str, int]  # node id, slot


class Unclear(Exception):
    """The file does not decide it; `str()` is a clause that says why. `is_recorded`: its list of links would tell."""

    is_recorded = True


class Refused(Unclear):
    """What the extension finds and lists as a link, and not every editor makes one."""

    is_recorded = False


@dataclass(frozen=True, slots=True)
class Trouble:
    """What the file does not decide, at one node of a definition."""

    node: EditorNode
    message: str


@dataclass(frozen=True, slots=True)
class _Target:
    """An open input. `names`: what patterns are held against, as it is shown in different languages."""

    node: EditorNode
    number: int
    slot: Slot
    title: str
    names: tuple[str, ...]
    is_required: bool


@dataclass(slots=True)
class _Broadcast:
    """One output that is offered to open inputs, and by which node."""

    controller: EditorNode
    output: Output
    type: str
    priority: float
    settings: Mapping[str, Any]
    is_old: bool
    label: str = ""  # of the input that it comes through
    number: int = -1
    must_match: bool = False  # the name of the input, because the controller offers its type more than once


def connect(workflow: editor.Workflow, object_info: ObjectInfo) -> dict[int, list[Trouble]]:
    """Adds the links to the workflow's definitions. Returns what is not decided, by id() of the definition."""
    budget = _Budget()
    definitions = (workflow.root, *workflow.subgraphs.values())
    graphs = [_Graph(each, object_info, budget, is_root=each is workflow.root) for each in definitions]
    return {id(graph.definition): graph.connect() for graph in graphs if graph.broadcasts}


def is_controller(node: EditorNode) -> bool:
    """True for the nodes of Use Everywhere itself."""
    return node.type.startswith("Anything Everywhere") or node.type in {SEED, PROMPTS}


class _Budget:
    """What one file may cost: broadcasts times inputs, and times groups."""

    def __init__(self) -> None:
        self.left = MAX_COMPARISONS

    def spend(self, comparisons: int) -> None:
        self.left -= comparisons
        if self.left < 0:
            raise Unclear("there are more broadcasts, inputs and groups than can be looked at")


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
    def _broadcasts_of(self, node: EditorNode) -> list[_Broadcast]:
        is_converted = bool(node.properties.get("ue_convert"))
        if node.mode != _LIVE or not (is_converted or is_controller(node)):
            return []
        settings, is_old = _settings(node)
        if node.type == SEED or settings.get("seed_inputs"):
            regex = settings.get("input_regex") if not is_old and settings.get("input_regex") else "seed"
            found = [_Broadcast(node, (node.id, 0), "INT", 0, {**settings, "input_regex": regex}, is_old)]
        elif is_converted:
            found = list(self._outputs_of(node, settings))
        else:
            found = list(self._inputs_of(node, settings, is_old))
        return [each for each in self._finished(node, found, settings) if self._is_live(each.output[0])]

    def _outputs_of(self, node: EditorNode, settings: Mapping[str, Any]) -> Iterator[_Broadcast]:
        silent = settings.get("output_not_broadcasting")
        for number, slot in enumerate(node.outputs):
            if not (isinstance(silent, Mapping) and silent.get(slot.name)):
                label = slot.label or slot.name
                yield _Broadcast(node, (node.id, number), slot.type, 0, settings, False, label, number)

    def _inputs_of(self, node: EditorNode, settings: Mapping[str, Any], is_old: bool) -> Iterator[_Broadcast]:
        for number, slot in enumerate(node.inputs):
            link = self._behind_bypassed(self.definition.links.get(slot.link or ""))
            if link is None:
                continue
            label = slot.label or slot.name
            if node.type == PROMPTS and number < 2:
                label = ("positive", "negative")[number]
            kind = link.type or self._output_type(link)
            yield _Broadcast(node, (link.origin_id, link.origin_slot), kind, 0, settings, is_old, label, number)

    def _finished(self, node: EditorNode, found: list[_Broadcast], settings: Mapping[str, Any]) -> Iterator[_Broadcast]:
        """With the priority of their node, and whether their names count."""
        types = [each.type for each in found]
        repeated = {kind for kind in types if types.count(kind) > 1}
        own = settings.get("priority")
        priority = own if isinstance(own, int | float) and own else _priority(node, settings, bool(repeated))
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

    def _open_inputs(self, node: EditorNode) -> Iterator[_Target]:
        _name, spec = editor.class_of(node, self.object_info)
        title = node.title or (spec.display_name if spec else node.type)
        self._add_missing(node)
        for number, slot in enumerate(node.inputs):
            if slot.link is not None and slot.link in self.definition.links:
                continue
            wanted = spec.input(slot.name) if spec else None
            shown = (slot.label,) if slot.label else (slot.name, wanted.display_name if wanted else "")
            names = tuple(dict.fromkeys(name for name in shown if name))
            yield _Target(node, number, slot, title, names, wanted is None or wanted.required)

    def _add_missing(self, node: EditorNode) -> None:
        """Sockets that the class has by now, and the file has not: the editor shows them, so they are open, too."""
        _name, spec = editor.class_of(node, self.object_info)
        known = {slot.name for slot in node.inputs}
        for each in spec.inputs if spec else ():
            if each.name not in known and not each.is_widget and not each.type.startswith("COMFY_"):
                node.inputs.append(Slot(each.name, each.type))

    def _decide(self, target: _Target) -> _Broadcast | None:
        """The broadcast for this input, if any; a trouble when the file does not decide that."""
        try:
            found = self._best(target)
        except Unclear as reason:
            if self.recorded is None or not reason.is_recorded:
                self._trouble(target, f"it is not clear what is broadcast to {{}}: {reason}.")
                return None
            return self._recorded_for(target)
        if self.recorded is not None and self._has_record(target, found) is False:
            self._trouble(target, "the file says that something else is broadcast to {} than its settings make of it.")
            return None
        return found

    def _best(self, target: _Target) -> _Broadcast | None:
        """Unclear when it is not decided; a trouble when two are equally good."""
        fitting = [each for each in self.broadcasts if self._may_reach(each, target)]
        unclear: Unclear | None = None
        found: list[_Broadcast] = []
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

    def _may_reach(self, each: _Broadcast, target: _Target) -> bool:
        """By its type alone, which is quick."""
        self.budget.spend(1)
        if each.output[0] == target.node.id:
            return False
        if each.type == target.slot.type:
            return True
        if each.type == "STRING" and target.slot.type == "COMBO":
            return _is_on(each.settings.get("string_to_combo"))
        return target.slot.type == "*" and _is_on(each.settings.get("send_to_any"))

    def _is_connectable(self, target: _Target, is_wanted: bool) -> bool:
        """Inputs of widgets take broadcasts where they were ticked, all others where they were not unticked."""
        settings, name = _mapping(target.node.properties.get("ue_properties")), target.slot.name
        ticked = settings.get("widget_ue_connectable", target.node.properties.get("widget_ue_connectable"))
        if not target.slot.widget:
            return not _mapping(settings.get("input_ue_unconnectable")).get(name)
        if isinstance(ticked, Mapping):
            return bool(ticked.get(name))
        # Before there were ticks, a widget that was turned into an input was one to broadcast to. Inside of a
        # sub-graph, the extension looks such nodes up by ids that are not theirs.
        if is_wanted and not self.is_root:
            raise Unclear(_UNCLEAR_AGE)
        return True

    def _reaches(self, each: _Broadcast, target: _Target) -> bool:
        """By everything but its type. Unclear when the file does not decide it."""
        checks = (_fits_title, _fits_input, _fits_name, self._fits_place, self._fits_color)
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
            raise Unclear(_UNCLEAR_AGE)
        if each.type == "STRING" and target.slot.type == "COMBO":
            raise Refused(_UNCLEAR_CHOICE)
        return True

    def _fits_place(self, each: _Broadcast, target: _Target) -> bool:
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
        wanted = [group for group in self.groups if _matches(pattern, group.title) != inverted]
        return any(self._is_in(group, target.node) for group in wanted)

    def _is_in(self, group: Group, node: EditorNode) -> bool:
        found = group.holds(node)
        if found is None:
            raise Unclear(_UNCLEAR_BOX)
        return found

    def _fits_color(self, each: _Broadcast, target: _Target) -> bool:
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
        fed = {link.target_slot for link in self.definition.links.values() if link.target_id == OUTPUT_NODE}
        node = EditorNode(OUTPUT_NODE, "", title="subgraph output node")
        for number, slot in enumerate(self.definition.outputs):
            if number in fed:
                continue
            target = _Target(node, number, replace(slot, widget=""), node.title, (slot.label or slot.name,), False)
            recorded, self.recorded = self.recorded, None  # it numbers outputs differently
            found = self._decide(target)
            self.recorded = recorded
            if found is not None:
                self._link(found, target)

    def _link(self, found: _Broadcast, target: _Target) -> None:
        link_id = f"broadcast {len(self.definition.links)}"
        origin, origin_slot = found.output
        self.definition.links[link_id] = Link(origin, origin_slot, target.node.id, target.number, found.type)
        if target.node.id == OUTPUT_NODE:
            outputs = self.definition.outputs
            outputs[target.number] = replace(outputs[target.number], links=(link_id,))
        else:
            target.node.inputs[target.number] = replace(target.slot, link=link_id)

    def _has_record(self, target: _Target, found: _Broadcast | None) -> bool:
        recorded = (self.recorded or {}).get((target.node.id, target.number))
        return recorded == (found.output if found else None)

    def _recorded_for(self, target: _Target) -> _Broadcast | None:
        recorded = (self.recorded or {}).get((target.node.id, target.number))
        return next((each for each in self.broadcasts if each.output == recorded), None)

    def _trouble(self, target: _Target, message: str) -> None:
        """At the node whose input it is; outputs of a sub-graph are told of at the node that broadcasts."""
        place = f'its input "{target.slot.name}"'
        node = target.node
        if node.id == OUTPUT_NODE:
            place, node = f'the output "{target.slot.name}" of this sub-graph', self.broadcasts[0].controller
        self.troubles.append(Trouble(node, f"Use Everywhere: {message.format(place)} Connect it with a link."))


def _settings(node: EditorNode) -> tuple[Mapping[str, Any], bool]:
    """The limits that a node broadcasts within, and whether they are of a version before 7."""
    settings = _mapping(node.properties.get("ue_properties"))
    if settings.get("version") or not is_controller(node):
        return settings, False
    values = [*(node.values if isinstance(node.values, list) else ()), "", "", ""]
    patterns = dict(zip(("title_regex", "input_regex", "group_regex"), values, strict=False))
    limits = {key: node.properties.get(key) for key in ("group_restricted", "color_restricted")}
    return {**limits, **(patterns if node.type != SEED else {})}, True


def _priority(node: EditorNode, settings: Mapping[str, Any], has_repeated: bool) -> int:
    patterns = (settings.get(f"{name}_regex") for name in ("title", "input", "prompt", "negative", "group"))
    is_picky = any(pattern and pattern != ".*" for pattern in patterns)
    found = 10 + (10 if node.type in {SEED, PROMPTS} else 0) + (20 if is_picky or has_repeated else 0)
    found += 3 if _is_on(settings.get("group_restricted")) else 0
    return found + (6 if _is_on(settings.get("color_restricted")) else 0)


def _fits_title(each: _Broadcast, target: _Target) -> bool:
    return _fits_pattern(each, "title", (target.title,))


def _fits_input(each: _Broadcast, target: _Target) -> bool:
    return _fits_pattern(each, "input", target.names)


def _fits_pattern(each: _Broadcast, name: str, texts: tuple[str, ...]) -> bool:
    pattern = each.settings.get(f"{name}_regex")
    if not pattern or pattern == ".*":
        return True
    inverted = bool(each.settings.get(f"{name}_regex_invert"))
    found = {_matches(pattern, text) != inverted for text in texts}
    if len(found) > 1:
        raise Unclear(f"its pattern “{pattern}” fits only some of the names that an input is shown with")
    return True in found


def _fits_name(each: _Broadcast, target: _Target) -> bool:
    """Where one node offers a type several times, the names of its inputs tell them apart."""
    found = _has_name(each, target) if each.must_match else True
    is_prompt = each.controller.type == PROMPTS and each.number in (0, 1)
    is_old = is_prompt and (each.is_old or bool(each.settings.get("prompt_regexes")))
    if is_old and _matches(_OLD_PROMPTS[each.number], target.slot.label or target.slot.name) != found:
        raise Unclear(_UNCLEAR_AGE)
    return found


def _has_name(each: _Broadcast, target: _Target) -> bool:
    theirs, ours = target.slot.label or target.slot.name, each.label
    shorter = min(len(theirs), len(ours))
    rule = each.settings.get("repeated_type_rule") or 0
    if rule == 1:
        return theirs[:shorter] == ours[:shorter]
    if rule == 2:
        return theirs[len(theirs) - shorter :] == ours[len(ours) - shorter :]
    if rule == 3:
        return target.title == ours
    return _matches(ours, theirs) if rule == 4 else theirs == ours


def _matches(pattern: object, text: str) -> bool:
    """True when the pattern is found in the text. Unclear for patterns that could take for ever, or are none."""
    source = str(pattern)
    is_simple = len(re.findall(r"[*+?{]", source)) <= 3 and not re.search(r"\)[*+?{]|\\[1-9k]", source)
    if len(source) > 200 or len(text) > 200 or not is_simple:
        raise Unclear(_UNCLEAR_PATTERN.format(source[:60]))
    try:
        return re.search(source, text, re.ASCII) is not None
    except re.error as error:
        raise Unclear(_UNCLEAR_PATTERN.format(source[:60])) from error


def _recorded(definition: Definition) -> dict[tuple[str, int], Output] | None:
    """(node, input) -> output, as the editor found it; None when the file does not have that list."""
    rows = _mapping(definition.saved.get("extra")).get("ue_links")
    if not isinstance(rows, list):
        return None
    found: dict[tuple[str, int], Output] = {}
    for row in rows:
        if isinstance(row, dict):
            slots = row.get("downstream_slot"), row.get("upstream_slot")
            target, source = (slot if isinstance(slot, int) else 0 for slot in slots)
            found[str(row.get("downstream")), target] = (str(row.get("upstream")), source)
    return found


def _is_on(value: object) -> bool:
    return isinstance(value, int | float) and value > 0


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
