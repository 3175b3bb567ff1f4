"""What of a graph is resolved anew for each run, and with what (see comfy/resolving.py for the patterns themselves).

What the editor's file says about that and the API format cannot say is noted in the nodes' `_meta`, which ComfyUI
ignores: {"comfysaas": {"literal": [input, …], "control": {input: word}, "widgets": {"Node.widget": [node id, input] or
{"value": …}}}}.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from generations.comfy import editor
from generations.comfy.editor import INPUT_NODE, PRIMITIVE, Definition, EditorNode, Workflow
from generations.comfy.fitting import CONTROL_WORDS
from generations.comfy.graph import ClassInput, Graph, InputKey, Node, is_link, node_title
from generations.comfy.object_info import NodeSpec, ObjectInfo, node_spec
from generations.comfy.resolving import PREFIX, SAVING, Draw, has_patterns, resolve_name, resolve_prompt, widget_names
from generations.comfy.widgets import read_widgets

PROMPT, NAME = "prompt", "name"
NOTES = "comfysaas"
MAX_NAME = 4096  # characters; no file system takes longer paths
MAX_PATTERNS = 200_000  # characters of texts with patterns that one submission may have resolved: less than a second
MAX_DEPTH = 20
MAX_INSTANCES = 20_000
_FOLDERS = re.compile(r"[/\\]")
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")
_ALIAS = "Node name for S&R"
_TOO_MUCH = (
    "Texts with alternatives, comments or backslashes are too long: together they may have {:,} characters for "
    "each run. Shorten them, or submit fewer runs at a time."
)
# The editor's own savers have no alias unless the file gives them one; every other node has its class's name.
_NO_ALIAS = SAVING - {"VHS_VideoCombine"}
# ComfyUI's own inputs with dynamic prompts, for while no server has told its classes (0.29.0).
_TEXT, _PROMPT = ("text",), ("prompt",)
_KNOWN: Mapping[str, Collection[str]] = {
    "CLIPTextEncode": _TEXT,
    "CLIPTextEncodeControlnet": _TEXT,
    "CLIPTextEncodeFlux": ("clip_l", "t5xxl"),
    "CLIPTextEncodeHiDream": ("clip_l", "clip_g", "t5xxl", "llama"),
    "CLIPTextEncodeHunyuanDiT": ("bert", "mt5xl"),
    "CLIPTextEncodeKandinsky5": ("clip_l", "qwen25_7b"),
    "CLIPTextEncodeLumina2": ("user_prompt",),
    "CLIPTextEncodePixArtAlpha": _TEXT,
    "CLIPTextEncodeSD3": ("clip_l", "clip_g", "t5xxl"),
    "CLIPTextEncodeSDXL": ("text_g", "text_l"),
    "CLIPTextEncodeSDXLRefiner": _TEXT,
    "GLIGENTextBoxApply": _TEXT,
    "PhotoMakerEncode": _TEXT,
    "TextEncodeAceStepAudio": ("tags", "lyrics"),
    "TextEncodeHunyuanVideo_ImageToVideo": _PROMPT,
    "TextEncodeQwenImageEdit": _PROMPT,
    "TextEncodeQwenImageEditPlus": _PROMPT,
}


class UnfitTextError(ValueError):
    """A text is too long to be resolved, or does not become the name of a file. `input_key`: where it stands."""

    def __init__(self, key: InputKey, reason: str) -> None:
        super().__init__(reason)
        self.input_key = key


@dataclass(frozen=True, slots=True)
class Resolved:
    """What an input was given for one run instead of what stands there."""

    node_id: str
    input_name: str
    text: str


# --------------------------------------------------------------------------------------------- before any run
def inputs_to_resolve(
    graph: Graph, object_info: ObjectInfo | None, known: Collection[ClassInput] = ()
) -> list[tuple[str, str, str]]:
    """(node id, input, PROMPT or NAME) of every text that is resolved for each run.

    `known`: (class, input) with dynamic prompts, for classes that `object_info` does not have at the moment.

    Texts that a sub-graph shows on its outside are not: the editor queues them as they are. Nor are those that
    `keep_literal` noted.
    """
    found = []
    for node_id, node in graph.items():
        literal = notes_of(node).get("literal")
        for name, value in node["inputs"].items():
            if not isinstance(value, str) or (isinstance(literal, list) and name in literal):
                continue
            if node["class_type"] in SAVING and name == PREFIX:
                found.append((node_id, name, NAME))
            elif _is_dynamic(node["class_type"], name, object_info, known):
                found.append((node_id, name, PROMPT))
    return found


def prompts_of(graph: Graph, to_resolve: Iterable[Sequence[str]]) -> set[ClassInput]:
    """(class, input) of those that are dynamic prompts."""
    return {
        (graph[node_id]["class_type"], name)
        for node_id, name, kind in to_resolve
        if kind == PROMPT and node_id in graph
    }


def _is_dynamic(class_type: str, name: str, object_info: ObjectInfo | None, known: Collection[ClassInput]) -> bool:
    spec = node_spec(object_info, class_type)
    if spec is None:
        return name in _KNOWN.get(class_type, ()) or (class_type, name) in known
    found = spec.input(name)
    return found is not None and found.has_dynamic_prompts


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


# ------------------------------------------------------------------------------------------------ for a run
def resolve(
    bound: Graph,
    to_resolve: Iterable[Sequence[str]],
    *,
    now: datetime,
    draw: Draw,
    kept: Mapping[InputKey, str],
    exposed: Mapping[InputKey, str],
    typed: Collection[InputKey] = (),
    most: int = MAX_PATTERNS,
) -> list[Resolved]:
    """What the texts at these inputs of `bound`, a graph with the values of one run, become where that changes them.

    `exposed`: what users set -> the parameter; its text becomes the same wherever it goes. `kept` has what an earlier
    run made of texts, which is taken as it is. A name that its user typed, at one of the inputs `typed`, reads no
    widgets but exposed ones: the graph is hidden. `most`: characters of all texts with patterns. UnfitTextError.
    """
    found = []
    prompts: dict[tuple[object, str], str] = {}
    names = _Names(bound, exposed)
    left = most
    for node_id, name, kind in to_resolve:
        text = bound[node_id]["inputs"].get(name) if node_id in bound else None
        if not isinstance(text, str):
            continue
        key = (node_id, name)
        if key in kept:
            result = kept[key]
        elif kind == PROMPT:
            group = exposed.get(key, key), text
            if group not in prompts:
                left -= len(text) if has_patterns(text) else 0
                if left < 0:
                    raise UnfitTextError(key, _TOO_MUCH.format(most))
                prompts[group] = resolve_prompt(text, draw)
            result = prompts[group]
        else:
            result = names.resolve(key, text, now, is_typed=key in typed)
        if result != text:
            found.append(Resolved(node_id, name, result))
    return found


def put(bound: Graph, resolved: Iterable[Resolved]) -> None:
    """Write into a graph what its texts became."""
    for each in resolved:
        if each.node_id in bound:
            bound[each.node_id]["inputs"][each.input_name] = each.text


class _Names:
    """The names of files in one graph, and the widgets that they speak of."""

    def __init__(self, graph: Graph, exposed: Collection[InputKey]) -> None:
        self.graph = graph
        self.exposed = exposed

    def resolve(self, key: InputKey, text: str, now: datetime, *, is_typed: bool) -> str:
        """What a name becomes; one that a user typed stays in the folder of results. UnfitTextError."""
        result = self._filled(key, text, now, is_typed) if "%" in text else text
        if is_typed and (".." in _FOLDERS.split(result) or _ABSOLUTE.match(result)):
            reason = "The name of a file cannot begin with “/” or a drive, or have “..” among its folders."
            raise UnfitTextError(key, reason)
        return result

    def _filled(self, key: InputKey, text: str, now: datetime, is_typed: bool) -> str:
        title = node_title(self.graph, key[0])
        if len(text) > MAX_NAME:
            reason = f"“{key[1]}” of “{title}” has {len(text):,} characters; a file name has at most {MAX_NAME:,}."
            raise UnfitTextError(key, reason)
        try:
            return resolve_name(text, now, lambda *which: self._value(key[0], which, is_typed), most=MAX_NAME)
        except OverflowError as error:
            reason = (
                f"“{key[1]}” of “{title}” becomes too long once its patterns are resolved; a file name has at most "
                f"{MAX_NAME:,} characters."
            )
            raise UnfitTextError(key, reason) from error

    def _value(self, saver: str, which: tuple[str, ...], is_typed: bool) -> object:
        """The value of that (node's name, widget), as the node `saver` speaks of it. KeyError."""
        known = notes_of(self.graph[saver]).get("widgets")
        found = known.get(".".join(which)) if isinstance(known, dict) else None
        if isinstance(found, dict) and not is_typed:
            return found["value"]
        is_key = isinstance(found, list) and len(found) == 2
        node_id, widget = found if isinstance(found, list) and is_key else (self._nodes[which[0]], which[1])
        if is_typed and (node_id, widget) not in self.exposed:
            raise KeyError(which)
        value = self.graph[node_id]["inputs"][widget]
        if is_link(value):
            raise KeyError(which)
        return value["__value__"] if isinstance(value, dict) and "__value__" in value else value

    @functools.cached_property
    def _nodes(self) -> dict[str, str]:
        """Name -> the first node with that alias, else with that title."""
        backwards = list(reversed(self.graph.items()))
        titled = {node_title(self.graph, each): each for each, _node in backwards}
        aliased = {node["class_type"]: each for each, node in backwards if node["class_type"] not in _NO_ALIAS}
        return titled | aliased


# ------------------------------------------------------------------------------------------ the editor's file
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
        return node.properties.get(_ALIAS, spec.class_type if spec and spec.class_type not in _NO_ALIAS else None)

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
