"""Sub-graphs in sub-graphs are opened, within limits."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.convert import ConversionError, convert
from tests.support.drawn import node, undated
from tests.support.workflows import OBJECT_INFO


def nested(depth: int, width: int = 1) -> dict[str, Any]:
    """Sub-graphs in sub-graphs; with two instances on each level their number doubles."""
    definitions = []
    for level in range(depth):
        kind = f"{level + 1:08x}-0000-4000-8000-000000000000" if level + 1 < depth else "EmptyImage"
        inner = [node(number, kind) for number in range(width)]
        definitions.append({"id": f"{level:08x}-0000-4000-8000-000000000000", "nodes": inner, "links": []})
    return undated(node(1, definitions[0]["id"]), definitions={"subgraphs": definitions})


def test_sub_graph_that_contains_itself_is_refused() -> None:
    own = "00000000-0000-4000-8000-000000000000"
    looped = undated(node(1, own), definitions={"subgraphs": [{"id": own, "nodes": [node(2, own)], "links": []}]})
    with pytest.raises(ConversionError, match="contain itself"):
        convert(looped, OBJECT_INFO)


@pytest.mark.slow
def test_sub_graphs_that_multiply_are_refused_in_time() -> None:
    with pytest.raises(ConversionError, match="more than"):
        convert(nested(19, width=4), OBJECT_INFO)  # 4^19 nodes: without the limit, the test would never end


def test_sub_graphs_that_multiply_are_refused() -> None:
    """Ten instances on each of eighteen levels, none of which has a node that runs."""
    levels = [
        {"id": f"level{level}", "nodes": [node(n, f"level{level + 1}") for n in range(10)], "links": []}
        for level in range(18)
    ]
    levels.append({"id": "level18", "nodes": [], "links": []})
    workflow = {"nodes": [node(1, "level0")], "links": [], "definitions": {"subgraphs": levels}}
    with pytest.raises(ConversionError, match="too many ways"):
        convert(workflow, OBJECT_INFO)
