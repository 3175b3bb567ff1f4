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


def sub_graph_of_a_picture(inputs: dict[str, list[int] | None], outputs: list[int] | None) -> dict[str, Any]:
    """Node 5 of the workflow holds a width of 300 for the EmptyImage in it, which has 64; node 6 saves its picture.

    The links are those that the slots of the sub-graph list; None for a slot that has no such list.
    """

    def slot(name: str, kind: str, listed: list[int] | None) -> dict[str, Any]:
        return {"name": name, "type": kind} | ({} if listed is None else {"linkIds": listed})

    width = {"name": "width", "type": "INT", "widget": {"name": "width"}}
    inner = {"id": 1, "type": "EmptyImage", "inputs": [{**width, "link": 1}], "outputs": [{"type": IMAGE}]}
    definition = {
        "id": "sub",
        "nodes": [{**inner, "widgets_values": [64, 64, 1, 0]}],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0, "type": "INT"},
            {"id": 2, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": IMAGE},
        ],
        "inputs": [slot(name, "INT", listed) for name, listed in inputs.items()],
        "outputs": [slot("IMAGE", IMAGE, outputs)],
    }
    instance = {"id": 5, "type": "sub", "inputs": [{**width, "link": None}], "outputs": [{"type": IMAGE}]}
    nodes = [{**instance, "widgets_values": [300]}, node(6, "SaveImage", [("images", 3)], ["x"])]
    workflow = {"nodes": nodes, "links": [link(3, 5, 6, 0)], "definitions": {"subgraphs": [definition]}}
    return convert(workflow, newest_object_info())


@pytest.mark.parametrize(("listed", "width"), [([1], 300), ([], 64), (None, 64)])
def test_an_input_of_a_sub_graph_shows_the_widgets_behind_the_links_that_it_lists(
    listed: list[int] | None, width: int
) -> None:
    assert sub_graph_of_a_picture({"width": listed}, [2])["5:1"]["inputs"]["width"] == width


@pytest.mark.parametrize(("listed", "images"), [([2], ["5:1", 0]), ([9, 2], ["5:1", 0]), ([], None), (None, None)])
def test_an_output_of_a_sub_graph_gives_what_the_links_that_it_lists_bring(
    listed: list[int] | None, images: list[Any] | None
) -> None:
    assert sub_graph_of_a_picture({"width": [1]}, listed)["6"]["inputs"].get("images") == images


def test_a_link_that_no_input_names_is_refused_where_inputs_come_and_go_with_a_value() -> None:
    target = node(2, "ResizeImageMaskNode", [("input", None)], ["scale by multiplier", 2, "lanczos"])
    with pytest.raises(ConversionError, match=r"\(node 2\): None of its inputs names the link"):
        converted(target, [link(1, 1, 2, 0)])
