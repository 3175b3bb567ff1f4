"""The orders in which a file may hold the values of a node's widgets, and values under names."""

from __future__ import annotations

import pytest

from generations.comfy.convert import ConversionError, convert
from tests.support.drawn import node, undated
from tests.support.workflows import OBJECT_INFO

HUGE = "9" * 5000


@pytest.mark.parametrize("word", [None, True, "fixed", "randomize"])
def test_place_of_the_control_word_is_no_value_whatever_it_holds(word: object) -> None:
    values = [5, word, 25, 7.0, "dpmpp_2m", "karras", 1.0]
    inputs = convert(undated(node(1, "KSampler", widgets_values=values)), OBJECT_INFO)["1"]["inputs"]
    assert inputs == {
        "seed": 5, "steps": 25, "cfg": 7.0, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1.0
    }  # fmt: skip


def test_control_word_that_the_class_does_not_expect_any_more_shifts_nothing() -> None:
    info = {
        "Video": {"input": {"required": {"seed": ["INT", {"control_after_generate": False}], "steps": ["INT", {}]}}}
    }
    graph = convert(undated(node(1, "Video", widgets_values=[7, "randomize", 30])), info)
    assert graph["1"]["inputs"] == {"seed": 7, "steps": 30}


def test_values_by_name_are_taken_by_name() -> None:
    graph = convert(
        undated(node(1, "EmptyImage", widgets_values={"height": 96, "videopreview": {}, "width": 32})), OBJECT_INFO
    )
    assert graph["1"]["inputs"] == {"width": 32, "height": 96, "batch_size": 1, "color": 0}


def test_values_as_an_object_by_index() -> None:
    graph = convert(
        undated(node(1, "EmptyImage", widgets_values={"0": 8, "1": 16, "2": 2, "3": 5, "length": 4})), OBJECT_INFO
    )
    assert graph["1"]["inputs"] == {"width": 8, "height": 16, "batch_size": 2, "color": 5}


def test_old_files_have_values_for_inputs_that_can_only_be_linked() -> None:
    info = {"Old": {"input": {"required": {"a": ["INT", {"forceInput": True}], "b": ["INT", {}], "c": ["STRING", {}]}}}}
    assert convert(undated(node(1, "Old", widgets_values=[7, 8, "x"])), info)["1"]["inputs"] == {"b": 8, "c": "x"}
    assert convert(undated(node(1, "Old", widgets_values=[8, "x"])), info)["1"]["inputs"] == {"b": 8, "c": "x"}


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
