"""Texts, primitives, and the node that shows anything."""

from __future__ import annotations

import json
from typing import Any

from generations.simulator.nodes.base import Context, Node, Result, register

INT64 = 2**63 - 1


@register
class StringConcatenate(Node):
    """Two texts and what goes between them."""

    class_type, display_name, category = "StringConcatenate", "Concatenate", "utils/string"
    python_module, is_v3 = "comfy_extras.nodes_string", True
    required = {
        "string_a": ("STRING", {"multiline": True}),
        "string_b": ("STRING", {"multiline": True}),
        "delimiter": ("STRING", {"default": "", "multiline": False}),
    }
    returns = ("STRING",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((inputs["delimiter"].join((inputs["string_a"], inputs["string_b"])),))


class _Primitive(Node):
    """Hands on its value."""

    category = "utils/primitive"
    python_module, is_v3 = "comfy_extras.nodes_primitive", True

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((inputs["value"],))


@register
class PrimitiveString(_Primitive):
    """A text."""

    class_type, display_name, returns = "PrimitiveString", "String", ("STRING",)
    required = {"value": ("STRING", {"multiline": False})}


@register
class PrimitiveStringMultiline(_Primitive):
    """A longer text."""

    class_type, display_name, returns = "PrimitiveStringMultiline", "String (Multiline)", ("STRING",)
    required = {"value": ("STRING", {"multiline": True})}


@register
class PrimitiveInt(_Primitive):
    """A whole number."""

    class_type, display_name, returns = "PrimitiveInt", "Int", ("INT",)
    required = {"value": ("INT", {"min": -INT64, "max": INT64, "control_after_generate": True})}


@register
class PrimitiveFloat(_Primitive):
    """A number."""

    class_type, display_name, returns = "PrimitiveFloat", "Float", ("FLOAT",)
    required = {"value": ("FLOAT", {"min": -INT64, "max": INT64})}


@register
class PrimitiveBoolean(_Primitive):
    """Yes or no."""

    class_type, display_name, returns = "PrimitiveBoolean", "Boolean", ("BOOLEAN",)
    required = {"value": ("BOOLEAN", {})}


@register
class PreviewAny(Node):
    """Whatever it is, as text."""

    class_type, display_name, category = "PreviewAny", "Preview Any", "utils"
    python_module, is_output = "comfy_extras.nodes_preview_any", True
    required = {"source": ("*", {})}

    def run(self, context: Context, **inputs: Any) -> Result:
        source = inputs.get("source")
        if isinstance(source, str):
            shown = source
        elif isinstance(source, bool | int | float):
            shown = str(source)
        else:
            shown = json.dumps(source, default=str) if source is not None else "None"
        return Result((), {"text": [shown]})
