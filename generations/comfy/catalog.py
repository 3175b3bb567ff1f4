"""What a graph needs of a server, and what a server has: both in short, so that they are compared without the graph
and without the megabytes of /object_info.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from generations.comfy.graph import (
    OWN_OPTIONS,
    ClassInput,
    Graph,
    InputKey,
    constant_texts,
    is_given,
    is_link,
    is_model_file,
    node_classes,
)
from generations.comfy.object_info import InputSpec, ObjectInfo, read_node_spec

Value: TypeAlias = tuple[str, str, str | int | float]  # node class, input, what it is set to
Bounds: TypeAlias = tuple[float | None, float | None]
# One kind of node of a graph: [class, {input: its number, or null for whatever else is there}, classes at its ends].
# ComfyUI checks only what an output needs; whether a class is an output is for each server to say.
NodeNeed: TypeAlias = Sequence[Any]
MAX_ENDS = 100


def node_needs(graph: Graph, *, leaving_out: Container[InputKey] = ()) -> list[NodeNeed]:
    """A row for each kind of node in the graph; the numbers of the inputs `leaving_out` are left open."""
    ends = _ends(graph)
    rows = {}
    for node_id, node in graph.items():
        given = {
            name: value if is_number(value) and (node_id, name) not in leaving_out else None
            for name, value in sorted(node["inputs"].items())
        }
        row = [node["class_type"], given, sorted(ends[node_id])]
        rows[json.dumps(row)] = row
    return [rows[key] for key in sorted(rows)]


def is_number(value: object) -> bool:
    """True for what JSON calls a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ends(graph: Graph) -> dict[str, set[str]]:
    """Node id -> the classes of the nodes at the ends of what it feeds: its own, when nothing takes anything of it.

    MAX_ENDS of them: what comes before thousands of ends would have a row as long for each of its nodes.
    """
    feeds: dict[str, set[str]] = {node_id: set() for node_id in graph}
    sources: dict[str, list[str]] = {node_id: [] for node_id in graph}  # in order: the same ones are kept each time
    for node_id, node in graph.items():
        for value in node["inputs"].values():
            if is_link(value) and value[0] in graph:
                feeds[value[0]].add(node_id)
                sources[node_id].append(value[0])
    found: dict[str, set[str]] = {node_id: set() for node_id in graph}
    pending = [(node_id, graph[node_id]["class_type"]) for node_id, fed in feeds.items() if not fed]
    while pending:
        node_id, end = pending.pop()
        if end not in found[node_id] and len(found[node_id]) < MAX_ENDS:
            found[node_id].add(end)
            pending += [(source, end) for source in sources[node_id]]
    return found


def as_values(rows: Iterable[Sequence[Any]]) -> tuple[Value, ...]:
    """Values that JSON has as lists, as the tuples that they were."""
    return tuple((str(node), str(name), value) for node, name, value in rows)


def digest_of(object_info: ObjectInfo) -> str:
    """The same for the same node classes, whatever their order. 32 characters; "" when there are none."""
    text = json.dumps(object_info, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest() if object_info else ""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a server must have for a run: its node classes, what their inputs are set to, and which of them are set."""

    classes: Sequence[str]
    values: Sequence[Value] = ()
    nodes: Sequence[NodeNeed] = ()

    def with_values(self, values: Iterable[Value]) -> Needs:
        """The same, and these."""
        return Needs(self.classes, [*self.values, *values], self.nodes)


def graph_needs(graph: Graph, *, leaving_out: Container[InputKey] = ()) -> Needs:
    """What the graph needs, but for what the inputs `leaving_out` are set to."""
    values = sorted(set(constant_texts(graph, leaving_out=leaving_out)))
    return Needs(sorted(node_classes(graph)), values, node_needs(graph, leaving_out=leaving_out))


def _every(specs: Iterable[InputSpec]) -> Iterator[InputSpec]:
    """The inputs, and those that their choices bring along."""
    for spec in specs:
        yield spec
        for more in spec.sub_inputs.values():
            yield from _every(more)


@dataclass(frozen=True, slots=True)
class Catalog:
    """What one server has."""

    classes: frozenset[str]
    choices: Mapping[ClassInput, frozenset[str]] = field(default_factory=dict)  # of combos, but for those of files
    bounds: Mapping[ClassInput, Bounds] = field(default_factory=dict)  # the least and greatest number
    required: Mapping[str, Sequence[InputSpec]] = field(default_factory=dict)
    inputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # class -> input, nested ones too -> its type
    outputs: frozenset[str] = frozenset()  # classes whose results ComfyUI keeps

    @classmethod
    def read(cls, object_info: ObjectInfo) -> Catalog:
        """From an answer of /object_info."""
        specs = [read_node_spec(name, info) for name, info in object_info.items()]
        inputs = [(node.class_type, spec) for node in specs for spec in node.inputs]
        return cls(
            classes=frozenset(object_info),
            choices={
                (node, spec.name): frozenset(map(str, spec.choices))
                for node, spec in inputs
                if spec.choices is not None and spec.file is None and node != OWN_OPTIONS
            },
            bounds={
                (node, spec.name): (spec.min, spec.max)
                for node, spec in inputs
                if spec.type in {"INT", "FLOAT"} and (spec.min is not None or spec.max is not None)
            },
            required={node.class_type: tuple(each for each in node.inputs if each.required) for node in specs},
            inputs={node.class_type: {each.name: each.type for each in _every(node.inputs)} for node in specs},
            outputs=frozenset(node.class_type for node in specs if node.is_output_node),
        )

    def missing(self, needs: Needs) -> list[str]:
        """What this server lacks, in words for people; empty when it can run it."""
        classes = [f"the node type {name}" for name in needs.classes if name not in self.classes]
        values = [fault for value in needs.values if (fault := self.refused(*value))]
        inputs = [fault for node in needs.nodes for fault in self._faults(*node)]
        return list(dict.fromkeys([*classes, *values, *inputs]))

    def refused(self, node_class: str, name: str, value: str | float) -> str:
        """Why that input does not take the value; "" if it does, as far as is known."""
        if isinstance(value, int | float):
            low, high = self.bounds.get((node_class, name), (None, None))
            if low is not None and value < low:
                return f"support for {value} as “{name}” of {node_class} (at least {low})"
            if high is not None and value > high:
                return f"support for {value} as “{name}” of {node_class} (at most {high})"
        text = str(value)
        if text in self.choices.get((node_class, name), {text}):
            return ""
        return f"the file {text}" if is_model_file(text) else f"the choice “{text}” for “{name}” of {node_class}"

    def _faults(self, node_class: str, given: Mapping[str, Any], ends: Iterable[str]) -> Iterator[str]:
        if node_class not in self.classes or self.outputs.isdisjoint(ends):
            return  # the class is missing anyway, or no result needs this node
        for spec in self.required.get(node_class, ()):
            if not is_given(spec, given):
                yield f"support for {node_class} without its input “{spec.name}”"
        for name, value in given.items():
            if value is not None and (fault := self.refused(node_class, name, value)):
                yield fault
