"""How often somebody may guess."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def guesses_anywhere(settings: Any) -> int:
    """How many wrong passwords an account takes from everywhere together: fewer than in earnest, which takes long."""
    assert settings.ACCOUNT_RATE_LIMITS["login_failed_anywhere"] == "100/h/key"
    settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, "login_failed_anywhere": "8/h/key"}
    return 8


@pytest.fixture
def patient_guesses(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets so many seconds pass each time that allauth's limits look at the clock, once for each limit."""

    def make(seconds: int) -> None:
        ticks = itertools.count(int(time.time()), seconds)
        clock = SimpleNamespace(time=lambda: next(ticks), monotonic=time.monotonic, sleep=time.sleep)
        monkeypatch.setattr("allauth.core.internal.ratelimit.time", clock)

    return make
