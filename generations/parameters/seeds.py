"""Which numbers the runs of one submission get as a seed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Protocol

from generations.parameters.schema import Parameter
from generations.parameters.values import Value, seed_bounds

STEPS: Mapping[Value, int] = {"increment": 1, "decrement": -1}


class RandomSource(Protocol):
    def randbelow(self, exclusive_upper_bound: int, /) -> int: ...


def seed_numbers(
    parameter: Parameter, given: Value, count: int, *, start: int, last: int | None, rng: RandomSource = secrets
) -> list[int]:
    """As many seeds within the parameter's bounds, from what `validate` made of the given one.

    A number is the first of them, counting up. None is the parameter's mode: "randomize" draws each, "fixed" counts up
    from `start`, and "increment" and "decrement" go on from `last`, the seed of the user's latest run, or begin at
    `start`. Behind the last possible one comes the first; the editor would stay there, and make the same again.
    """
    low, high = seed_bounds(parameter)
    mode = parameter.seed_mode if given is None else given
    if mode == "randomize":
        return [low + rng.randbelow(high - low + 1) for _ in range(count)]
    step = STEPS.get(mode, 1)
    if mode in STEPS and last is not None:
        first = last + step
    else:
        first = min(max(start, low), high) if isinstance(mode, str) else int(mode or 0)
    return [low + (first + step * number - low) % (high - low + 1) for number in range(count)]


def is_counted(parameter: Parameter, given: Value) -> bool:
    """True when the next run goes on from the seed of this one: where the parameter counts, or the user said so."""
    return parameter.seed_mode in STEPS or given in STEPS
