"""A scene for tests of what a relay does when something is wrong: everything that is waited for comes soon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from generations.models import ComfyServer, WorkflowTemplate
from generations.relay import timing
from generations.relay.supervisor import Supervisor
from tests.generations.relay.scene import Reaches, Scene
from tests.support.factories import make_server, make_template
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually, patient


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is waited for comes sooner."""
    monkeypatch.setattr(timing, "TICK_SECONDS", 0.1)
    monkeypatch.setattr(timing, "RECONCILE_SECONDS", 0.3)
    monkeypatch.setattr(timing, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(timing, "PAUSE_AFTER_FAULT_SECONDS", 0.1)
    monkeypatch.setattr(timing, "STOP_AGAIN_SECONDS", 0.3)
    monkeypatch.setattr(timing, "START_SECONDS", 0.0)
    # Not so short that a busy machine is taken for a broken server.
    monkeypatch.setattr(timing, "UNREACHABLE_SECONDS", patient(0.5))
    monkeypatch.setattr(timing, "WITHDRAW_SECONDS", 0.2)


@pytest.fixture
def template(transactional_db: None) -> WorkflowTemplate:
    """Text to image."""
    return make_template()


@pytest.fixture
def scene(
    impatience: None,
    template: WorkflowTemplate,
    relay: Supervisor,
    simulator: RunningSimulator,
    reaches: Reaches,
) -> Scene:
    """A relay that works for one simulator, and is impatient."""
    return Scene(relay, simulator, template, reaches)


@pytest.fixture
def second(scene: Scene) -> Iterator[RunningSimulator]:
    """Another server beside the first, “two”; `let_in` gives it work."""
    with RunningSimulator(step_seconds=0.0) as running:
        make_server("two", running.url, is_draining=True)
        eventually(lambda: ComfyServer.objects.filter(name="two", state="online").exists())
        yield running
