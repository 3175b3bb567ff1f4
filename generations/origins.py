"""Which generation made a file, and whose a prompt is that ComfyUI has: by the mark that we ask it to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from generations.comfy.stripping import find_marks
from generations.files import spooling
from generations.models import Generation

# Our entry in a prompt's extra_data, which /queue and /history show, and in the metadata of the files it makes.
MARK = "comfysaas"


@dataclass(frozen=True, slots=True)
class Mark:
    """The generation and attempt that a prompt runs. ComfyUI keeps it, so ours are known by it and not by their ids."""

    generation: str
    attempt: int

    def as_extra_data(self) -> dict[str, object]:
        """For POST /prompt."""
        return {MARK: {"generation": self.generation, "attempt": self.attempt}}

    @classmethod
    def read(cls, extra_data: Mapping[str, object]) -> Mark | None:
        """None for a stranger's prompt."""
        found = extra_data.get(MARK)
        if not isinstance(found, dict):
            return None
        generation, attempt = found.get("generation"), found.get("attempt")
        return cls(generation, attempt) if isinstance(generation, str) and isinstance(attempt, int) else None


def origin_of(file: BinaryIO) -> Generation | None:
    """The generation that made this file: by what ComfyUI wrote into it, else by its bytes; None for any other file.

    Nothing is parsed, and nothing kept in memory: anybody may ask this of any file.
    """
    rows = Generation.objects.select_related("version__template")
    marks = find_marks(file)
    found = rows.in_bulk(marks)
    named = next((found[pk] for pk in marks if pk in found), None)
    return named or rows.filter(outputs__asset__hash=spooling.hash_of(file)).first()
