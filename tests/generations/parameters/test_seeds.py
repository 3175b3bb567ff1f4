"""Seeds follow the mode of their parameter, as "control after generate" of the editor has it."""

from __future__ import annotations

from typing import Any

import pytest

from generations.parameters.schema import MAX_SEED, DefinitionError, Parameter, parse_parameters
from generations.parameters.seeds import is_counted, seed_numbers


class Highest:
    def randbelow(self, exclusive_upper_bound: int, /) -> int:
        return exclusive_upper_bound - 1


def seed(**fields: Any) -> Parameter:
    bindings = [{"node_id": "1", "input_name": "seed"}]
    return Parameter.model_validate({"name": "seed", "type": "seed", "bindings": bindings, **fields})


def numbers(parameter: Parameter, given: int | str | None, count: int = 1, last: int | None = None) -> list[int]:
    return seed_numbers(parameter, given, count, start=40, last=last, rng=Highest())


@pytest.mark.parametrize(
    ("limits", "expected"),
    [({}, MAX_SEED), ({"minimum": 5, "maximum": 10}, 10), ({"minimum": -3, "maximum": 2**70}, MAX_SEED)],
)
def test_seeds_are_drawn_within_their_bounds(limits: dict[str, Any], expected: int) -> None:
    assert numbers(seed(**limits), None) == [expected]


def test_drawn_seeds_differ() -> None:
    assert len(set(seed_numbers(seed(), None, 20, start=0, last=None))) == 20


@pytest.mark.parametrize("mode", ["randomize", "fixed", "increment", "decrement"])
def test_a_given_number_is_taken_whatever_the_mode_and_counts_up(mode: str) -> None:
    assert numbers(seed(seed_mode=mode), 7, 3, last=100) == [7, 8, 9]


def test_modes_say_what_a_seed_becomes_that_is_not_given() -> None:
    assert numbers(seed(seed_mode="fixed"), None, 2, last=100) == [40, 41]
    assert numbers(seed(seed_mode="increment"), None, 2) == [40, 41]
    assert numbers(seed(seed_mode="increment"), None, 2, last=100) == [101, 102]
    assert numbers(seed(seed_mode="decrement"), None, 2) == [40, 39]
    assert numbers(seed(seed_mode="decrement"), None, 2, last=100) == [99, 98]


def test_a_users_word_goes_before_the_mode() -> None:
    assert numbers(seed(seed_mode="increment"), "fixed", last=100) == [40]
    assert numbers(seed(), "decrement", last=100) == [99]
    assert numbers(seed(seed_mode="fixed"), "randomize") == [MAX_SEED]
    assert [is_counted(seed(), given) for given in (None, 7, "increment")] == [False, False, True]
    assert is_counted(seed(seed_mode="decrement"), 7)


def test_behind_the_last_seed_comes_the_first() -> None:
    limits: dict[str, Any] = {"minimum": 5, "maximum": 10}
    assert numbers(seed(seed_mode="increment", **limits), None, 3, last=9) == [10, 5, 6]
    assert numbers(seed(seed_mode="decrement", **limits), None, 2, last=5) == [10, 9]
    assert numbers(seed(seed_mode="fixed", **limits), None) == [10]
    assert numbers(seed(), MAX_SEED, 2) == [MAX_SEED, 0]


def test_only_seeds_have_a_mode_and_their_default_is_a_number() -> None:
    text = {"name": "x", "type": "text", "bindings": [{"node_id": "1", "input_name": "x"}]}
    with pytest.raises(DefinitionError, match="A text has no seed mode"):
        parse_parameters([{**text, "seed_mode": "fixed"}])
    with pytest.raises(DefinitionError, match="default of a seed is a number"):
        parse_parameters([{**text, "type": "seed", "default": "increment"}])
