"""What the author of a workflow chose for its users in the editor's app mode: inputs to set, results to show.

The editor keeps the choice in the workflow's `extra.linearData`, as `{"inputs": [[id, name, settings?], …], "outputs":
[id, …]}`. Ids were written in several forms over time: a node's id, that of a node in a sub-graph whose input is shown
on the outside, `GRAPH:NODE`, and `GRAPH:NODE:NAME`. (src/stores/appModeStore.ts and src/types/widgetId.ts of
ComfyUI_frontend.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from generations.comfy import editor
from generations.comfy.editor import (
    BYPASSED,
    INPUT_NODE,
    MUTED,
    PRIMITIVE,
    Definition,
    EditorNode,
    Link,
    Slot,
    is_uuid,
)
from generations.comfy.graph import (
    Graph,
    InputKey,
    is_link,
    is_numbered_choice,
    node_title,
    output_nodes,
    with_own_options,
)
from generations.comfy.notes import Note
from generations.comfy.object_info import ObjectInfo, input_spec

MAX_ENTRIES = 200
MAX_SCOPES = 500  # sub-graphs in sub-graphs; real workflows have some dozens
MAX_DEPTH = 20
MAX_STEPS = 100_000
# On a primitive in a sub-graph: the sub-graph's input that took its place when a newer editor saved the file.
_REPLACED_BY = "proxyBypassedToSubgraphInput"
_CONTROLS = frozenset({"control_after_generate", "control_filter_list"})


@dataclass(frozen=True, slots=True)
class ChosenInput:
    """One setting that an author chose; all `input_keys` in the graph take its value.

    `label` and `title` are what the author called the input and the node that shows it, "" for neither. Tools with
    input nodes of their own tell more: `name` for programs, `help`, bounds and `choices`.
    """

    input_keys: tuple[InputKey, ...]
    label: str = ""
    title: str = ""
    name: str = ""
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str | int | float, ...] = ()
    type: str = ""  # of a parameter, where the node's class does not tell
    is_advanced: bool = False


@dataclass(slots=True)
class Choice:
    """What an author chose, in the author's order. `notes` has a sentence for each entry that leads nowhere."""

    inputs: list[ChosenInput] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def read(workflow: object, graph: Graph, object_info: ObjectInfo | None) -> Choice:
    """The choice in an editor's workflow for the graph that was made of it; empty when there is none. Never raises.

    Without `object_info` any node may have results.
    """
    extra = workflow.get("extra") if isinstance(workflow, Mapping) else None
    data = extra.get("linearData") if isinstance(extra, Mapping) else None
    if not isinstance(workflow, Mapping) or not isinstance(data, Mapping):
        return Choice()
    inputs, outputs = (_entries(data.get(key)) for key in ("inputs", "outputs"))
    if not inputs and not outputs:
        return Choice()
    return _Reader(editor.read_workflow(workflow), graph, object_info).read(inputs, outputs)


def _entries(value: object) -> list[Any]:
    return value[:MAX_ENTRIES] if isinstance(value, list) else []


@dataclass(frozen=True, slots=True)
class _Scope:
    """The workflow itself, or the inside of one instance of a sub-graph. `path` precedes the ids of its nodes."""

    definition: Definition
    path: str = ""
    instance: EditorNode | None = None
    parent: _Scope | None = None


@dataclass(frozen=True, slots=True)
class _Site:
    """A node where a definition is used, and the name of one of its inputs."""

    scope: _Scope
    node: EditorNode
    name: str = ""

    @property
    def node_id(self) -> str:
        return f"{self.scope.path}{self.node.id}"

    def __str__(self) -> str:
        kind = "Sub-graph" if self.node.is_sub_graph else self.node.type
        return f"“{self.node.title.strip() or kind}” ({self.node_id})"


class _Reader:
    def __init__(self, workflow: editor.Workflow, graph: Graph, object_info: ObjectInfo | None) -> None:
        self.workflow = workflow
        self.graph = graph
        self.object_info = object_info
        self.results = tuple(graph) if object_info is None else output_nodes(graph, object_info)
        self.scopes = {scope.path: scope for scope in self._all_scopes()}
        self.by_id: dict[str, list[_Site]] = {}
        for scope in self.scopes.values():
            for node in scope.definition.nodes.values():
                self.by_id.setdefault(node.id, []).append(_Site(scope, node))
        self.links: dict[int, dict[str, list[tuple[str, Link]]]] = {}
        self.steps = 0

    def read(self, inputs: Iterable[object], outputs: Iterable[object]) -> Choice:
        choice = Choice()
        taken: set[InputKey] = set()
        for entry in inputs:
            found = self._input(entry, taken)
            if isinstance(found, str):
                choice.notes.append(Note(found, self._node_of(entry[0]) if isinstance(entry, list) and entry else ""))
            elif found is not None:
                taken.update(found.input_keys)
                choice.inputs.append(found)
                choice.notes += self._narrowed(found)
        without = []
        for ref in outputs:
            node_ids = self._output(ref)
            if not node_ids:
                without.append(ref)
            choice.outputs += [node_id for node_id in node_ids if node_id not in choice.outputs]
        shown = "the others are shown" if choice.outputs else "all results are shown"
        for ref in without:
            sentence = f"The author wanted to show the results of {self._named(ref)}; {shown}."
            choice.notes.append(Note(sentence, self._node_of(ref)))
        return choice

    # ------------------------------------------------------------------------------------------ entries
    def _input(self, entry: object, taken: set[InputKey]) -> ChosenInput | str | None:
        """The setting, a sentence about why there is none, or None for a second mention of the same one."""
        if not isinstance(entry, list) or len(entry) < 2 or not isinstance(entry[1], str):
            return "The workflow's app mode has an entry that cannot be read."
        ref, name = str(entry[0]), entry[1]
        parts = ref.split(":")
        if len(parts) == 3 and is_uuid(parts[0]):
            name = unquote(parts[2])
        chosen = self._settings(ref, name)
        if chosen is None:
            return (
                f"The author wanted users to set “{name}” of node {ref}; the workflow has too many sub-graphs to look "
                "for that node."
            )
        if not chosen:
            return f"The author wanted users to set “{name}” of {self._named(ref, name)}; they cannot set it."
        if len(chosen) > 1:
            return (
                f"The author wanted users to set “{name}” of node {ref}; {len(chosen)} nodes in "
                "sub-graphs have that number, and the file does not say which one is meant."
            )
        keys = [key for key in chosen[0].input_keys if key not in taken]
        return replace(chosen[0], input_keys=tuple(keys)) if keys else None

    def _settings(self, ref: str, name: str) -> list[ChosenInput] | None:
        """What the entry may mean: several where nodes of several sub-graphs have that number. None: too many steps."""
        found: dict[tuple[str, str], ChosenInput] = {}
        for site in self._sites(ref):
            self.steps += 1
            if self.steps > MAX_STEPS:
                return None
            top, label = self._outermost(_Site(site.scope, site.node, name))
            keys = [key for key in dict.fromkeys(self._keys(top, set())) if self._is_settable(key)]
            title = top.node.title.strip() if top.node.type == PRIMITIVE else ""
            if keys:
                found[top.node_id, top.name] = ChosenInput(tuple(keys), label=label, title=title)
            if keys and not site.scope.path:
                break  # a node of that id inside a sub-graph is another one
        # The editor offers what is shown on the outside; a node that is used more than once shows there if at all.
        shown = [one for (node_id, _name), one in found.items() if node_id in self.scopes[""].definition.nodes]
        return shown if len(shown) == 1 else list(found.values())

    def _node_of(self, ref: object) -> str:
        """The one node of the graph that an entry means; "" when there is none, or more than one."""
        found = {site.node_id for site in self._sites(str(ref))} & self.graph.keys()
        return found.pop() if len(found) == 1 else ""

    def _narrowed(self, chosen: ChosenInput) -> Iterator[Note]:
        """A sentence about an option that this workflow does not hold everything for."""
        node_id, name = chosen.input_keys[0]
        spec = input_spec(self.object_info, self.graph[node_id]["class_type"], name)
        here = with_own_options(self.graph, node_id, spec)
        if spec is None or here is None or here is spec:
            return
        missing = [option for option in spec.sub_inputs if option not in (here.choices or ())]
        if missing:
            listed = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            title = node_title(self.graph, node_id)
            sentence = (
                f"“{name}” of “{title}” ({node_id}) cannot become {listed}: the workflow has no values for the inputs "
                "that come with it."
            )
            yield Note(sentence, node_id)

    def _output(self, ref: object) -> list[str]:
        """The results of that node, or of all nodes in the instance that it is."""
        sites = self._sites(str(ref))
        node_ids = [site.node_id for site in sites if not site.scope.path] or [site.node_id for site in sites]
        return [result for result in self.results for node_id in node_ids if f"{result}:".startswith(f"{node_id}:")]

    def _sites(self, ref: str) -> list[_Site]:
        """Where the node is that an entry means: more than one place for a node in a sub-graph that is used twice."""
        parts = ref.split(":")
        if is_uuid(parts[0]) and len(parts) in (2, 3):
            inside = parts[0] if parts[0] in self.workflow.subgraphs else ""
            sites = self.by_id.get(unquote(parts[1]), [])
            return [site for site in sites if (site.scope.instance.type if site.scope.instance else "") == inside]
        path = "".join(f"{part}:" for part in parts[:-1])
        return [site for site in self.by_id.get(parts[-1], []) if not path or site.scope.path == path]

    # ------------------------------------------------------------------------------------------ following
    def _outermost(self, site: _Site) -> tuple[_Site, str]:
        """The instance that shows this input on the outermost graph, or the site itself; and what the author calls it.

        What is given there reaches all inputs that hang on it.
        """
        label = ""
        while True:
            replacement = site.node.properties.get(_REPLACED_BY) if site.node.type == PRIMITIVE else None
            if isinstance(replacement, str) and site.scope.parent and site.scope.instance:
                label = site.node.title.strip()
                site = _Site(site.scope.parent, site.scope.instance, replacement)
                continue
            slot = _slot(site)
            label = slot.label if slot and slot.label else label
            link = site.scope.definition.links.get(slot.link) if slot and slot.link else None
            scope = site.scope
            inputs = scope.definition.inputs
            if link is None or link.origin_id != INPUT_NODE or scope.parent is None or scope.instance is None:
                return site, label
            if link.origin_slot >= len(inputs):
                return site, label
            shown = inputs[link.origin_slot]
            label = shown.label or label
            site = _Site(scope.parent, scope.instance, shown.name)

    def _keys(self, site: _Site, seen: set[InputKey]) -> Iterator[InputKey]:
        """Which inputs in the graph take what is set there, linked ones included."""
        here = (site.node_id, site.name)
        self.steps += 1
        if here in seen or self.steps > MAX_STEPS:
            return
        seen.add(here)
        inside = self.scopes.get(f"{site.node_id}:")
        if site.node.type == PRIMITIVE:
            if site.name not in _CONTROLS:
                yield from self._fed(site.scope, site.node.id, None, seen)
        elif inside is not None:
            yield from self._inside(inside, site, seen)
        else:
            yield here

    def _inside(self, inside: _Scope, site: _Site, seen: set[InputKey]) -> Iterator[InputKey]:
        number = next((at for at, each in enumerate(inside.definition.inputs) if each.name == site.name), None)
        if number is not None:
            yield from self._fed(inside, INPUT_NODE, number, seen)
            return
        # Before inputs could show widgets, an instance listed the inner ones that it shows.
        rows = site.node.properties.get("proxyWidgets")
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, list) and len(row) >= 2 and row[1] == site.name:
                node = inside.definition.nodes.get(str(row[0]))
                if node is not None:
                    yield from self._keys(_Site(inside, node, site.name), seen)
                    return

    def _fed(self, scope: _Scope, origin_id: str, slot_number: int | None, seen: set[InputKey]) -> Iterator[InputKey]:
        """The inputs at the ends of the links from there, past reroutes."""
        for link_id, link in self._links_from(scope.definition, origin_id):
            self.steps += 1
            node = scope.definition.nodes.get(link.target_id)
            if node is None or slot_number not in (None, link.origin_slot) or self.steps > MAX_STEPS:
                continue
            if node.type in editor.PASS_THROUGH:
                if (node.id, link_id) not in seen:
                    seen.add((node.id, link_id))
                    yield from self._fed(scope, node.id, None, seen)
                continue
            slot = node.taking(link_id)
            if slot is not None:
                yield from self._keys(_Site(scope, node, slot.name), seen)

    def _links_from(self, definition: Definition, origin_id: str) -> list[tuple[str, Link]]:
        if id(definition) not in self.links:
            by_origin: dict[str, list[tuple[str, Link]]] = {}
            for link_id, link in definition.links.items():
                by_origin.setdefault(link.origin_id, []).append((link_id, link))
            self.links[id(definition)] = by_origin
        return self.links[id(definition)].get(origin_id, [])

    def _all_scopes(self) -> Iterator[_Scope]:
        pending = [(_Scope(self.workflow.root), 0)]
        count = 0
        while pending and count < MAX_SCOPES:
            scope, depth = pending.pop(0)
            count += 1
            yield scope
            if depth == MAX_DEPTH:
                continue
            for node in scope.definition.nodes.values():
                inner = self.workflow.subgraphs.get(node.type)
                if inner is not None and len(pending) < MAX_SCOPES:
                    pending.append((_Scope(inner, f"{scope.path}{node.id}:", node, scope), depth + 1))

    # ------------------------------------------------------------------------------------------ reasons
    def _is_settable(self, key: InputKey) -> bool:
        value = self.graph.get(key[0], {}).get("inputs", {}).get(key[1])
        return isinstance(value, str | int | float) and not is_numbered_choice(self.graph, key)

    def _named(self, ref: object, name: str | None = None) -> str:
        """The node that an entry means, and why it cannot be had; of its results when no input is named."""
        sites = self._sites(str(ref))
        if not sites:
            return f"node {str(ref)[:80]}, which is not in the file"
        site = _Site(sites[0].scope, sites[0].node, name or "")
        if off := _switched_off(site):
            return f"{site}, which is {off}"
        if name is None:
            return f"{site}, which gives none here"
        return f"{site}, {self._why_not(site)}"

    def _why_not(self, site: _Site) -> str:
        top, _label = self._outermost(site)
        keys = list(dict.fromkeys(self._keys(top, set())))
        for node_id, input_name in keys:
            value = self.graph.get(node_id, {}).get("inputs", {}).get(input_name)
            if is_link(value):
                return f"which gets its value from the node “{node_title(self.graph, value[0])}” ({value[0]})"
            if value is not None and is_numbered_choice(self.graph, (node_id, input_name)):
                return (
                    "whose position in the list another node uses as well, which a form would not change along with it"
                )
            if value is not None:
                return "which holds a value that no field of a form can set"
        if site.name in _CONTROLS:
            return "which is how the editor changes a value between runs, not a setting of the graph"
        if keys and all(node_id not in self.graph for node_id, _name in keys):
            return "which takes no part in what runs"
        return "which has no such input"


def _slot(site: _Site) -> Slot | None:
    return next((slot for slot in site.node.inputs if site.name in (slot.name, slot.widget)), None)


def _switched_off(site: _Site) -> str:
    """The word for a node that is muted or bypassed, itself or with an instance around it; "" for others."""
    node: EditorNode | None = site.node
    scope: _Scope | None = site.scope
    while node is not None:
        if node.mode in (MUTED, BYPASSED):
            return "muted" if node.mode == MUTED else "bypassed"
        node, scope = (scope.instance, scope.parent) if scope else (None, None)
    return ""
