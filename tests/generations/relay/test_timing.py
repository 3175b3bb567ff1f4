"""When an agent does what."""

from __future__ import annotations

import time

import pytest

from generations.relay import timing
from generations.relay.timing import Timers


def test_everything_is_due_at_the_start_and_a_pause_puts_off_claims_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    timers = Timers()
    assert timers == Timers(claim=0.0, idle=0.0, reconcile=0.0, look_around=0.0, catalog=0.0)
    monkeypatch.setattr(timing, "PAUSE_AFTER_FAULT_SECONDS", 1000.0)  # whoever changes it changes every pause
    before = time.monotonic()
    timers.pause_claims()
    assert before + 1000.0 <= timers.claim <= time.monotonic() + 1000.0
    assert timers == Timers(claim=timers.claim)
