"""Runs recorded on a real server (0.3.64, CPU), as this package's tests use them."""

import base64
import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "recordings"
NAMES = sorted(path.stem for path in _FOLDER.glob("*.json"))
OBJECT_INFO: dict[str, Any] = json.loads((Path(__file__).parent / "object_info.json").read_text())


def recording(name: str) -> dict[str, Any]:
    return json.loads((_FOLDER / f"{name}.json").read_text())  # type: ignore[no-any-return]


def frames(name: str) -> list[str | bytes]:
    """The frames as they came over the wire; later previews are recorded with their first 64 bytes only."""
    return [_frame(entry) for entry in recording(name)["frames"]]


def _frame(entry: dict[str, Any]) -> str | bytes:
    if "json" in entry:
        return json.dumps(entry["json"])
    return base64.b64decode(entry.get("base64") or entry["first_64_base64"])
