"""Whether a stored value belongs into an input."""

from __future__ import annotations

import pytest

from generations.comfy.fitting import Fit, fit, is_control
from generations.comfy.object_info import InputSpec

WHOLE = InputSpec("steps", "INT", min=1, max=50)
CHOICE = InputSpec("sampler", "COMBO", choices=("euler", "dpmpp_2m"))
FLAG, TEXT, PICTURE = InputSpec("on", "BOOLEAN"), InputSpec("prompt", "STRING"), InputSpec("image", "IMAGE")


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [
        (20, WHOLE, Fit.YES),
        (20.0, WHOLE, Fit.YES),
        (20.5, WHOLE, Fit.CONVERTED),
        (51, WHOLE, Fit.CONVERTED),
        ("20", WHOLE, Fit.CONVERTED),
        (True, WHOLE, Fit.CONVERTED),
        (float("nan"), WHOLE, Fit.CONVERTED),
        ("euler", WHOLE, Fit.NO),
        (None, WHOLE, Fit.OPAQUE),
        ([1], WHOLE, Fit.OPAQUE),
        ("a fox", TEXT, Fit.YES),
        ("fixed", TEXT, Fit.UNLISTED),
        (12, TEXT, Fit.CONVERTED),
        (True, TEXT, Fit.NO),
        (False, FLAG, Fit.YES),
        ("true", FLAG, Fit.CONVERTED),
        ("a fox", FLAG, Fit.NO),
        ("euler", CHOICE, Fit.YES),
        ("new_sampler", CHOICE, Fit.UNLISTED),
        ("randomize", CHOICE, Fit.NO),
        (7, CHOICE, Fit.NO),
        ({}, PICTURE, Fit.YES),
    ],
)
def test_a_value_is_judged_by_type_bounds_and_choices(value: object, spec: InputSpec, expected: Fit) -> None:
    assert fit(value, spec) == expected


def test_a_choice_of_another_input_gives_a_shift_away() -> None:
    scheduler = InputSpec("scheduler", "COMBO", choices=("karras", "simple"))
    assert fit("karras", CHOICE) == Fit.UNLISTED
    assert fit("karras", CHOICE, [CHOICE, scheduler]) == Fit.NO


@pytest.mark.parametrize("value", ["fixed", "increment-wrap", "", None, True])
def test_control_words_and_what_older_editors_keep_in_their_place(value: object) -> None:
    assert is_control(value)
    assert not is_control("a fox") and not is_control(7)
