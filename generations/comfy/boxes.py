"""Which nodes lie in which group of the editor, by the boxes that a file has.

Source: LGraphGroup.recomputeInsideNodes and LGraphNode.measure of ComfyUI_frontend: a node belongs to a group that its
centre lies in, with its title above it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from generations.comfy.editor import Definition, EditorNode

TITLE_HEIGHT = 30
_COLLAPSED_WIDTHS = (40, 400)  # it follows the title's font, which no file tells


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    x: float
    y: float
    width: float
    height: float

    def holds(self, node: EditorNode) -> bool | None:
        """None when the file does not tell, or it is so close that one cannot be sure."""
        pos, size = _pair(node.saved.get("pos")), _pair(node.saved.get("size"))
        flags = node.saved.get("flags")
        if pos is None or size is None:
            return None
        (x, y), (width, height) = pos, size
        is_collapsed = isinstance(flags, Mapping) and bool(flags.get("collapsed"))
        if is_collapsed:
            centres = [(x + wide / 2, y - TITLE_HEIGHT / 2) for wide in _COLLAPSED_WIDTHS]
        else:
            centres = [(x + width / 2, y + (height - TITLE_HEIGHT) / 2), (x + width / 2, y + height / 2)]
        found = {self._contains(*centre) for centre in centres}
        return found.pop() if len(found) == 1 else None

    def _contains(self, x: float, y: float) -> bool:
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


def read_groups(definition: Definition) -> list[Group]:
    """The groups of a workflow or sub-graph; those without a box are left out."""
    rows = definition.saved.get("groups")
    return [group for row in (rows if isinstance(rows, list) else ()) if (group := _read(row)) is not None]


def _read(row: object) -> Group | None:
    if not isinstance(row, Mapping):
        return None
    numbers = _numbers(row.get("bounding"), 4)
    title = row.get("title")
    return Group(title if isinstance(title, str) else "", *numbers) if numbers else None


def _pair(value: object) -> tuple[float, float] | None:
    numbers = _numbers(value, 2)
    return (numbers[0], numbers[1]) if numbers else None


def _numbers(value: object, count: int) -> list[float] | None:
    """The first numbers of a list, or of an object that an array was saved as."""
    entries: Iterable[object] = value if isinstance(value, list) else ()
    if isinstance(value, Mapping):
        entries = [value.get(str(index)) for index in range(count)]
    found = [float(each) for each in entries if isinstance(each, int | float) and math.isfinite(each)][:count]
    return found if len(found) == count else None
