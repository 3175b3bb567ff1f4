"""What the editor of 2026 (frontend 1.58.1, with the schemas of a ComfyUI 0.29.0) queues, pair by pair.

`conversion/newest.json.xz` holds: `cases`, workflows of ours with the graphs that the editor made of them (`class_…`:
every node class, for servers that have files: `classes`); `templates`, digests of the graphs of official templates; and
`changed`, the same templates with other values on instances of their sub-graphs.
"""

from __future__ import annotations

import copy
import hashlib
import json
import lzma
from typing import Any

import pytest

from generations.comfy.convert import ConversionError, convert
from tests.comfy.test_convert import official, plain
from tests.support.workflows import CASES, newest_object_info

NEWEST: dict[str, Any] = json.loads(lzma.decompress((CASES / "newest.json.xz").read_bytes()))
# The editor goes by the file's list of values here, which an older version of the class wrote: a seed becomes a text.
GARBLED_BY_THE_EDITOR = {"api_meshy7_image_to_model"}


def digest(graph: Any) -> str:
    return hashlib.sha256(json.dumps(plain(graph), sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize("name", NEWEST["cases"])
def test_case_becomes_what_the_editor_makes_of_it(name: str) -> None:
    workflow, expected = NEWEST["cases"][name]
    schemas = newest_object_info() | (NEWEST["classes"] if name.startswith("class_") else {})
    assert plain(convert(workflow, schemas)) == plain(expected)


def test_official_templates_become_what_the_editor_makes_of_them() -> None:
    assert len(NEWEST["templates"]) == 213
    different = {
        name
        for name, expected in NEWEST["templates"].items()
        if digest(convert(official("newest")[name], newest_object_info())) != expected
    }
    assert different == GARBLED_BY_THE_EDITOR


def test_values_on_instances_of_sub_graphs_go_where_the_editor_puts_them() -> None:
    assert len(NEWEST["changed"]) > 60
    different = []
    for name, (values, expected) in NEWEST["changed"].items():
        workflow = copy.deepcopy(official("newest")[name])
        for node in workflow["nodes"]:
            if str(node["id"]) in values:
                node["widgets_values"] = values[str(node["id"])]
                node.pop("widgets_values_named", None)
                node["properties"].pop("proxyWidgets", None)
        if digest(convert(workflow, newest_object_info())) != expected:
            different.append(name)
    assert different == []


def node_of(class_type: str, values: list[Any], **fields: Any) -> dict[str, Any]:
    return {"nodes": [{"id": 1, "type": class_type, "widgets_values": values, **fields}], "links": []}


def test_an_option_that_the_server_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(ConversionError, match=r'\(node 1\): Its input "format" is set to "heif", an option that'):
        convert(node_of("SaveImageAdvanced", ["a", "heif", "8-bit", "sRGB"]), newest_object_info())


def test_a_kind_of_widget_that_only_the_editor_fills_is_refused_by_name() -> None:
    info = {"Branch": {"input": {"required": {"names": ["COMFY_BRANCH_INPUT_NAMES", {}]}}}}
    with pytest.raises(ConversionError, match='Its input "names" is of the kind COMFY_BRANCH_INPUT_NAMES'):
        convert(node_of("Branch", [["a"]]), info)


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
    workflow = node_of("sub", [300, 500]) | {"definitions": {"subgraphs": [definition]}}
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
    workflow = node_of("sub", held, inputs=[curve]) | {"definitions": {"subgraphs": [definition]}}
    expected = {"curve": {"__type__": "CURVE", "__value__": held[0] if held else own}}
    assert convert(workflow, newest_object_info())["1:2"]["inputs"] == expected


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
