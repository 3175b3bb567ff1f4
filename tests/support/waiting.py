"""Waiting for a condition instead of for time. One constant, `PATIENCE`, scales every wait of the suite.

Waits end as soon as their condition holds, so a large factor costs time only when a test fails. On a machine that is
slower or busier still, set `TEST_PATIENCE`: no test has a deadline of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = float(os.environ.get("TEST_PATIENCE") or 4)
POLL_SECONDS = 0.02

T = TypeVar("T")


def patient(seconds: float) -> float:
    """That many seconds on an idle machine, as many as needed on a busy one: for every timeout that a test sets."""
    return seconds * PATIENCE


def eventually(condition: Callable[[], T], *, seconds: float = 20.0, what: str = "") -> T:
    """The first truthy value of `condition`. AssertionError with the last value after `patient(seconds)`."""
    deadline = time.monotonic() + patient(seconds)
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what or 'It'} did not happen in {patient(seconds)} s, but {value!r}"
        time.sleep(POLL_SECONDS)
