"""Bounds of use where nodes allow what no model can do, such as 16384 pixels or a film that never ends."""

from __future__ import annotations

from collections.abc import Mapping

from generations.parameters.schema import Parameter

_ABSURD = 8192
# By role: pixels that most models can draw, seconds that most can film.
_MOST: Mapping[str, int] = {"width": 2048, "height": 2048, "duration": 60, "fps": 120}
_LEAST: Mapping[str, int] = {"width": 1, "height": 1, "duration": 0, "frames": 1, "fps": 1, "steps": 1, "guidance": 0}
NARROWED = frozenset({*_MOST, *_LEAST})  # roles of which proposals are tighter than nodes


def sensible(parameter: Parameter) -> Parameter:
    """With the greatest value that its role makes sense of, or twice its default; never looser. Admins may raise it."""
    most, default, top = _MOST.get(parameter.role), parameter.default, parameter.maximum
    changes: dict[str, object] = {}
    if most and isinstance(default, int | float) and top is not None and top > _ABSURD:
        changes["maximum"] = min(top, max(most, 2 * default, parameter.minimum or 0))
    least = _LEAST.get(parameter.role)
    if least is not None and parameter.minimum is not None and parameter.minimum < -_ABSURD:
        changes["minimum"] = min(least, default) if isinstance(default, int | float) else least
    return parameter.model_copy(update=changes)
