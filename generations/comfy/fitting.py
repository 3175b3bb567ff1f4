"""Whether a stored value belongs into an input: by the input's type, bounds and choices.

Source for what a server converts before it judges: execution.py (validate_inputs) of ComfyUI.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import IntEnum

from generations.comfy.kinds import DYNAMIC_COMBO
from generations.comfy.object_info import InputSpec

CONTROL_WORDS = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})
_TEXTS = frozenset({"STRING", "MARKDOWN", "TEXTAREA"})
_JUDGED = _TEXTS | {"INT", "FLOAT", "BOOLEAN", "COMBO", DYNAMIC_COMBO}


class Fit(IntEnum):
    """How well a value fits, from worst to best."""

    NO = 0  # it belongs to another widget: a word in a number, a number among words
    OPAQUE = 1  # null, a list or an object: it says nothing about its place
    CONVERTED = 2  # the server converts or refuses it by itself: "64" or true as a number, 12 as a text, out of bounds
    UNLISTED = 3  # a choice that this server does not offer: a file that it lacks, a newer option; "fixed" as a text
    YES = 4


def fit(value: object, spec: InputSpec, siblings: Iterable[InputSpec] = ()) -> Fit:
    """How well the value fits that input; `siblings` are the node's other inputs, whose choices give away a shift."""
    kind = spec.widget_type or spec.type
    if kind not in _JUDGED or (isinstance(value, list) and spec.is_multiple):
        return Fit.YES
    if value is None or isinstance(value, list | dict):
        return Fit.OPAQUE
    if kind in {"INT", "FLOAT"}:
        return _fit_number(value, spec, is_whole=kind == "INT")
    if kind in _TEXTS:
        return _fit_text(value)
    return _fit_boolean(value) if kind == "BOOLEAN" else _fit_choice(value, spec, siblings)


def _fit_text(value: object) -> Fit:
    if isinstance(value, str):
        return Fit.UNLISTED if value in CONTROL_WORDS else Fit.YES
    return Fit.NO if isinstance(value, bool) else Fit.CONVERTED


def _fit_number(value: object, spec: InputSpec, *, is_whole: bool) -> Fit:
    if isinstance(value, bool):
        return Fit.CONVERTED
    if not isinstance(value, int | float):
        return Fit.CONVERTED if _is_number(value) else Fit.NO
    if isinstance(value, float) and (not math.isfinite(value) or (is_whole and not value.is_integer())):
        return Fit.CONVERTED
    is_within = (spec.min is None or value >= spec.min) and (spec.max is None or value <= spec.max)
    return Fit.YES if is_within else Fit.CONVERTED


def _is_number(value: object) -> bool:
    try:
        return math.isfinite(float(str(value)))
    except ValueError:
        return False


def _fit_boolean(value: object) -> Fit:
    if isinstance(value, bool):
        return Fit.YES
    return Fit.CONVERTED if value in (0, 1, "true", "false", "True", "False") else Fit.NO


def _fit_choice(value: object, spec: InputSpec, siblings: Iterable[InputSpec]) -> Fit:
    if spec.type == DYNAMIC_COMBO:
        return Fit.YES if value in spec.sub_inputs else Fit.NO
    choices = spec.choices or ()
    if value in choices and (not isinstance(value, bool) or any(each is value for each in choices)):
        return Fit.YES
    if isinstance(value, str):
        is_elsewhere = any(value in (each.choices or ()) for each in siblings if each.choices != spec.choices)
        is_misplaced = value in CONTROL_WORDS or (is_elsewhere and bool(choices))
        return Fit.NO if is_misplaced else Fit.UNLISTED if choices else Fit.YES
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Fit.NO
    are_numbers = bool(choices) and all(isinstance(each, int | float) for each in choices)
    return Fit.YES if str(value) in choices else Fit.UNLISTED if are_numbers else Fit.NO


def is_control(value: object) -> bool:
    """True for what may stand behind a seed: the control word, or what older editors and scripts keep in its place."""
    return value == "" or value in CONTROL_WORDS if isinstance(value, str) else value is None or isinstance(value, bool)
