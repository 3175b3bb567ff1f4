"""Workflows as files, and what servers say of their node types."""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

CASES = Path(__file__).parents[1] / "comfy" / "conversion"
OBJECT_INFO: dict[str, Any] = json.loads((CASES / "object_info.json").read_text())


@cache
def newest_object_info() -> dict[str, Any]:
    """/object_info of a ComfyUI 0.29.0 with 819 node types. All callers share it: copy it before you change it."""
    schemas: dict[str, Any] = json.loads(lzma.decompress((CASES / "object_info_0.29.json.xz").read_bytes()))
    return schemas


def with_models(*names: str) -> dict[str, Any]:
    """/object_info of a real server, with these checkpoints instead of its own."""
    info: dict[str, Any] = json.loads(json.dumps(OBJECT_INFO))
    info["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] = list(names)
    return info


def editor_workflow(name: str = "primitive_seed") -> dict[str, Any]:
    """A text to picture workflow as the editor saves it."""
    found: dict[str, Any] = json.loads((CASES / "handmade" / f"{name}.ui.json").read_text())
    return found
