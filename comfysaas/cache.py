"""How values are kept in Redis: as JSON. Pickle would let whoever can write there run code here."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from django.utils.functional import Promise


class JsonSerializer:
    """For Django's RedisCache. Whole numbers are written as Redis counts them.

    What JSON cannot give back as it was is refused, except for the dataclasses and lazy texts that the admin's search
    caches: they return as dicts and texts, which templates read alike.
    """

    def dumps(self, value: Any) -> str:
        """TypeError for what JSON cannot express."""
        return json.dumps(value, default=_plain)

    def loads(self, data: bytes) -> Any:
        """ValueError for what is no JSON."""
        return json.loads(data)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Promise):
        return str(value)
    msg = f"A {type(value).__name__} cannot be cached: it is no JSON"
    raise TypeError(msg)
