"""What nodes of Use Everywhere broadcast: patterns and priorities."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.broadcasts import PROMPTS, Unclear, is_on, matches, priority_of
from generations.comfy.editor import read_workflow
from tests.support.drawn import one_node


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [("seed", "noise_seed", True), ("^seed", "noise_seed", False), (".*", "", True), ("[a-c]+$", "abc", True)],
)
def test_a_pattern_is_searched_in_the_text(pattern: str, text: str, expected: bool) -> None:
    assert matches(pattern, text) == expected


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a)\\1", "a*b*c*d*e*", "[", "x" * 201])
def test_a_pattern_that_could_take_for_ever_or_is_none_is_not_followed(pattern: str) -> None:
    with pytest.raises(Unclear):
        matches(pattern, "aaaa")


@pytest.mark.parametrize(
    ("kind", "chosen", "has_repeated", "expected"),
    [
        ("Anything Everywhere", {}, False, 10),
        (PROMPTS, {}, False, 20),
        ("Anything Everywhere", {"title_regex": ".*"}, False, 10),
        ("Anything Everywhere", {"title_regex": "Sampler"}, False, 30),
        ("Anything Everywhere", {}, True, 30),
        ("Anything Everywhere", {"group_restricted": 1, "color_restricted": 1}, False, 19),
    ],
)
def test_the_pickier_broadcast_wins(kind: str, chosen: dict[str, Any], has_repeated: bool, expected: int) -> None:
    node = read_workflow(one_node(kind, [])).root.nodes["1"]
    assert priority_of(node, chosen, has_repeated) == expected


def test_zero_is_a_setting_that_is_off() -> None:
    assert [is_on(value) for value in (0, 1, 2, True, "1", None)] == [False, True, True, True, False, False]
