"""Workflows in the editor's format that would take hours, or an error of ours, to convert."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.convert import ConversionError, convert
from tests.support.workflows import OBJECT_INFO, newest_object_info

HUGE = "9" * 5000


def node(number: int | str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"id": number, "type": kind, **fields}


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


def test_long_chains_behind_many_inputs_are_refused() -> None:
    chain = [
        node(n, "Reroute", inputs=[{"name": "", "type": "*", "link": n}], outputs=[{"name": "", "type": "*"}])
        for n in range(300)
    ]
    links = [[n, n + 1, 0, n, 0, "*"] for n in range(299)]
    many = [
        node(
            1000 + n, "PreviewImage", inputs=[{"name": f"images{at}", "type": "IMAGE", "link": 0} for at in range(100)]
        )
        for n in range(100)
    ]
    with pytest.raises(ConversionError, match="too many ways"):
        convert({"nodes": [*chain, *many], "links": links}, OBJECT_INFO)


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


def test_nested_alternatives_in_a_text_are_refused() -> None:
    text = "{" * 100_000 + "}" * 100_000
    primitive = node(
        1, "PrimitiveNode", widgets_values=[text], properties={"Run widget replace on values": True},
        outputs=[{"name": "STRING", "type": "STRING", "widget": {"name": "text"}}],
    )  # fmt: skip
    target = node(
        2, "CLIPTextEncode", inputs=[{"name": "text", "type": "STRING", "link": 1, "widget": {"name": "text"}}],
        widgets_values=[""],
    )  # fmt: skip
    with pytest.raises(ConversionError, match="too many ways"):
        convert({"nodes": [primitive, target], "links": [[1, 1, 0, 2, 0, "STRING"]]}, OBJECT_INFO)


@pytest.mark.parametrize("slot", [HUGE, "-1", -5, -(10**30), 10**30, 1e300, "x", None, {}])
def test_strange_slots_and_ids_are_refused_or_read(slot: Any) -> None:
    origin = node(HUGE, "Reroute", inputs=[{"name": "", "type": "*", "link": None}], outputs=[])
    target = node(2, "PreviewImage", inputs=[{"name": "images", "type": "IMAGE", "link": 1}])
    workflow = {
        "nodes": [origin, target], "links": [[1, HUGE, slot, 2, slot, "IMAGE"]],
        "extra": {"frontendVersion": f"{HUGE}.{HUGE}"},
    }  # fmt: skip
    assert list(convert(workflow, OBJECT_INFO)) == ["2"]


def test_values_that_fit_in_no_order_are_refused_in_time() -> None:
    info = {"Many": {"input": {"required": {f"i{n}": ["INT", {"control_after_generate": True}] for n in range(40)}}}}
    many = [
        node(n, "Many", widgets_values=["x", *[1, None] * 39], mode=0, inputs=[{"name": f"i{n}", "type": "INT"}])
        for n in range(2_000)
    ]
    with pytest.raises(ConversionError):
        convert({"nodes": many, "links": []}, info)


@pytest.mark.parametrize("value", [[], [1], {}, {"a": 1}, int(HUGE[:4000]), 1e300, None, True, "", "fixed"])
def test_any_value_is_placed_or_refused(value: object) -> None:
    kinds = [["INT", {"min": 0, "max": 9}], ["FLOAT", {}], ["BOOLEAN", {}], ["STRING", {}], [["a", "b"], {}]]
    dynamic = ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "a", "inputs": {"required": {"x": kinds[0]}}}]}]
    info = {"All": {"input": {"required": {f"i{at}": kind for at, kind in enumerate([*kinds, dynamic])}}}}
    for values in ([value] * 8, [1, value, 2, True, "a", "b"], {"i5": value, "i0": value}):
        try:
            graph = convert({"nodes": [node(1, "All", mode=0, widgets_values=values)], "links": []}, info)
        except ConversionError:
            continue
        assert graph["1"]["inputs"].keys() >= {"i0", "i5"}
