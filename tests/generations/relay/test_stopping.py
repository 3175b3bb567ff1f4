"""Work is taken away from servers that are switched off or gone, and what nobody wants any more is stopped."""

from __future__ import annotations

import pytest

from generations.comfy.client import ComfyClient, SystemStats
from generations.comfy.errors import Unavailable
from generations.lifecycle import services
from generations.models import ComfyServer, Status, WorkflowTemplate
from generations.relay import timing
from tests.generations.conftest import running_relay
from tests.generations.relay.scene import Reaches, Scene, let_in, name_of_server, pictures, server
from tests.support.factories import make_server, submit
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("impatience")]


@pytest.mark.usefixtures("second")
def test_what_a_switched_off_server_has_moves_to_another(scene: Scene) -> None:
    running = scene.running(steps=40)
    waiting = scene.waiting(steps=2, seed=5)
    let_in("two")
    ComfyServer.objects.filter(name="one").update(is_enabled=False)
    for generation in (running, waiting):
        done = scene.done(generation)
        assert (name_of_server(done), done.losses, done.outputs.count()) == ("two", 0, 2)
    eventually(scene.is_idle, what="the first server to be left alone")
    eventually(lambda: len(scene.relay._agents) == 1, what="the end of its agent")


def test_a_run_past_its_time_limit_is_stopped_and_says_so(scene: Scene) -> None:
    WorkflowTemplate.objects.update(time_limit_seconds=1)
    scene.simulator.hold()
    failed = scene.reaches(scene.submit(steps=50), Status.FAILED)
    assert failed.error_code == "timed_out"
    assert "1 seconds" in failed.error_message
    assert not pictures(scene.simulator)


def test_a_time_limit_counts_from_a_start_that_is_not_written_yet(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "START_SECONDS", 1000.0)
    WorkflowTemplate.objects.update(time_limit_seconds=1)
    scene.simulator.hold()
    failed = scene.reaches(scene.submit(steps=50), Status.FAILED)
    assert failed.error_code == "timed_out"
    assert failed.started_at is not None


@pytest.mark.usefixtures("second")
def test_work_of_a_server_of_which_only_the_socket_answers_goes_to_another(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    system_stats = ComfyClient.system_stats

    def dead(self: ComfyClient) -> SystemStats:
        if str(scene.simulator.port) in str(self.address):
            msg = "ComfyUI answered HTTP 502."
            raise Unavailable(msg, status=502)
        return system_stats(self)

    generation = scene.running(steps=50)
    let_in("two")
    monkeypatch.setattr(ComfyClient, "system_stats", dead)
    scene.simulator.faults.set(drop_sockets=True)
    done = scene.done(generation)
    assert (name_of_server(done), done.losses) == ("two", 1)
    assert (server().state, server().state_message) == ("unreachable", "ComfyUI answered HTTP 502.")


@pytest.mark.usefixtures("second")
def test_work_of_an_unreachable_server_goes_to_another(scene: Scene) -> None:
    generation = scene.running(steps=50)
    let_in("two")
    scene.simulator.stop()
    done = scene.done(generation)
    assert (name_of_server(done), done.losses) == ("two", 1)


@pytest.mark.usefixtures("eager_tasks")
def test_canceling_on_an_unreachable_server_does_not_wait_for_it_and_is_made_good_later(
    template: WorkflowTemplate, reaches: Reaches
) -> None:
    with RunningSimulator() as simulator, running_relay():
        simulator.hold()
        make_server(url=simulator.url)
        generation = reaches(submit(template, steps=40), Status.RUNNING)
        ComfyServer.objects.update(url="http://127.0.0.1:1")
        eventually(lambda: server().state == "unreachable")
        services.cancel(generation)
        reaches(generation, Status.CANCELED)
        assert simulator.simulator.queue.remaining() == 1
        ComfyServer.objects.update(url=simulator.url)
        eventually(lambda: simulator.simulator.queue.remaining() == 0, what="the canceled run to be stopped")
