"""What changed from one version of a template to another: nodes, inputs, parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from generations.comfy.graph import Graph, is_link, node_title
from generations.parameters.roles import with_roles

Kind: TypeAlias = Literal["added", "removed", "changed"]


class Comparable(Protocol):
    """A version or a draft."""

    graph: Any
    parameters: Any
    output_nodes: Any
    safety_node: str


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `what` names the node, input or parameter; `before` and `after` are texts, "" for nothing."""

    kind: Kind
    what: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """All differences, in the order of the newer one."""

    nodes: list[Change]
    inputs: list[Change]
    parameters: list[Change]

    def __bool__(self) -> bool:
        return bool(self.nodes or self.inputs or self.parameters)


def compare(old: Comparable, new: Comparable) -> Changes:
    """From `old` to `new`."""
    return Changes(
        nodes=[*_nodes(old.graph, new.graph), *_kept(old, new)],
        inputs=list(_inputs(old.graph, new.graph)),
        parameters=list(_parameters(old, new)),
    )


def _nodes(old: Graph, new: Graph) -> Iterator[Change]:
    for node_id in [*new, *(each for each in old if each not in new)]:
        before, after = old.get(node_id), new.get(node_id)
        if before is None or after is None:
            graph = new if before is None else old
            yield Change("added" if before is None else "removed", _named(graph, node_id))
        elif before["class_type"] != after["class_type"]:
            yield Change("changed", _named(new, node_id), before["class_type"], after["class_type"])


def _named(graph: Graph, node_id: str) -> str:
    title, class_type = node_title(graph, node_id), graph[node_id]["class_type"]
    return f"{title} ({node_id})" if title == class_type else f"{title} ({class_type}, {node_id})"


def _kept(old: Comparable, new: Comparable) -> Iterator[Change]:
    if old.output_nodes != new.output_nodes:
        before, after = (_titles(each.graph, each.output_nodes) for each in (old, new))
        yield Change("changed", "Results that are kept", before, after)
    if old.safety_node != new.safety_node:
        before, after = (node_title(each.graph, each.safety_node) for each in (old, new))
        yield Change("changed", "Tells whether results are safe", before, after)


def _titles(graph: Graph, node_ids: Sequence[str]) -> str:
    return ", ".join(node_title(graph, node_id) for node_id in node_ids) or "all"


def _inputs(old: Graph, new: Graph) -> Iterator[Change]:
    for node_id, node in new.items():
        if node_id in old:
            before, after = old[node_id]["inputs"], node["inputs"]
            place = node_title(new, node_id)
            yield from _differences(
                {name: _shown(value, old) for name, value in before.items()},
                {name: _shown(value, new) for name, value in after.items()},
                f"{place} ({node_id}) · ",
            )


def _shown(value: object, graph: Graph) -> str:
    if isinstance(value, list) and is_link(value):
        return f"from {node_title(graph, str(value[0]))} ({value[0]}), output {value[1]}"
    return "yes" if value is True else "no" if value is False else str(value)


def _differences(before: Mapping[str, str], after: Mapping[str, str], prefix: str) -> Iterator[Change]:
    for name in [*after, *(each for each in before if each not in after)]:
        if name not in before:
            yield Change("added", f"{prefix}{name}", "", after[name])
        elif name not in after:
            yield Change("removed", f"{prefix}{name}", before[name])
        elif before[name] != after[name]:
            yield Change("changed", f"{prefix}{name}", before[name], after[name])


def _parameters(old: Comparable, new: Comparable) -> Iterator[Change]:
    before, after = ({each.get("name", ""): each for each in with_roles(side.parameters)} for side in (old, new))
    for name in [*after, *(each for each in before if each not in after)]:
        if name not in before or name not in after:
            found = after.get(name) or before[name]
            yield Change("added" if name not in before else "removed", found.get("label") or name)
        else:
            label = after[name].get("label") or name
            yield from _differences(
                _settings(before[name], old.graph), _settings(after[name], new.graph), f"{label} · "
            )
    common = [name for name in after if name in before]
    if common != [name for name in before if name in after]:
        yield Change("changed", "Order", ", ".join(before), ", ".join(after))


def _settings(definition: Mapping[str, Any], graph: Graph) -> dict[str, str]:
    found = {name: _text(value) for name, value in definition.items() if name not in {"bindings", "name"}}
    places = (f"{node_title(graph, each['node_id'])} · {each['input_name']}" for each in definition["bindings"])
    return {name: text for name, text in found.items() if text} | {"sets": ", ".join(places)}


def _text(value: object) -> str:
    if value is None or value is False or value == "":
        return ""
    return "yes" if value is True else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
