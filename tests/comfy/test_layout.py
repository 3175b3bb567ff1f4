"""Which widgets a node has in the editor."""

from __future__ import annotations

from generations.comfy.convert import convert
from tests.support.drawn import node, undated


def test_dynamic_combo_brings_its_own_inputs() -> None:
    info = {
        "Scale": {
            "input": {
                "required": {
                    "mode": [
                        "COMFY_DYNAMICCOMBO_V3",
                        {
                            "options": [
                                {"key": "factor", "inputs": {"required": {"by": ["FLOAT", {"default": 2.0}]}}},
                                {"key": "size", "inputs": {"required": {"w": ["INT", {}], "h": ["INT", {}]}}},
                            ]
                        },
                    ],
                    "crop": [["no", "yes"], {}],
                }
            },
            "output": ["IMAGE"],
        }
    }
    graph = convert(undated(node(1, "Scale", widgets_values=["size", 64, 48, "yes"])), info)
    assert graph["1"]["inputs"] == {"mode": "size", "mode.w": 64, "mode.h": 48, "crop": "yes"}
    graph = convert(undated(node(1, "Scale", widgets_values=[])), info)
    assert graph["1"]["inputs"] == {"mode": "factor", "mode.by": 2.0, "crop": "no"}
