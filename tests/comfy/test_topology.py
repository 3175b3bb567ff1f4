"""Links whose two records in a file disagree, as frontend 1.58.1 connects them (each case was run there)."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.convert import ConversionError, convert
from tests.support.workflows import newest_object_info

IMAGE = "IMAGE"
Inputs = list[tuple[str, int | None]]


def node(node_id: int, kind: str, inputs: Inputs, values: list[Any]) -> dict[str, Any]:
    slots = [{"name": name, "type": IMAGE, "link": link} for name, link in inputs]
    return {"id": node_id, "type": kind, "inputs": slots, "outputs": [{"type": IMAGE}], "widgets_values": values}


def link(link_id: int, origin: int, target: int, slot: int) -> list[Any]:
    return [link_id, origin, 0, target, slot, IMAGE]


def converted(target: dict[str, Any], links: list[list[Any]], **fields: Any) -> dict[str, Any]:
    """Nodes 1 and 4 make pictures, and node 2 is the target."""
    sources = [node(each, "EmptyImage", [], [64, 64, 1, 0]) for each in (1, 4)]
    return convert({"nodes": [*sources, target], "links": links, **fields}, newest_object_info())


@pytest.mark.parametrize(
    ("inputs", "links", "expected"),
    [
        pytest.param([("image1", None)], [link(1, 1, 2, 0)], {"image1": ["1", 0]}, id="the input names no link"),
        pytest.param([], [link(1, 1, 2, 1)], {"image2": ["1", 0]}, id="the file does not have the input"),
        pytest.param(
            [("image1", 1), ("image2", 1)], [link(1, 1, 2, 0)], {"image1": ["1", 0]}, id="two inputs name one link"
        ),
        pytest.param(
            [("image1", 1)], [link(2, 4, 2, 0), link(1, 1, 2, 0)], {"image1": ["1", 0]}, id="two links to one input"
        ),
        pytest.param(
            [("image2", 1), ("image1", 2)],
            [link(1, 1, 2, 0), link(2, 4, 2, 1)],
            {"image1": ["4", 0], "image2": ["1", 0]},
            id="inputs in another order",
        ),
        pytest.param(
            [("image2", 2), ("image1", None)],
            [link(1, 1, 2, 1), link(2, 4, 2, 0)],
            {"image1": ["4", 0], "image2": ["1", 0]},
            id="a link that cannot move stays",
        ),
        pytest.param([("image1", 1)], [link(1, 1, 4, 9)], {}, id="the link leads to another node"),
    ],
)
def test_links_decide_which_inputs_they_lead_to(
    inputs: Inputs, links: list[list[Any]], expected: dict[str, Any]
) -> None:
    assert converted(node(2, "ImageBatch", inputs, []), links)["2"]["inputs"] == expected


@pytest.mark.parametrize(
    ("names", "inputs", "expected"),
    [
        (["a", "c"], [("a", 1), ("b", 2)], {"image1": ["1", 0], "image2": ["4", 0]}),
        (["c", "d"], [("a", 1), ("b", 2)], {"image1": ["1", 0], "image2": ["4", 0]}),
        (["b", "a"], [("a", 1), ("b", 2)], {"image1": ["4", 0], "image2": ["1", 0]}),
        (["b", "c"], [("a", 1), ("b", 2)], {"image1": ["4", 0]}),
        (["a", "b"], [("a", 1)], {"image1": ["1", 0], "image2": ["4", 0]}),
    ],
)
def test_inputs_of_a_sub_graph_that_were_renamed_keep_their_links_by_number(
    names: list[str], inputs: Inputs, expected: dict[str, Any]
) -> None:
    batch = node(1, "ImageBatch", [("image1", 1), ("image2", 2)], [])
    inner = [
        {"id": at + 1, "origin_id": -10, "origin_slot": at, "target_id": 1, "target_slot": at, "type": IMAGE}
        for at in (0, 1)
    ]
    slots = [{"name": name, "type": IMAGE, "linkIds": [at + 1]} for at, name in enumerate(names)]
    sub_graph = {"id": "sub", "nodes": [batch], "links": inner, "inputs": slots, "outputs": []}
    links = [link(1, 1, 2, 0), link(2, 4, 2, 1)]
    graph = converted(node(2, "sub", inputs, []), links, definitions={"subgraphs": [sub_graph]})
    assert graph["2:1"]["inputs"] == expected


def test_a_link_that_no_input_names_is_refused_where_inputs_come_and_go_with_a_value() -> None:
    target = node(2, "ResizeImageMaskNode", [("input", None)], ["scale by multiplier", 2, "lanczos"])
    with pytest.raises(ConversionError, match=r"\(node 2\): A link leads to it that none of its inputs names"):
        converted(target, [link(1, 1, 2, 0)])
