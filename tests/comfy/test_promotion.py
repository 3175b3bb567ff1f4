"""The values that instances of sub-graphs hold for the widgets inside."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.convert import ConversionError, convert
from tests.support.drawn import node, one_node
from tests.support.workflows import newest_object_info


def test_long_lists_of_promoted_widgets_are_refused() -> None:
    """Each entry is looked for among all inputs of the sub-graph."""
    definition = {
        "id": "sub", "nodes": [node(2, "EmptyImage")], "links": [],
        "inputs": [{"name": f"input{at}", "type": "INT", "linkIds": []} for at in range(2_000)],
    }  # fmt: skip
    rows = [["2", "width"]] * 20_000
    host = node(1, "sub", properties={"proxyWidgets": rows})
    with pytest.raises(ConversionError, match="too many ways"):
        convert({"nodes": [host], "links": [], "definitions": {"subgraphs": [definition]}}, newest_object_info())


def test_a_widget_that_the_server_lost_keeps_its_place_among_the_values_of_an_instance() -> None:
    """The editor skips it, and gives its value to the next widget."""
    slots = [
        {"name": name, "type": "INT", "link": link, "widget": {"name": name}}
        for link, name in enumerate(("depth", "width"), start=1)
    ]
    inner = {"id": 2, "type": "EmptyImage", "widgets_values": [64, 64, 1, 0], "inputs": slots}
    definition = {
        "id": "sub",
        "nodes": [inner],
        "inputs": [{"name": "a", "type": "INT", "linkIds": [1]}, {"name": "b", "type": "INT", "linkIds": [2]}],
        "links": [
            {"id": 1 + at, "origin_id": -10, "origin_slot": at, "target_id": 2, "target_slot": at} for at in (0, 1)
        ],
    }
    workflow = one_node("sub", [300, 500]) | {"definitions": {"subgraphs": [definition]}}
    assert convert(workflow, newest_object_info())["1:2"]["inputs"]["width"] == 500


@pytest.mark.parametrize(
    ("order", "instances", "widths"),
    [
        (["outer", "inner"], [7], {"5:7:1": 907}),
        (["outer", "inner"], [7, 8], {"5:7:1": 64, "5:8:1": 64}),
        (["inner", "outer"], [7, 8], {"5:7:1": 907, "5:8:1": 908}),
    ],
)
def test_two_instances_in_a_sub_graph_lose_their_values_where_the_file_lists_their_definition_after_it(
    order: list[str], instances: list[int], widths: dict[str, int]
) -> None:
    """The editor sets up definitions in the file's order then; else those that others use come first."""
    width = {"name": "width", "type": "INT", "widget": {"name": "width"}}
    picture = {"id": 1, "type": "EmptyImage", "widgets_values": [64, 64, 1, 0], "inputs": [{**width, "link": 1}]}
    inner = {
        "id": "inner",
        "nodes": [picture],
        "inputs": [{"name": "width", "type": "INT", "linkIds": [1]}],
        "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0}],
    }
    hosts = [
        {"id": each, "type": "inner", "inputs": [{**width, "link": None}], "widgets_values": [900 + each]}
        for each in instances
    ]
    definitions = {"inner": inner, "outer": {"id": "outer", "nodes": hosts, "links": []}}
    workflow = {
        "nodes": [{"id": 5, "type": "outer"}],
        "links": [],
        "definitions": {"subgraphs": [definitions[name] for name in order]},
    }
    graph = convert(workflow, newest_object_info())
    assert {node_id: node["inputs"]["width"] for node_id, node in graph.items()} == widths


@pytest.mark.parametrize(
    ("order", "expected"),
    [(["middle", "outer", "inner"], [64, 64]), (["inner", "middle", "outer"], [907, 908])],
)
def test_an_instance_waits_for_all_that_is_in_its_definition(order: list[str], expected: list[int]) -> None:
    width = {"name": "width", "type": "INT", "widget": {"name": "width"}}
    shown = [{"name": "width", "type": "INT", "linkIds": [1]}]

    def around(name: str, kind: str, values: list[int]) -> dict[str, Any]:
        link = {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0}
        inside = {"id": 1, "type": kind, "widgets_values": values, "inputs": [{**width, "link": 1}]}
        return {"id": name, "nodes": [inside], "inputs": shown, "links": [link]}

    hosts = [
        {"id": each, "type": "middle", "inputs": [{**width, "link": None}], "widgets_values": [900 + each]}
        for each in (7, 8)
    ]
    definitions = {
        "inner": around("inner", "EmptyImage", [64, 64, 1, 0]),
        "middle": around("middle", "inner", [700]),
        "outer": {"id": "outer", "nodes": hosts, "links": []},
    }
    subgraphs = [definitions[name] for name in order]
    workflow = {"nodes": [{"id": 5, "type": "outer"}], "links": [], "definitions": {"subgraphs": subgraphs}}
    graph = convert(workflow, newest_object_info())
    assert [graph[f"5:{each}:1:1"]["inputs"]["width"] for each in (7, 8)] == expected
