"""Waiting for a condition instead of for time. One constant scales every wait."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 20.0 * float(os.environ.get("TEST_PATIENCE", "1"))
POLL_SECONDS = 0.02

T = TypeVar("T")


def eventually(condition: Callable[[], T], *, seconds: float = PATIENCE_SECONDS, what: str = "") -> T:
    """The first truthy value of `condition`. AssertionError with the last value after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what or 'It'} did not happen in {seconds} s; last seen: {value!r}"
        time.sleep(POLL_SECONDS)
