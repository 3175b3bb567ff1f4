"""What becomes of the stored values of a single node."""

from __future__ import annotations

from typing import Any

from generations.comfy.convert import Conversion, convert_flagged
from tests.support.workflows import OBJECT_INFO


def described(**required: Any) -> dict[str, Any]:
    return {"input": {"required": required}, "output": ["IMAGE"], "python_module": "nodes"}


def read(values: Any, info: dict[str, Any] | None = None, kind: str = "N", **fields: Any) -> Conversion:
    """One node of that class, with these stored values."""
    node = {"id": 3, "type": kind, "mode": 0, "title": "Mine", "widgets_values": values, **fields}
    return convert_flagged({"nodes": [node], "links": []}, {**OBJECT_INFO, **({kind: info} if info else {})})


def inputs(values: Any, info: dict[str, Any] | None = None, kind: str = "N", **fields: Any) -> dict[str, Any]:
    found = read(values, info, kind, **fields)
    assert found.flags == []
    return dict(found.graph["3"]["inputs"])
