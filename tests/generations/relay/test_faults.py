"""What the relay does when servers are drained, deaf, out of memory or of another version."""

from __future__ import annotations

import pytest

from generations.comfy.errors import Rejected
from generations.lifecycle import services
from generations.models import Generation, Status, WorkflowTemplate
from generations.relay import timing
from generations.relay.claiming import Claimer
from generations.simulator.profiles import PROFILES
from tests.generations.conftest import running_relay
from tests.generations.relay.scene import Reaches, Scene, let_in, pictures, server
from tests.support.factories import make_server
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually, patient

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("impatience")]


def test_a_draining_server_finishes_and_gets_nothing_new(scene: Scene) -> None:
    running = scene.running(steps=10)
    scene.drain()
    waiting = scene.submit()
    scene.simulator.go_on()
    assert scene.done(running).attempt == 1
    assert Generation.objects.get(pk=waiting.pk).status == Status.QUEUED
    let_in("one")
    scene.done(waiting)


def test_a_socket_that_hears_nothing_is_replaced(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "DEAF_SECONDS", patient(0.3))
    monkeypatch.setattr(timing, "RECONCILE_SECONDS", 60.0)
    (agent,) = scene.relay._agents.values()
    before = agent._session.connection.client_id
    scene.simulator.faults.set(half_open=True)
    scene.simulator.hold()
    generation = scene.submit(steps=12)
    eventually(lambda: agent._session.connection.client_id != before, what="another socket")
    scene.simulator.go_on()
    assert scene.done(generation).attempt == 1
    assert scene.done(seed=9).attempt == 1


def test_memory_is_freed_and_the_run_tried_once_more(scene: Scene) -> None:
    scene.simulator.faults.set(oom={"VAEDecode": ""})
    generation = scene.running(steps=8)
    scene.drain()  # so that it waits before it is tried again
    scene.simulator.go_on()
    eventually(lambda: Generation.objects.get(pk=generation.pk).is_memory_retry)
    scene.simulator.faults.set(oom={})
    let_in("one")
    done = scene.done(generation)
    assert (done.attempt, done.losses) == (2, 0)


def test_a_refusal_is_no_failure_while_nobody_can_tell_what_the_server_lacks(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lost a node, and does not say so."""
    refused: list[str] = []
    on_rejected = Claimer._on_rejected

    def counting(self: Claimer, generation: Generation, error: Rejected) -> bool:
        is_dealt_with = on_rejected(self, generation, error)
        refused.append(error.type)  # only now: the catalog that it reads meanwhile has to fail as well
        return is_dealt_with

    monkeypatch.setattr(Claimer, "_on_rejected", counting)
    registry = scene.simulator.simulator.registry
    saving = registry.pop("SaveImage")
    scene.simulator.faults.set(object_info_error=True)
    generation = scene.submit()
    eventually(lambda: len(refused) > 1, what="trying again")
    registry["SaveImage"] = saving
    scene.simulator.faults.set(object_info_error=False)
    assert scene.done(generation).losses == 0


def test_a_cached_picture_whose_file_is_gone_is_made_anew(scene: Scene) -> None:
    scene.done(seed=7)
    for path in pictures(scene.simulator):
        path.unlink()
    done = scene.done(seed=7)
    assert done.is_cache_bypassed
    assert done.outputs.count() == 2
    assert done.attempt == 2


def test_the_measured_run_time_is_learned(scene: Scene) -> None:
    before = WorkflowTemplate.objects.get().mean_seconds
    scene.done()
    assert WorkflowTemplate.objects.get().mean_seconds < before


@pytest.mark.parametrize("profile", list(PROFILES))
@pytest.mark.usefixtures("eager_tasks")
def test_every_version_of_comfyui_is_served(profile: str, template: WorkflowTemplate, reaches: Reaches) -> None:
    """Runs, cancels the right one, and survives a restart, whatever the server can do."""
    with RunningSimulator(profile=profile) as simulator, running_relay() as relay:
        scene = Scene(relay, simulator, template, reaches)
        make_server(url=simulator.url)
        first, second = scene.running(steps=6), scene.waiting(steps=6, seed=3)
        services.cancel(first)
        reaches(first, Status.CANCELED)
        simulator.go_on()
        done = scene.done(second)
        assert (done.losses, done.outputs.count()) == (0, 2)
        third = scene.running(steps=10, seed=4)
        simulator.restart()
        simulator.go_on()
        done = scene.done(third)
        assert (done.losses, done.outputs.count()) == (1, 2)
        assert server().comfyui_version == PROFILES[profile].version
