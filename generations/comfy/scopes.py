"""Where the nodes of a workflow are, once its sub-graphs and groups are opened.

Source: src/lib/litegraph/src/subgraph/SubgraphNode.ts of ComfyUI_frontend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from generations.comfy import editor
from generations.comfy.editor import Definition, EditorNode, Workflow
from generations.comfy.graph import GraphProblem
from generations.comfy.object_info import ObjectInfo, is_old
from generations.comfy.troubles import ConversionError, Troubles
from generations.comfy.widgets import expected_length, read_widgets

MAX_DEPTH = 20
STEPS_OF_INSTANCE = 150


@dataclass(slots=True)
class Scope:
    """One place where a definition is used: the workflow itself, or an instance of a sub-graph or group in it."""

    definition: Definition
    path: str = ""
    instance: EditorNode | None = None
    parent: Scope | None = None
    depth: int = 0
    promoted: Mapping[str, Any] = field(default_factory=dict)  # input name -> value of the instance's widget
    fixed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # inner id -> input -> value (groups)

    def id_of(self, node: EditorNode) -> str:
        """The id that a node in here has in the graph: the instances around it come before its own."""
        return f"{self.path}{node.id}"


class Scopes:
    """The workflow and the insides of its instances and groups, each opened when it is asked for."""

    def __init__(self, workflow: Workflow, object_info: ObjectInfo, troubles: Troubles) -> None:
        self.workflow = workflow
        self.object_info = object_info
        self.troubles = troubles
        self.is_old = is_old(object_info)
        self.root = Scope(workflow.root)
        self.children: dict[str, Scope] = {}

    def child(self, scope: Scope, node: EditorNode) -> Scope | None:
        """The inside of a sub-graph or group node; None for any other node."""
        path = f"{scope.id_of(node)}:"
        if path in self.children:
            return self.children[path]
        group = self.workflow.group_of(node)
        definition = self.workflow.subgraphs.get(node.type)
        if group is not None:
            self.troubles.spend(editor.size_of_group(self.workflow.groups[group]))
            definition = editor.read_group(self.workflow.groups[group], node)
        if definition is None:
            return None
        if scope.depth >= MAX_DEPTH:
            message = f"Sub-graphs are nested more than {MAX_DEPTH} deep here; one of them may contain itself."
            raise ConversionError([GraphProblem(scope.id_of(node), node.title or node.type, message)])
        self.troubles.spend(STEPS_OF_INSTANCE)
        child = Scope(definition, path, node, scope, scope.depth + 1)
        if group is not None:
            child.fixed = self._group_values(scope, definition, node)
        elif not self.is_old or not scope.path or scope.definition.number > definition.number:
            # Editors of 2025 lost the values of an instance inside a definition that is listed before its own.
            child.promoted = node.promoted
        self.children[path] = child
        return child

    def _group_values(self, scope: Scope, definition: Definition, instance: EditorNode) -> dict[str, dict[str, Any]]:
        """A group node keeps the values of its inner nodes one after the other, without those that are linked."""
        values = list(instance.values) if isinstance(instance.values, list) else []
        found: dict[str, dict[str, Any]] = {}
        for node in definition.nodes.values():
            spec = editor.class_of(node, self.object_info)
            if spec is None:
                continue
            linked = {slot.widget for slot in node.inputs if slot.widget and slot.link is not None}
            # Widgets that the editors of 2025 added to a node by themselves have no place in a group.
            free = replace(spec, inputs=tuple(each for each in spec.inputs if each.name not in linked), is_old=False)
            length = expected_length(node, free)
            own, values = values[:length], values[length:]
            if own:
                reading = read_widgets(EditorNode(node.id, node.type, values=own), free, self.troubles.spend)
                for refusal in reading.refusals:
                    self.troubles.refuse(scope, instance, f"in its node “{node.title or node.type}”, {refusal}")
                found[node.id] = {name: value for name, value in reading.values.items() if name not in linked}
        return found
