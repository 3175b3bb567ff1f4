"""Primitive nodes write into the widgets that they are connected to."""

from __future__ import annotations

import pytest

from generations.comfy.convert import ConversionError, convert
from tests.support.drawn import node
from tests.support.workflows import OBJECT_INFO


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
