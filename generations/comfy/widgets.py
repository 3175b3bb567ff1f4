"""Which stored value of an editor node belongs to which input.

Names decide where the file has them. Positions are what the editor itself goes by: they are taken where every value
fits its input, else another layout if exactly one fits; else the node is refused, and nothing guessed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from generations.comfy.editor import EditorNode
from generations.comfy.fitting import Fit, fit
from generations.comfy.kinds import ABSENT
from generations.comfy.layout import as_held, chosen_number, default_of, places_of, widgets_of
from generations.comfy.object_info import InputSpec, NodeSpec
from generations.comfy.positions import Layout, as_the_editor, by_name, others, says_nothing
from generations.comfy.scripted import FORMER_NAMES, added_values, has_values_of_its_own
from generations.comfy.troubles import Spend
from generations.comfy.view3d import VIEWS, view

_SAMPLERS = frozenset({"KSampler", "KSamplerAdvanced"})  # their choices had a prefix once
# Names under which the editor and common scripts keep what they never send.
_NEVER_SENT = frozenset(
    {"control_after_generate", "control_before_generate", "control_filter_list", "upload", "videopreview"}
    | {"audioUI", "preview", "refresh", "choose file to upload"}
)


@dataclass(slots=True)
class Reading:
    """Input name -> value of each widget, as it is sent.

    `refusals` say why the values cannot be trusted, `notes` what an admin should look at; both are sentences about the
    node, with a small letter first.
    """

    values: dict[str, Any]
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _for_free(_steps: int) -> None:
    pass


def read_widgets(node: EditorNode, spec: NodeSpec, spend: Spend = _for_free) -> Reading:
    """What was stored for each widget, else the default of the class. Values are neither clamped nor converted.

    `spend` takes the steps that it costs to find their places; whoever reads what was converted before can do without.
    """
    reading = Reading({})
    layout = _layout_of(node, spec, widgets_of(spec, node), reading, spend)
    values = _held(node, spec, layout)
    for each in layout.specs:
        if each.is_sent and values[each.name] is not ABSENT:
            reading.values[each.name] = values[each.name]
        if each.has_refresh_button:
            reading.values["refresh"] = "refresh"
    reading.values |= added_values(spec.class_type, node)
    return reading


def held_values(node: EditorNode, spec: NodeSpec, spend: Spend) -> dict[str, Any]:
    """Name -> value of each widget, those that are not sent included; ABSENT for a widget without a value."""
    return _held(node, spec, _layout_of(node, spec, widgets_of(spec, node), Reading({}), spend))


def _held(node: EditorNode, spec: NodeSpec, layout: Layout) -> dict[str, Any]:
    """The values as the editor has them once the workflow is loaded."""
    values = {
        each.name: as_held(layout.found[each.name], each, is_old=spec.is_old) if each.is_kept else default_of(each)
        for each in layout.specs
    }
    sampler = values.get("sampler_name")
    if spec.class_type in _SAMPLERS and isinstance(sampler, str):
        values["sampler_name"] = sampler.removeprefix("sample_")
    if spec.class_type == "CustomCombo":
        values["index"] = chosen_number(values.get("choice"), values)
    if spec.class_type in VIEWS and "viewport_state" in values:
        values["viewport_state"] = view(node.properties, values.get("width"), values.get("height"))
    return values


def _layout_of(
    node: EditorNode, spec: NodeSpec, widgets: Sequence[InputSpec], reading: Reading, spend: Spend
) -> Layout:
    if node.properties.get("has_serialized_properties") is True:
        return _from_properties(node, widgets, reading)
    if node.named is not None or isinstance(node.values, Mapping):
        return _from_names(node, spec, widgets, reading)
    return _from_positions(node, spec, widgets, reading, spend)


def expected_length(node: EditorNode, spec: NodeSpec) -> int:
    """How many positions the widgets of this node take when all are stored."""
    return sum(places_of(each) for each in widgets_of(spec, node))


def _linked(node: EditorNode) -> frozenset[str]:
    return frozenset(slot.widget or slot.name for slot in node.inputs if slot.link is not None)


# --------------------------------------------------------------------------------------------- names
def _from_properties(node: EditorNode, widgets: Sequence[InputSpec], reading: Reading) -> Layout:
    """The scripts of some nodes keep the values as properties, and restore them from there."""
    linked = _linked(node)
    for each in widgets:
        if each.name not in node.properties and each.name not in linked:
            reading.refusals.append(
                f"its values are kept as properties of the node, and “{each.name}” is not among them."
            )
    return by_name(node.properties, widgets)


def _from_names(node: EditorNode, spec: NodeSpec, widgets: Sequence[InputSpec], reading: Reading) -> Layout:
    names = {**(node.named or {}), **(node.values if isinstance(node.values, Mapping) else {})}
    for (class_type, name), former in FORMER_NAMES.items():
        if class_type == spec.class_type and former in names:
            names.setdefault(name, names.pop(former))
    layout = by_name(names, widgets)
    if isinstance(node.values, list) and node.named is not None:
        layout = _settled(node, spec, widgets, layout, reading)
    _take_added(names, layout, spec, reading)
    return layout


def _take_added(names: Mapping[str, Any], layout: Layout, spec: NodeSpec, reading: Reading) -> None:
    """Values for names that the class does not have: of widgets of its script, or of inputs of a newer version."""
    if has_values_of_its_own(spec.class_type):
        return
    for name, value in names.items():
        if name in layout.found or name in _NEVER_SENT or spec.input(name) is not None or says_nothing(value):
            continue
        if spec.is_custom:
            reading.values[name] = value
            reading.notes.append(f"“{name}” is {shown(value)}, the value of a widget that a script adds; it is sent.")
        else:
            reading.notes.append(
                f"the file has {shown(value)} for “{name}”, which this node does not have here; it is left out."
            )


def _settled(node: EditorNode, spec: NodeSpec, widgets: Sequence[InputSpec], named: Layout, reading: Reading) -> Layout:
    """A value that was edited in the list alone counts, because the editor goes by the list.

    Only where the list has the places of the names; else the class or a script changed them, and the names are right.
    """
    linked = _linked(node)
    names = node.named or {}
    values = list(node.values or ())
    listed = as_the_editor(values, spec, widgets)
    at_odds = [
        each
        for each in listed.specs
        if each.name not in linked and each.is_sent and listed.found[each.name] != named.found.get(each.name)
    ]
    if not at_odds or values == list(names.values()) or not _has_places_of(names, listed, len(values)):
        return named
    edited = at_odds[0]
    value, other = listed.found[edited.name], named.found.get(edited.name)
    if len(at_odds) > 1 and not listed.surplus:
        names_at_odds = ", ".join(f"“{each.name}”" for each in at_odds)
        reading.refusals.append(f"the file has different values of {names_at_odds} by position and by name.")
    elif len(at_odds) == 1 and fit(value, edited, listed.specs) >= Fit.UNLISTED and not says_nothing(value):
        reading.notes.append(
            f"the file has two values of “{edited.name}”; {shown(value)} is taken, as in the editor, and not "
            f"{shown(other)}."
        )
        return listed
    return named


def _has_places_of(named: Mapping[str, Any], listed: Layout, length: int) -> bool:
    """True when the file's names are those of the list's places, in the same order, and no place is missing."""
    places: dict[str, None] = {}
    for each in listed.specs:
        if each.is_kept:
            controls = ["control_after_generate", "control_filter_list"][: each.control_values]
            places |= dict.fromkeys([each.name, *controls])
    count = sum(places_of(each) for each in listed.specs)
    is_filled = length == count + len(listed.surplus) and all(says_nothing(each) for each in listed.surplus)
    return is_filled and [name for name in named if name in places] == list(places)


# --------------------------------------------------------------------------------------------- positions
def _from_positions(
    node: EditorNode, spec: NodeSpec, widgets: Sequence[InputSpec], reading: Reading, spend: Spend
) -> Layout:
    values = list(node.values) if isinstance(node.values, list) else []
    linked = _linked(node)
    layout = as_the_editor(values, spec, widgets)
    is_script = has_values_of_its_own(spec.class_type)
    surplus = [] if is_script else [each for each in layout.surplus if not says_nothing(each)]
    fitting, culprit = layout.worst(linked)
    is_certain = fitting is Fit.YES or (fitting is Fit.UNLISTED and not layout.surplus)
    if is_certain and not layout.is_doubtful and not surplus:
        return layout
    candidates = others(values, spec, widgets, linked, spend)
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        reading.refusals.append(_ambiguity(candidates, linked))
    elif layout.misplaced or (culprit and (fitting is Fit.NO or (fitting is Fit.CONVERTED and surplus))):
        reading.refusals.append(_displaced(layout, culprit))
    else:
        reading.notes += _doubts(layout, surplus, linked)
    return layout


def _displaced(layout: Layout, culprit: InputSpec | None) -> str:
    if layout.misplaced or culprit is None:
        return (
            f"its values are not at the positions of its inputs: {shown(layout.misplaced[0])} stands where the editor "
            "keeps the control word of a seed."
        )
    return misfit(culprit, layout.found[culprit.name])


def _doubts(layout: Layout, surplus: Iterable[Any], linked: frozenset[str]) -> Iterator[str]:
    """Values that no input takes, and those that could be anything."""
    for value in surplus:
        yield f"the file has {shown(value)}, which none of its inputs takes; it is left out."
    for each in layout.specs:
        if each.name not in linked and fit(layout.found[each.name], each) is Fit.OPAQUE:
            yield f"its input “{each.name}” holds {shown(layout.found[each.name])}."


def _ambiguity(candidates: Sequence[Layout], linked: frozenset[str]) -> str:
    one, other = candidates[:2]
    names = [each for each in one.found if each not in linked and one.found[each] != other.found.get(each)]
    name = next(iter(names), next(iter(other.found), ""))
    return (
        f"its values may belong to its inputs in more than one way: “{name}” could be {shown(one.found.get(name))} or "
        f"{shown(other.found.get(name))}."
    )


def misfit(spec: InputSpec, value: object) -> str:
    """A sentence about a value that does not fit its input."""
    kind = spec.widget_type or spec.type
    belongs = {"INT": "a whole number", "FLOAT": "a number", "BOOLEAN": "yes or no", "STRING": "a text"}.get(kind)
    reason = f"where {belongs} belongs" if belongs else "which is not one of its options"
    return f"its input “{spec.name}” holds {shown(value)}, {reason}."


def shown(value: object) -> str:
    """The value in a sentence: as JSON, its first 60 characters."""
    return json.dumps(value, ensure_ascii=False, default=str)[:60]


# --------------------------------------------------------------------------------------------- typing
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
