"""Nodes that exist in ComfyUI's editor alone: which they are, and where those that are wiring lead.

The server never gets them. Notes, bookmarks and switches change nothing that runs; reroutes and Set and Get nodes stand
for links. Sources: web/js/setgetnodes.js of ComfyUI-KJNodes, getset of ComfyUI-Easy-Use, src_web/comfyui of
rgthree-comfy, web/js/presetText.js of ComfyUI-Custom-Scripts, and ExecutableNodeDTO.ts of ComfyUI_frontend, which
follows a node without a class to the input with the number of the output.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from generations.comfy.broadcasts import ANYTHING
from generations.comfy.editor import MUTED, PASS_THROUGH, PRIMITIVE, Definition, EditorNode, Workflow
from generations.comfy.object_info import ObjectInfo

PRESET_TEXT = "PresetText|pysssss"
RANDOM_UNMUTER = "Random Unmuter (rgthree)"
_RGTHREE = (
    "Label", "Bookmark", "Fast Groups Muter", "Fast Groups Bypasser", "Fast Muter", "Fast Bypasser",
    "Fast Actions Button", "Node Collector", "Node Combiner", "Mute / Bypass Relay", "Mute / Bypass Repeater",
    "Random Unmuter", "Power Conductor",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Setter:
    """What a kind of Get nodes reads. `is_seen_inside`: in sub-graphs of where the Set node is, too."""

    type: str
    is_seen_inside: bool


_SETTERS = {"GetNode": _Setter("SetNode", True), "easy getNode": _Setter("easy setNode", False)}
_EDITOR_ONLY = frozenset(
    {
        "Note", "MarkdownNote", "Note Plus (mtb)", "easy bookmark", PRIMITIVE, PRESET_TEXT,
        *(f"{name} (rgthree)" for name in _RGTHREE), *PASS_THROUGH,
        *ANYTHING, *_SETTERS, *(setter.type for setter in _SETTERS.values()),
    }
)  # fmt: skip
# Types of slots that say nothing of what goes through them.
_UNTYPED = frozenset({"", "*"})


class NoSource(Exception):
    """The file does not say where the value of a node comes from; `str()` is the reason."""


def is_editor_only(node: EditorNode, object_info: ObjectInfo) -> bool:
    """True for the kinds that are known to have no class on any server."""
    return node.type in _EDITOR_ONLY and node.type not in object_info


def is_getter(node: EditorNode) -> bool:
    return node.type in _SETTERS


def types_of(object_info: ObjectInfo) -> frozenset[str]:
    """Every type that an input or output of these classes has."""
    found: set[str] = set()
    for info in object_info.values():
        if isinstance(info, Mapping):
            found.update(_output_types(info.get("output")))
            found.update(_input_types(info.get("input")))
    return frozenset(found - _UNTYPED)


def _output_types(outputs: object) -> Iterable[str]:
    return (kind for kind in (outputs if isinstance(outputs, list) else ()) if isinstance(kind, str))


def _input_types(groups: object) -> Iterable[str]:
    for inputs in groups.values() if isinstance(groups, Mapping) else ():
        for entry in inputs.values() if isinstance(inputs, Mapping) else ():
            kind = entry[0] if isinstance(entry, list) and entry else None
            if isinstance(kind, str):
                yield from kind.split(",")


def may_run(node: EditorNode, types: frozenset[str]) -> bool:
    """False when nothing in the file suggests that a node of an unknown type has a class on some server.

    A node whose slots have none of the types that classes exchange, and none that stands for a widget, is one that the
    browser alone knows: nodes of servers have either.
    """
    slots = [*node.inputs, *node.outputs]
    return any(slot.widget for slot in slots) or any(kind in types for slot in slots for kind in slot.type.split(","))


def chosen_at_random(definition: Definition, unmuter: EditorNode) -> list[EditorNode]:
    """The nodes of which a Random Unmuter would switch one on at each run: its inputs', when all of them are muted."""
    links = (definition.links.get(slot.link or "") for slot in unmuter.inputs)
    origins = [definition.nodes[link.origin_id] for link in links if link and link.origin_id in definition.nodes]
    return origins if all(origin.mode == MUTED for origin in origins) else []


class Setters:
    """Finds the Set node that a Get node reads."""

    def __init__(self, workflow: Workflow) -> None:
        self._places: dict[str, list[int]] = {}  # type of a sub-graph -> the definitions that contain it, one per use
        for definition in (workflow.root, *workflow.subgraphs.values()):
            for node in definition.nodes.values():
                if node.type in workflow.subgraphs:
                    self._places.setdefault(node.type, []).append(id(definition))
        self._named: dict[int, dict[tuple[str, str], list[EditorNode]]] = {}

    def find(self, getter: EditorNode, chain: Sequence[tuple[Definition, str]]) -> tuple[int, EditorNode]:
        """The Set node, and how many steps outwards it is.

        `chain`: the definition that the Get node is in, then those around it, each with the type of the node that
        stands for it ("" for the workflow itself). NoSource says why there is none, or no single one.
        """
        kind, name = _SETTERS[getter.type], _name_of(getter)
        if not name:
            raise NoSource("it names no value to get.")
        if chain[0][0].is_group:
            raise NoSource("it is inside a group node, where ComfyUI does not follow it.")
        for level, (definition, _type) in enumerate(chain if kind.is_seen_inside else chain[:1]):
            found = self._setters_in(definition).get((kind.type, name), [])
            if len(found) > 1:
                raise NoSource(
                    f"{len(found)} Set nodes are named “{name}” ({_ids(found)}); only one of them can be meant."
                )
            if found:
                self._check_way(level, chain, found[0], name)
                return level, found[0]
        raise NoSource(f"there is no Set node named “{name}” {_where(kind, is_inside=len(chain) > 1)}.")

    def _setters_in(self, definition: Definition) -> dict[tuple[str, str], list[EditorNode]]:
        """By type and name. A definition lives as long as the workflow, so its id() stays its own."""
        found = self._named.get(id(definition))
        if found is None:
            found = self._named[id(definition)] = {}
            for node in definition.nodes.values():
                if any(node.type == setter.type for setter in _SETTERS.values()):
                    found.setdefault((node.type, _name_of(node)), []).append(node)
        return found

    def _check_way(self, level: int, chain: Sequence[tuple[Definition, str]], setter: EditorNode, name: str) -> None:
        """From inside a sub-graph, the editor takes the first place where it is used for the only one."""
        crossed, around = [kind for _, kind in chain[:level]], [kind for _, kind in chain[level:] if kind]
        is_same_everywhere = all(len(set(self._places.get(kind, ()))) <= 1 for kind in crossed)
        if level and not (is_same_everywhere and all(len(self._places.get(kind, ())) <= 1 for kind in around)):
            raise NoSource(f"its Set node “{name}” is outside a sub-graph that is used more than once.")
        link_id = setter.inputs[0].link if level and setter.inputs else None
        link = chain[level][0].links.get(link_id or "")
        if link is not None and link.origin_id not in chain[level][0].nodes:
            raise NoSource(
                f"its Set node “{name}” takes an input of the sub-graph around it, which ComfyUI does not follow."
            )


def _name_of(node: EditorNode) -> str:
    values = node.values
    first = next(iter(values.values() if isinstance(values, Mapping) else values or ()), "")
    return first if isinstance(first, str) else str(first)


def _ids(nodes: Iterable[EditorNode]) -> str:
    return "nodes " + ", ".join(node.id for node in nodes)


def _where(kind: _Setter, *, is_inside: bool) -> str:
    if not is_inside:
        return "in the workflow, outside sub-graphs"
    return "in its sub-graph or around it" if kind.is_seen_inside else "in its sub-graph"
