"""A server of its own for each test that asks for one; they start in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulator.driver import Driver
from tests.support.simulator import RunningSimulator


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    """With the recordings' checkpoint, and without the time of the steps."""
    with RunningSimulator(checkpoints=("tiny-random-sd15.safetensors",), preview_size=64) as running:
        yield running


@pytest.fixture
def driver(simulator: RunningSimulator) -> Iterator[Driver]:
    """A client of that server with one socket."""
    with Driver(simulator.url) as connected:
        yield connected
