"""A stand-in for the client of a ComfyUI server that takes uploads."""

from __future__ import annotations

from typing import Any


class Uploads:
    """Notes the folder and name of each file that is uploaded, and puts it where it was asked to."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def upload_image(self, name: str, _file: Any, *, subfolder: str, **_options: Any) -> str:
        """The value for the input that reads the file."""
        self.names.append(f"{subfolder}/{name}")
        return self.names[-1]
