"""Why a node of a type that no server has cannot run, and what helps: another thing for each cause."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from generations.comfy.editor import EditorNode
from generations.comfy.object_info import NodeClasses, ObjectInfo

CORE = "comfy-core"
MOST_NAMED = 3
MOST_NUMBERED = 5
_ALIAS = "Node name for S&R"


def why_unknown(node: EditorNode, object_info: ObjectInfo, *, is_used: bool) -> str:
    """A clause for the node's refusal, which names the servers that were asked."""
    known = object_info if isinstance(object_info, NodeClasses) else NodeClasses()
    real = [name for name in known.servers if name not in known.simulators]
    more = "" if is_used else _UNUSED
    if is_used and _may_be_wiring(node):
        more = _WIRING
    if known.servers and not real:
        return f"{_on_simulators(node, known.servers)}{more}"
    return f"{_who(real)} the node type {node.type}; {_help(node, real)}.{more}"


_UNUSED = (
    " No other node uses what it makes, but it may save a result of its own; if you do not need that, mute or delete "
    "it in ComfyUI and import the workflow again."
)
_WIRING = " If it exists in ComfyUI's editor alone, connect the nodes around it with links instead."


def missing_types(nodes: Mapping[str, EditorNode], object_info: ObjectInfo) -> str:
    """All of them in one paragraph, by their ids in the graph; "" for a single type, whose refusal says it all."""
    types: dict[str, list[str]] = {}
    for node_id, node in nodes.items():
        types.setdefault(node.type, []).append(node_id)
    if len(types) < 2:
        return ""
    listed = ", ".join(f"{name} ({numbered(ids)})" for name, ids in types.items())
    return f"{len(types)} node types are missing: {listed}. {_who_lacks_them(object_info)}{_help_for(nodes.values())}"


def numbered(node_ids: Sequence[str]) -> str:
    """“node 5”, or “nodes 5, 6 and 4 more”."""
    if len(node_ids) == 1:
        return f"node {node_ids[0]}"
    more = f" and {len(node_ids) - MOST_NUMBERED} more" if len(node_ids) > MOST_NUMBERED else ""
    return f"nodes {', '.join(node_ids[:MOST_NUMBERED])}{more}"


def _who_lacks_them(object_info: ObjectInfo) -> str:
    known = object_info if isinstance(object_info, NodeClasses) else NodeClasses()
    real = [name for name in known.servers if name not in known.simulators]
    if known.servers and not real:
        who = _simulators(known.servers)
        return f"{who[:1].upper()}{who[1:]} only some node types. Connect a real ComfyUI that has them."
    who = _who(real)
    return f"{who[:1].upper()}{who[1:]} them."


def _help_for(nodes: Iterable[EditorNode]) -> str:
    """What to install or update, and which of them may exist in the editor alone."""
    packs: dict[str, dict[str, None]] = {}
    wiring: dict[str, None] = {}
    for node in nodes:
        packs.setdefault(_pack(node), {})[node.type] = None
        if _may_be_wiring(node):
            wiring[node.type] = None
    own = packs.pop(CORE, {})
    packs.pop("", None)
    said = ""
    if own:
        said += f" A newer or complete ComfyUI has {', '.join(own)}."
    if packs:
        listed = ", ".join(f"{pack} ({', '.join(types)})" for pack, types in packs.items())
        said += f" Custom nodes to install: {listed}."
    if wiring:
        said += f" Nodes that exist in ComfyUI's editor alone can be replaced by links: perhaps {', '.join(wiring)}."
    return said


def _may_be_wiring(node: EditorNode) -> bool:
    """Classes of servers have a slot for each widget, in files of present editors; nodes of scripts have none. The
    editor gives an alias to classes of servers alone, and writes a pack beside what a pack registered.
    """
    if _pack(node) or _ALIAS in node.properties:
        return False
    return bool(node.values) and not any(slot.widget for slot in node.inputs)


def _on_simulators(node: EditorNode, servers: tuple[str, ...]) -> str:
    origin = "which is one of ComfyUI's own" if _pack(node) == CORE else "which comes with a custom node"
    kind = f"{node.type}, {origin}," if _pack(node) else node.type
    return (
        f"the node type {kind} is not known here: {_simulators(servers)} only some node types. Connect a real ComfyUI "
        "that has it."
    )


def _simulators(servers: tuple[str, ...]) -> str:
    if len(servers) == 1:
        return f"the only connected server, {_quoted(servers)}, is a simulator, which knows"
    return "all connected servers are simulators, which know"


def _who(real: list[str]) -> str:
    if not real:
        return "the server does not know"
    return f"{_quoted(real)} does not know" if len(real) == 1 else f"none of the servers ({_quoted(real)}) knows"


def _help(node: EditorNode, real: list[str]) -> str:
    pack = _pack(node)
    if pack == CORE:
        return "it is one of ComfyUI's own, so update ComfyUI"
    where = ("on that server, " if len(real) == 1 else "on one of them, ") if real else ""
    return f"{where}install the custom node it comes from" + (f": {pack}" if pack else "")


def _pack(node: EditorNode) -> str:
    """What the file says it comes from: its name in ComfyUI's registry, or its repository."""
    found = (node.properties.get(key) for key in ("cnr_id", "aux_id"))
    return next((value for value in found if isinstance(value, str) and value), "")[:80]


def _quoted(names: list[str] | tuple[str, ...]) -> str:
    shown = ", ".join(f"“{name}”" for name in names[:MOST_NAMED])
    return f"{shown} and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else shown
