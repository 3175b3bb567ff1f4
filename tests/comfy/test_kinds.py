"""Kinds of widgets that only the newest servers have."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.convert import ConversionError, convert
from tests.support.drawn import one_node
from tests.support.workflows import newest_object_info


def test_a_kind_of_widget_that_only_the_editor_fills_is_refused_by_name() -> None:
    info = {"Branch": {"input": {"required": {"names": ["COMFY_BRANCH_INPUT_NAMES", {}]}}}}
    with pytest.raises(ConversionError, match="Its input “names” is of the type COMFY_BRANCH_INPUT_NAMES"):
        convert(one_node("Branch", [["a"]]), info)


@pytest.mark.parametrize("held", [[], [{"points": [[0, 0.3], [1, 1]], "interpolation": "linear"}]])
def test_a_curve_says_what_it_is_wherever_it_is_held(held: list[Any]) -> None:
    """The editor fails to load a file with a curve on an instance of a sub-graph."""
    own = {"points": [[0, 0], [1, 1]], "interpolation": "linear"}
    curve = {"name": "curve", "type": "CURVE", "widget": {"name": "curve"}}
    definition = {
        "id": "sub",
        "nodes": [{"id": 2, "type": "CurveEditor", "widgets_values": [own], "inputs": [{**curve, "link": 1}]}],
        "inputs": [{"name": "curve", "type": "CURVE", "linkIds": [1]}],
        "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 2, "target_slot": 0}],
    }
    workflow = one_node("sub", held, inputs=[curve]) | {"definitions": {"subgraphs": [definition]}}
    expected = {"curve": {"__type__": "CURVE", "__value__": held[0] if held else own}}
    assert convert(workflow, newest_object_info())["1:2"]["inputs"] == expected
