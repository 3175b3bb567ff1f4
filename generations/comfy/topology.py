"""Which inputs the links of a file lead to, where its two records of that disagree.

A link has its target and the number of an input there; an input has the link that it takes. Today's editor goes by the
links: what inputs say only moves a link to another input of its target, the one of that name. Source:
src/lib/litegraph/src/linkDeduplication.ts of ComfyUI_frontend 1.58.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from generations.comfy.editor import INPUT_NODE, Definition, EditorNode, Link, Slot, Workflow, class_of
from generations.comfy.layout import slots_of
from generations.comfy.object_info import ObjectInfo
from generations.comfy.troubles import Spend


def settle_links(workflow: Workflow, object_info: ObjectInfo, spend: Spend) -> dict[int, list[EditorNode]]:
    """Make each node's inputs take the links that lead to them in the editor, and no others.

    Returns nodes where that cannot be told, by id() of their definition: inputs that come and go with a value have
    other numbers while the editor loads them.
    """
    undecided: dict[int, list[EditorNode]] = {}
    for graph in (workflow.root, *workflow.subgraphs.values()):
        spend(len(graph.links))
        leading: dict[str, dict[str, Link]] = {}
        for link_id, link in graph.links.items():
            leading.setdefault(link.target_id, {})[link_id] = link
        for node in graph.nodes.values():
            spend(len(node.inputs))
            links = leading.get(node.id, {})
            definition = workflow.subgraphs.get(node.type)
            if not _agree(node, links, graph, definition):
                slots = editor_slots(workflow, object_info, node)
                spend(len(slots) * (1 + len(links)))
                sound = {
                    key: link for key, link in links.items() if _starts_somewhere(link, graph) or _names(node, key)
                }
                if _is_dynamic(node, object_info) and not all(_names(node, link_id) for link_id in sound):
                    undecided.setdefault(id(graph), []).append(node)
                _settle(node, sound, slots, graph)
    return undecided


def editor_slots(workflow: Workflow, object_info: ObjectInfo, node: EditorNode) -> list[Slot]:
    """The node's inputs as the editor lays them out, whatever of them the file has."""
    definition = workflow.subgraphs.get(node.type)
    if definition is not None:
        saved = {slot.name: slot for slot in node.inputs}
        return [replace(saved.get(slot.name, Slot(slot.name, "")), type=slot.type) for slot in definition.inputs]
    spec = class_of(node, object_info)
    return slots_of(spec, node) if spec is not None else node.inputs


def _agree(node: EditorNode, links: Mapping[str, Link], graph: Definition, definition: Definition | None) -> bool:
    """True when the node's inputs name exactly the links that lead to it, and the sub-graph has those inputs."""
    named = [slot.link for slot in node.inputs if slot.link is not None and slot.link in graph.links]
    if len(named) != len(links) or set(named) != links.keys():
        return False
    known = {slot.name for slot in definition.inputs} if definition is not None else None
    return known is None or all(slot.name in known for slot in node.inputs if slot.link is not None)


def _is_dynamic(node: EditorNode, object_info: ObjectInfo) -> bool:
    spec = class_of(node, object_info)
    return spec is not None and any(each.members or (each.sub_inputs and each.type != "COMBO") for each in spec.inputs)


def _starts_somewhere(link: Link, graph: Definition) -> bool:
    return link.origin_id in graph.nodes or (link.origin_id == INPUT_NODE and link.origin_slot < len(graph.inputs))


def _names(node: EditorNode, link_id: str) -> list[str]:
    return [slot.name for slot in node.inputs if slot.link == link_id]


def _settle(node: EditorNode, links: Mapping[str, Link], slots: Sequence[Slot], graph: Definition) -> None:
    """Give the node the editor's slots with the links that end up there. Links that are missing stay, to be refused."""
    at = _first_places(node, links)
    wanted = {
        link_id: place for link_id in at if (place := _named_place(node, link_id, at[link_id], slots)) is not None
    }
    lost = {link_id for link_id in at if _names(node, link_id) and link_id not in wanted}
    moving = {link_id for link_id, place in wanted.items() if place != at[link_id]}
    while True:
        occupied = {number for link_id, number in at.items() if link_id not in moving and link_id not in lost}
        blocked = {link_id for link_id in moving if wanted[link_id] in occupied}
        if not blocked:
            break
        moving -= blocked
    goals = {wanted[link_id] for link_id in moving}
    taken = {
        at[link_id]: link_id
        for link_id in at
        if link_id not in moving and not (link_id in lost and at[link_id] in goals)
    }
    taken |= {wanted[link_id]: link_id for link_id in moving}
    node.inputs = [
        slot if slot.link is not None and slot.link not in graph.links else replace(slot, link=taken.get(number))
        for number, slot in enumerate(slots)
    ]


def _first_places(node: EditorNode, links: Mapping[str, Link]) -> dict[str, int]:
    """Link -> number of an input, as the links have it: of several to one input, the first that an input names."""
    first: dict[int, str] = {}
    for link_id, link in links.items():
        rival = first.get(link.target_slot)
        if rival is None or (_names(node, link_id) and not _names(node, rival)):
            first[link.target_slot] = link_id
    return {link_id: number for number, link_id in first.items()}


def _named_place(node: EditorNode, link_id: str, number: int, slots: Sequence[Slot]) -> int | None:
    names = _names(node, link_id)
    places = [place for place, slot in enumerate(slots) if slot.name in names]
    return number if number in places else next(iter(places), None)
