"""Primitive nodes: they write their value into the widgets that they are connected to, whatever their mode.

Sources: src/extensions/core/widgetInputs.ts and src/utils/nodeDefUtil.ts of ComfyUI_frontend.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any, TypeAlias

from generations.comfy.editor import PRIMITIVE, Definition, EditorNode, Slot, Workflow, class_of
from generations.comfy.kinds import ABSENT
from generations.comfy.object_info import InputSpec, ObjectInfo
from generations.comfy.troubles import Spend
from generations.comfy.widgets import as_typed, held_values, read_widgets

# (id() of the node that has the widget, name of the widget) -> value
Typed: TypeAlias = dict[tuple[int, str], Any]


def typed_values(workflow: Workflow, object_info: ObjectInfo, spend: Spend, *, is_old: bool) -> Typed:
    """What primitive nodes write where. Editors of 2025 only let those outside of sub-graphs do so."""
    return _Primitives(workflow, object_info, spend).all([] if is_old else list(workflow.subgraphs.values()))


class _Primitives:
    def __init__(self, workflow: Workflow, object_info: ObjectInfo, spend: Spend) -> None:
        self.root = workflow.root
        self.object_info = object_info
        self.spend = spend
        self.typed: Typed = {}

    def all(self, subgraphs: list[Definition]) -> Typed:
        for definition in (self.root, *subgraphs):
            fed: dict[str, list[tuple[EditorNode, Slot]]] = {}
            for link_id, link in definition.links.items():
                origin, target = definition.nodes.get(link.origin_id), definition.nodes.get(link.target_id)
                if origin is None or target is None or origin.type != PRIMITIVE:
                    continue
                self.spend(1 + len(target.inputs))
                slot = target.taking(link_id)
                if slot is not None:
                    fed.setdefault(origin.id, []).append((target, slot))
            for node_id, targets in fed.items():
                self._write(definition.nodes[node_id], targets)
        return self.typed

    def _write(self, primitive: EditorNode, targets: list[tuple[EditorNode, Slot]]) -> None:
        specs = [self._spec(node, slot) for node, slot in targets]
        value = self._value(primitive, targets[0], specs[0])
        if value is ABSENT:
            return
        bounds = _common(specs)
        for (node, _slot), spec in zip(targets, specs, strict=True):
            if spec is not None:
                self.typed[id(node), spec.name] = as_typed(value, replace(spec, **bounds))

    def _spec(self, node: EditorNode, slot: Slot) -> InputSpec | None:
        """The widget's description; None for a socket."""
        spec = class_of(node, self.object_info)
        found = spec.input(slot.name) if spec else None
        return found if found is not None and (found.is_widget or slot.widget) else None

    def _value(self, primitive: EditorNode, first: tuple[EditorNode, Slot], spec: InputSpec | None) -> Any:
        """What it holds: the first widget's own value, if its own was stored for one of another type."""
        node, slot = first
        kind = (spec.widget_type or spec.type) if spec else slot.type
        if not isinstance(primitive.values, list) or not primitive.values or not _was_of(primitive, kind):
            of_class = class_of(node, self.object_info)
            return held_values(node, of_class, self.spend).get(spec.name, ABSENT) if spec and of_class else ABSENT
        value = primitive.values[0]
        if isinstance(value, str) and primitive.properties.get("Run widget replace on values") is True:
            return self._replaced(value)
        return value

    def _replaced(self, text: str) -> str:
        """The text as it is queued: %Node.widget% is that widget's value, and of {alternatives} the first is taken."""

        def value_of(found: re.Match[str]) -> str:
            name, widget = found[1].split(".", 1)
            self.spend(len(self.root.nodes))
            for node in self.root.nodes.values():
                if name in (node.properties.get("Node name for S&R"), node.title):
                    spec = class_of(node, self.object_info)
                    values = read_widgets(node, spec, self.spend).values if spec else {}
                    return str(values[widget]) if widget in values else found[0]
            return found[0]

        text = re.sub(r"%([^%.]+\.[^%]+)%", value_of, text)
        while True:  # from the inside out: one round for each level of nesting
            self.spend(1 + len(text))
            shorter = re.sub(r"\{([^{}|]*)(\|[^{}]*)?\}", r"\1", text)
            if shorter == text:
                return text
            text = shorter


def _was_of(primitive: EditorNode, kind: str) -> bool:
    return not primitive.outputs or primitive.outputs[0].type == kind


def _common(specs: list[InputSpec | None]) -> dict[str, Any]:
    """The bounds and steps that all connected numbers allow; those that share none with the first keep their own."""
    numbers = [spec for spec in specs if spec is not None and spec.type in {"INT", "FLOAT"}]
    if len(numbers) < 2 or len({spec.type for spec in numbers}) > 1:
        return {}
    low = max(-math.inf if spec.min is None else spec.min for spec in numbers)
    high = min(math.inf if spec.max is None else spec.max for spec in numbers)
    if low > high:
        return {}
    bounds: dict[str, Any] = {"min": None if low == -math.inf else low, "max": None if high == math.inf else high}
    if numbers[0].type == "INT":
        bounds["step"] = math.lcm(*(max(1, int(spec.step or 1)) for spec in numbers))
    return bounds
