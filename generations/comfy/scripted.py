"""Widgets that the scripts of custom nodes add in the browser; the server's schemas do not have them.

What each script keeps in a file and what it sends, after its source: rgthree-comfy (src_web/comfyui), VideoHelperSuite
(web/js/VHS.core.js), ComfyUI-Lora-Manager (web/comfyui).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from generations.comfy.editor import EditorNode

# Nodes that keep in the file what they showed last, which is not an input.
_DISPLAYS = frozenset(
    {
        "Image Comparer (rgthree)", "Display Any (rgthree)", "Display Int (rgthree)", "ShowText|pysssss",
        "easy showAnything", "easy showSpentTime", "Show any [Crystools]", "PreviewAny", "GetImageSize",
    }
)  # fmt: skip
_ADD_LORA = "\N{HEAVY PLUS SIGN} Add Lora"
# (class, input) -> the name under which older versions of the script kept its value.
FORMER_NAMES = {("VHS_VideoCombine", "save_output"): "save_image"}


def has_values_of_its_own(class_type: str) -> bool:
    """True for classes whose scripts keep in the file what belongs to no input of the class."""
    return class_type in _DISPLAYS or class_type in _SCRIPTS


def added_values(class_type: str, node: EditorNode) -> dict[str, Any]:
    """Input name -> value of the widgets that a known script adds; empty for classes without one."""
    script = _SCRIPTS.get(class_type)
    return script(node) if script else {}


def _stored(node: EditorNode) -> list[Any]:
    if isinstance(node.values, list):
        return node.values
    return list((node.values or node.named or {}).values())


def _power_loras(node: EditorNode) -> dict[str, Any]:
    """Each stored object that has a `lora` is a row; rows are counted anew whatever they were called."""
    rows = [dict(each) for each in _stored(node) if isinstance(each, dict) and "lora" in each]
    is_separate = node.properties.get("Show Strengths") == "Separate Model & Clip"
    for row in rows:
        second = row.pop("strengthTwo", None)
        if is_separate:
            row["strengthTwo"] = 1 if second is None else second
    header = "PowerLoraLoaderHeaderWidget"
    named = {f"lora_{number}": row for number, row in enumerate(rows, start=1)}
    return {header: {"type": header}, **named, _ADD_LORA: ""}


def _power_primitive(node: EditorNode) -> dict[str, Any]:
    stored = _stored(node)
    kind = stored[0] if stored else "STRING"
    value = stored[1] if len(stored) > 1 else ""
    return {"type": "BOOLEAN" if kind == "BOOL" else kind, "value": value}


def _power_puter(node: EditorNode) -> dict[str, Any]:
    stored = _stored(node)
    outputs = stored[0] if stored else "STRING"
    kinds = [outputs] if isinstance(outputs, str) else outputs.get("outputs", []) if isinstance(outputs, dict) else []
    code = stored[1] if len(stored) > 1 else ""
    return {"outputs": {"outputs": ["BOOLEAN" if each == "BOOL" else each for each in kinds]}, "code": code}


def _managed_loras(node: EditorNode) -> dict[str, Any]:
    lists = [each for each in _stored(node) if isinstance(each, list)]
    rows = [each for each in lists if all(isinstance(row, dict) and {"name", "strength"} <= row.keys() for row in each)]
    return {"loras": rows[0] if rows else []}


_SCRIPTS: dict[str, Callable[[EditorNode], dict[str, Any]]] = {
    "Power Lora Loader (rgthree)": _power_loras,
    "Power Primitive (rgthree)": _power_primitive,
    "Power Puter (rgthree)": _power_puter,
    "Lora Loader (LoraManager)": _managed_loras,
    "Lora Stacker (LoraManager)": _managed_loras,
    "WanVideo Lora Select (LoraManager)": _managed_loras,
}
