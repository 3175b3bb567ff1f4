"""Which stored value of an editor node belongs to which input.

The editor keeps values by position, with entries of its own in between (src/scripts/widgets.ts and
src/utils/litegraphUtil.ts of ComfyUI_frontend).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from generations.comfy.editor import EditorNode
from generations.comfy.kinds import ABSENT
from generations.comfy.layout import as_held, brought_along, chosen_number, default_of, helpers_of, widgets_of
from generations.comfy.object_info import InputSpec, NodeSpec

CONTROL_WORDS = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})
_NEVER_WORDS = frozenset({"INT", "FLOAT", "BOOLEAN"})


def widget_values(node: EditorNode, spec: NodeSpec) -> dict[str, Any]:
    """Input name -> value of each widget: what was stored, else the default of the class.

    Values are taken as they are: neither clamped nor converted.
    """
    found = _by_name(node, spec) if isinstance(node.values, Mapping) else _by_position(node, spec)
    if spec.class_type == "CustomCombo":
        found["index"] = chosen_number(found.get("choice"), found)
    return {name: value for name, value in found.items() if value is not ABSENT}


def _by_name(node: EditorNode, spec: NodeSpec) -> dict[str, Any]:
    values = node.values if isinstance(node.values, Mapping) else {}
    found: dict[str, Any] = {}
    pending = widgets_of(spec, node)
    while pending:
        each = pending.pop(0)
        value = values.get(each.name, default_of(each))
        found |= _sent(each, value)
        pending[:0] = brought_along(each, value)
    return found


def _by_position(node: EditorNode, spec: NodeSpec) -> dict[str, Any]:
    values = list(node.values) if isinstance(node.values, Sequence) else []
    values = _without_dummies(values, spec)
    found: dict[str, Any] = {}
    pending = widgets_of(spec, node)
    while pending:
        each = pending.pop(0)
        if values and each.type in _NEVER_WORDS and isinstance(values[0], str) and values[0] in CONTROL_WORDS:
            del values[0]  # the class had a control there when the file was saved
        is_kept = each.kind is None or each.kind.is_kept
        value = as_held(values.pop(0), each, is_old=spec.is_old) if values and is_kept else default_of(each)
        found |= _sent(each, value)
        del values[: helpers_of(each)]
        _drop_control(values, each)
        pending[:0] = brought_along(each, value)
    return found


def _sent(spec: InputSpec, value: Any) -> dict[str, Any]:
    if spec.kind is not None and not spec.kind.is_sent:
        return {}
    buttons = {"refresh": "refresh"} if spec.has_refresh_button else {}
    return {spec.name: value, **buttons}


def expected_length(node: EditorNode, spec: NodeSpec) -> int:
    """How many positions the widgets of this node take when all are stored."""
    return sum(
        1 + each.control_values + helpers_of(each)
        for each in widgets_of(spec, node)
        if each.kind is None or each.kind.is_kept
    )


def _drop_control(values: list[Any], spec: InputSpec) -> None:
    """Take off the control word behind a value, if there is one: older files have none, a yes or no, or a null."""
    if not spec.control_values or not values:
        return
    word = values[0]
    if word in CONTROL_WORDS if isinstance(word, str) else word is None or isinstance(word, bool):
        del values[0]
        if spec.control_values == 2 and values and isinstance(values[0], str):
            del values[0]


def _without_dummies(values: list[Any], spec: NodeSpec) -> list[Any]:
    """Files of old editors have a value for inputs that can only be linked, too: recognised by their number."""
    shown = [each for each in spec.inputs if each.is_widget or each.is_forced_link]
    if not any(each.is_forced_link for each in shown):
        return values
    if sum(2 if each.control_values else 1 for each in shown) != len(values):
        return values
    kept: list[Any] = []
    position = 0
    for each in shown:
        length = 2 if each.control_values else 1
        if not each.is_forced_link:
            kept += values[position : position + length]
        position += length
    return kept


def as_typed(value: Any, spec: InputSpec) -> Any:
    """The value as the widget would keep it after being typed in: on its steps, to its precision, within bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return value
    if spec.type == "INT":
        step = int(spec.step) if spec.step and spec.step >= 1 else 1
        offset = int(spec.min or 0) % step
        # Half a step up, in whole numbers: seeds reach 2**64-1.
        return _within(spec, (2 * (int(value) - offset) + step) // (2 * step) * step + offset)
    if spec.type == "FLOAT":
        digits = max(0, -math.floor(math.log10(spec.step))) if spec.step and spec.step > 0 else 1
        # Ties go up, as in JavaScript; Python's round() goes to the even digit.
        return _within(spec, math.floor(value * 10**digits + 0.5) / 10**digits)
    return value


def _within(spec: InputSpec, value: float) -> float:
    value = value if spec.min is None else max(value, spec.min)
    return value if spec.max is None else min(value, spec.max)
