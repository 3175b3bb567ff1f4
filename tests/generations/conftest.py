"""A relay at work in this process, on a simulator that tests can break."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from generations.models import ComfyServer, Generation
from generations.relay import supervisor as supervisor_module
from generations.relay.supervisor import Supervisor
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually, patient

FAST_SECONDS = 0.05


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    """A ComfyUI of 0.3.64 to talk to."""
    with RunningSimulator(step_seconds=0.0) as running:
        yield running


@contextmanager
def running_relay() -> Iterator[Supervisor]:
    """A relay in threads."""
    supervisor = Supervisor()
    thread = threading.Thread(target=supervisor.run, name="relay under test", daemon=True)
    thread.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()
        thread.join(patient(20))
        assert not thread.is_alive()


def is_connected(name: str) -> bool:
    """True once a relay has reached this server and read what it has."""
    return ComfyServer.objects.filter(name=name, state="online").exclude(catalog_digest="").exists()


@pytest.fixture
def relay(
    transactional_db: None, eager_tasks: None, simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Supervisor]:
    """A relay that works for the simulator and looks around often."""
    monkeypatch.setattr(supervisor_module, "RENEW_SECONDS", FAST_SECONDS)
    ComfyServer.objects.create(name="one", url=simulator.url)
    with running_relay() as supervisor:
        eventually(lambda: is_connected("one"), what="connecting")
        yield supervisor


@pytest.fixture
def reaches() -> Callable[..., Generation]:
    """Waits until a generation has one of some statuses, and returns it fresh."""

    def wait(generation: Generation, *statuses: str, **options: Any) -> Generation:
        def look() -> Generation | None:
            fresh = Generation.objects.select_related("version__template").get(pk=generation.pk)
            return fresh if fresh.status in statuses else None

        return eventually(look, what=f"status {statuses} of {generation}", **options)

    return wait
