"""Bounds of use, where nodes allow what no model can do."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.app_mode import ChosenInput
from generations.parameters.chosen import chosen_parameters
from generations.parameters.schema import Parameter
from generations.parameters.sensible import sensible
from tests.generations.parameters.proposing import newest, sampled
from tests.support.graphs import node
from tests.support.workflows import newest_object_info


def test_sides_end_where_models_do_unless_the_workflow_is_larger_or_the_author_says_more() -> None:
    graph = sampled(size=node("EmptyLatentImage", width=512, height=1536, batch_size=1))
    proposed = newest(graph)
    assert (proposed["width"].maximum, proposed["height"].maximum) == (2048, 3072)
    said = ChosenInput((("size", "width"),), maximum=4096)
    assert chosen_parameters(graph, [said], newest_object_info())[0].maximum == 4096


@pytest.mark.parametrize(
    ("fields", "bounds"),
    [
        ({"role": "width", "default": 512, "minimum": 16, "maximum": 16384}, (16, 2048)),
        ({"role": "width", "default": 1536, "minimum": 16, "maximum": 16384}, (16, 3072)),  # there is room upwards
        ({"role": "width", "default": 9000, "minimum": 16, "maximum": 16384}, (16, 16384)),  # never looser
        ({"role": "width", "default": 4096, "minimum": 4096, "maximum": 16384}, (4096, 8192)),
        ({"role": "width", "default": 512, "minimum": 16, "maximum": 8192}, (16, 8192)),  # a bound that makes sense
        ({"role": "width", "default": None, "minimum": 16, "maximum": 16384}, (16, 16384)),
        ({"role": "guidance", "default": 7, "minimum": -100_000, "maximum": 100}, (0, 100)),
        ({"role": "guidance", "default": -3, "minimum": -100_000, "maximum": 100}, (-3, 100)),
        ({"role": "guidance", "default": 7, "minimum": -5, "maximum": 100}, (-5, 100)),
        ({"role": "", "default": 7, "minimum": -100_000, "maximum": 100_000}, (-100_000, 100_000)),
    ],
)
def test_bounds_become_tighter_where_they_are_absurd_and_still_hold_the_default(
    fields: dict[str, Any], bounds: tuple[int, int]
) -> None:
    bindings = [{"node_id": "1", "input_name": "x"}]
    found = sensible(Parameter.model_validate({"name": "x", "type": "integer", "bindings": bindings, **fields}))
    assert (found.minimum, found.maximum) == bounds
