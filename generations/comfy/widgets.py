"""Which stored value of an editor node belongs to which input.

The editor keeps values by position, with entries of its own in between (src/scripts/widgets.ts and
src/utils/litegraphUtil.ts of ComfyUI_frontend).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from generations.comfy.editor import EditorNode
from generations.comfy.object_info import InputSpec, NodeSpec

CONTROL_WORDS = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})
_NEVER_WORDS = frozenset({"INT", "FLOAT", "BOOLEAN"})
# Sent by the editor although the class does not know them; they take a place among the positions, too.
_AUDIO = {"audioUI": ""}
_COMPANIONS: dict[str, dict[str, str]] = {
    "LoadAudio": _AUDIO,
    "SaveAudio": _AUDIO,
    "SaveAudioMP3": _AUDIO,
    "SaveAudioOpus": _AUDIO,
    "PreviewAudio": _AUDIO,
    "Preview3D": {"image": ""},
    "Preview3DAnimation": {"image": ""},
    "SaveGLB": {"image": ""},
    "PreviewAny": {"preview": ""},
}


def widget_values(node: EditorNode, class_type: str, spec: NodeSpec) -> dict[str, Any]:
    """Input name -> value of each widget: what was stored, else the default of the class.

    Values are taken as they are: neither clamped nor converted, and null stays null.
    """
    stored = _by_name(node, spec) if isinstance(node.values, Mapping) else _by_position(node, spec)
    buttons = {"refresh": "refresh"} if any(each.has_refresh_button for each in spec.inputs) else {}
    return {**stored, **buttons, **_COMPANIONS.get(class_type, {})}


def _by_name(node: EditorNode, spec: NodeSpec) -> dict[str, Any]:
    values = node.values if isinstance(node.values, Mapping) else {}
    found: dict[str, Any] = {}
    for each in _widgets(spec.inputs, node):
        for one in _with_sub_inputs(each, values.get(each.name, _default(each))):
            found[one.name] = values.get(one.name, _default(one))
    return found


def _by_position(node: EditorNode, spec: NodeSpec) -> dict[str, Any]:
    values = list(node.values) if isinstance(node.values, Sequence) else []
    values = _without_dummies(values, spec)
    found: dict[str, Any] = {}
    pending = list(_widgets(spec.inputs, node))
    while pending:
        each = pending.pop(0)
        if values and each.type in _NEVER_WORDS and isinstance(values[0], str) and values[0] in CONTROL_WORDS:
            del values[0]  # the class had a control there when the file was saved
        value = values.pop(0) if values else _default(each)
        found[each.name] = value
        _drop_control(values, each)
        pending[:0] = [one for one in _with_sub_inputs(each, value)[1:] if one.is_widget]
    return found


def expected_length(node: EditorNode, spec: NodeSpec) -> int:
    """How many positions the widgets of this node take when all are stored."""
    return sum(1 + each.control_values for each in _widgets(spec.inputs, node))


def _widgets(inputs: Iterable[InputSpec], node: EditorNode) -> Iterator[InputSpec]:
    """Inputs that have a widget: by their type, or because an extension gave them one, as the file shows."""
    shown = {slot.widget for slot in node.inputs if slot.widget}
    return (each for each in inputs if each.is_widget or (each.name in shown and not each.is_forced_link))


def _with_sub_inputs(spec: InputSpec, value: object) -> list[InputSpec]:
    """The input, and what the chosen option of a dynamic combo brings along."""
    return [spec, *(spec.sub_inputs.get(value, ()) if isinstance(value, str) else ())]


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


def _default(spec: InputSpec) -> Any:
    if spec.default is not None:
        return spec.default
    if spec.sub_inputs:
        return next(iter(spec.sub_inputs))
    if spec.choices:
        return spec.choices[0]
    return {"INT": 0, "FLOAT": 0, "BOOLEAN": False}.get(spec.type, "")


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
