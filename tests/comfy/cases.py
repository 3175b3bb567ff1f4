"""The recorded cases in `conversion/`: workflows, and what the editor itself made of them."""

from __future__ import annotations

import importlib.resources
from functools import cache
from typing import Any

from generations.comfy.editor import is_editor_format
from generations.comfy.wire import decode
from tests.support.workflows import CASES

OFFICIAL = {"0.1.95": "comfyui_workflow_templates", "newest": "comfyui_workflow_templates_json"}


def plain(value: Any) -> Any:
    """Without titles, and with 8.0 as 8, as JavaScript writes it."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if key != "_meta"}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def load(folder: str, name: str) -> Any:
    return decode((CASES / folder / f"{name}.ui.json").read_text())


def names(folder: str) -> list[str]:
    return sorted(path.name.removesuffix(".ui.json") for path in (CASES / folder).glob("*.ui.json"))


@cache
def official(release: str) -> dict[str, Any]:
    folder = importlib.resources.files(OFFICIAL[release]) / "templates"
    found = {path.name.removesuffix(".json"): path for path in folder.iterdir() if path.name.endswith(".json")}
    read = {name: decode(path.read_text("utf-8")) for name, path in sorted(found.items())}
    return {name: value for name, value in read.items() if is_editor_format(value)}
