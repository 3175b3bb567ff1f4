"""Reading the editor's format: groups of nodes as one node."""

from __future__ import annotations

from generations.comfy.convert import convert
from tests.comfy.cases import load
from tests.support.workflows import OBJECT_INFO


def test_what_the_editor_adds_to_a_node_takes_no_place_among_the_values_of_its_group() -> None:
    """The frontend of 2025 has a widget for what PreviewAny shows; a group knows the inputs of the class alone."""
    value = load("handmade", "groupnode")
    group = value["extra"]["groupNodes"]["Make"]
    group["nodes"][1] = {"type": "PreviewAny", "inputs": [{"name": "source", "type": "*"}], "index": 1}
    group["links"] = [[0, 0, 1, 0, 1, "IMAGE"], [0, 0, 2, 0, 2, "IMAGE"]]
    graph = convert(value, OBJECT_INFO)
    assert graph["1:1"]["inputs"]["source"] == ["1:0", 0]
    scaled = {"upscale_method": "area", "width": 20, "height": 21, "crop": "center", "image": ["1:0", 0]}
    assert graph["1:2"]["inputs"] == scaled
