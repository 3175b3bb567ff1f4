"""Which nodes lie in which group of the editor."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.boxes import Group, read_groups
from generations.comfy.editor import read_workflow
from tests.support.drawn import one_node

GROUP = Group("Settings", 0, 0, 100, 100)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"pos": [20, 40], "size": [40, 20]}, True),
        ({"pos": {"0": 20, "1": 40}, "size": {"0": 40, "1": 20}}, True),
        ({"pos": [200, 40], "size": [40, 20]}, False),
        ({"pos": [20, 40], "size": [40, 130]}, None),  # its centre lies inside only without its title
        ({"pos": [20, 40], "size": [40, 20], "flags": {"collapsed": True}}, None),  # as wide as its title is
        ({"size": [40, 20]}, None),
        ({"pos": [float("nan"), 40], "size": [40, 20]}, None),
    ],
)
def test_a_node_lies_where_its_centre_is(fields: dict[str, Any], expected: bool | None) -> None:
    node = read_workflow(one_node("EmptyImage", [], **fields)).root.nodes["1"]
    assert GROUP.holds(node) is expected


def test_groups_without_a_box_are_left_out() -> None:
    rows = [{"title": "Settings", "bounding": [0, 0, 100, 100]}, {"title": "No box"}, {"bounding": [1, 2]}, "malformed"]
    workflow = read_workflow({**one_node("EmptyImage", []), "groups": rows})
    assert read_groups(workflow.root) == [GROUP]
    assert read_groups(read_workflow(one_node("EmptyImage", [])).root) == []
