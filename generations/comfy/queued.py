"""Which texts of a graph are resolved anew for each run, and what they become, as when the editor queues a workflow.

resolving.py has the patterns themselves, editor_notes.py what the editor's file says about them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from generations.comfy.editor_notes import NO_ALIAS, notes_of
from generations.comfy.graph import ClassInput, Graph, InputKey, is_link, node_title
from generations.comfy.object_info import ObjectInfo, node_spec
from generations.comfy.resolving import PREFIX, SAVING, Draw, has_patterns, resolve_name, resolve_prompt

PROMPT, NAME = "prompt", "name"
MAX_NAME = 4096  # characters; no file system takes longer paths
MAX_PATTERNS = 200_000  # characters of texts with patterns that one submission may have resolved: less than a second
_FOLDERS = re.compile(r"[/\\]")
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")
_TOO_MUCH = (
    "Texts with alternatives, comments or backslashes are too long: together they may have {:,} characters for "
    "each run. Shorten them, or submit fewer runs at a time."
)
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
    `editor_notes.keep_literal` noted.
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
    prompts, names = _Prompts(exposed, draw, most), _Names(bound, exposed)
    found = []
    for node_id, name, kind in to_resolve:
        text = bound[node_id]["inputs"].get(name) if node_id in bound else None
        if not isinstance(text, str):
            continue
        key = (node_id, name)
        if key in kept:
            result = kept[key]
        elif kind == PROMPT:
            result = prompts.resolve(key, text)
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


class _Prompts:
    """The prompts of one run: alternatives are drawn once for each parameter, wherever its text goes."""

    def __init__(self, exposed: Mapping[InputKey, str], draw: Draw, most: int) -> None:
        self.exposed = exposed
        self.draw = draw
        self.most = self.left = most
        self.known: dict[tuple[object, str], str] = {}

    def resolve(self, key: InputKey, text: str) -> str:
        """What the text becomes. UnfitTextError: all together have more than `most` characters."""
        group = self.exposed.get(key, key), text
        if group not in self.known:
            self.left -= len(text) if has_patterns(text) else 0
            if self.left < 0:
                raise UnfitTextError(key, _TOO_MUCH.format(self.most))
            self.known[group] = resolve_prompt(text, self.draw)
        return self.known[group]


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
        aliased = {node["class_type"]: each for each, node in backwards if node["class_type"] not in NO_ALIAS}
        return titled | aliased
