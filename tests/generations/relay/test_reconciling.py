"""What became of prompts is found out, whatever was missed: strangers at work, crashes, and servers that are stuck."""

from __future__ import annotations

import httpx
import pytest

from generations.comfy.client import ComfyClient, HistoryEntry
from generations.comfy.errors import ProtocolError
from generations.models import ComfyServer, Generation, Status, WorkflowTemplate
from generations.relay import timing
from tests.generations.conftest import running_relay
from tests.generations.relay.scene import Reaches, Scene, let_in, name_of_server, pictures, post, server
from tests.support.factories import make_server, submit
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually, patient

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("impatience")]


def test_what_a_stranger_cleared_from_the_queue_is_queued_again(scene: Scene) -> None:
    running, waiting = scene.running(steps=15), scene.waiting(seed=5)
    # Submitted is what it is called before ComfyUI has it.
    queue = f"{scene.simulator.url}/queue"
    eventually(lambda: httpx.get(queue).json()["queue_pending"], what="the prompt in the queue")
    post(scene.simulator, "/queue", {"clear": True})
    scene.simulator.go_on()
    assert scene.done(waiting).losses == 1
    assert scene.done(running).losses == 0


def test_what_a_stranger_interrupted_runs_again(scene: Scene) -> None:
    running = scene.running(steps=10)
    post(scene.simulator, "/interrupt", {})
    scene.simulator.go_on()
    done = scene.done(running)
    assert (done.attempt, done.losses) == (2, 1)


def test_a_history_that_was_evicted_before_it_was_read_means_running_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "HISTORY_RETRIES", 2)
    monkeypatch.setattr(timing, "RECONCILE_SECONDS", 60.0)
    scene.simulator.faults.set(history_delay=0.2)
    generation = scene.running(steps=5)
    scene.simulator.faults.set(half_open=True)
    scene.simulator.go_on()
    eventually(scene.is_idle)
    scene.simulator.faults.set(evict_history=True, drop_sockets=True)
    assert scene.done(generation).outputs.count() == 2


@pytest.mark.usefixtures("second")
def test_a_stuck_server_is_found_out_and_left(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "STUCK_SECONDS", patient(0.5))
    scene.simulator.faults.set(zombie=True)
    generation = scene.waiting()
    let_in("two")
    eventually(lambda: server().state == "wedged")
    assert "Restart this ComfyUI" in server().state_message
    assert name_of_server(scene.done(generation)) == "two"
    assert {name_of_server(scene.done(seed=n)) for n in range(3)} == {"two"}
    scene.simulator.faults.set(zombie=False)
    scene.simulator.restart()
    eventually(lambda: server().state == "online", what="noticing the restart")
    assert server().state_message == ""


def test_another_socket_does_not_unstick_a_server(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "STUCK_SECONDS", patient(0.3))
    scene.simulator.faults.set(zombie=True)
    scene.waiting()
    eventually(lambda: server().state == "wedged")
    scene.simulator.faults.set(drop_sockets=True)
    eventually(lambda: "what it is given" in server().state_message, what="another socket")
    assert server().state == "wedged"


def test_a_node_that_cannot_be_stopped_means_a_stuck_server(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "UNSTOPPABLE_SECONDS", patient(0.5))
    WorkflowTemplate.objects.update(time_limit_seconds=1)
    scene.simulator.faults.set(stuck_node=True)
    generation = scene.submit()
    eventually(lambda: server().state == "wedged")
    assert "cannot be stopped" in server().state_message
    scene.reaches(generation, Status.QUEUED)
    scene.simulator.faults.set(stuck_node=False)
    scene.simulator.restart()
    assert scene.done(generation).losses == 1


def test_a_prompt_whose_history_cannot_be_read_keeps_nothing_else_waiting(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = ComfyClient.history
    broken: list[str] = []

    def breaking(self: ComfyClient, prompt_id: str) -> HistoryEntry | None:
        if prompt_id == str(generation.pk):
            broken.append(prompt_id)
            msg = "ComfyUI sent a history entry that is not an object."
            raise ProtocolError(msg)
        return history(self, prompt_id)

    monkeypatch.setattr(ComfyClient, "history", breaking)
    scene.simulator.hold()
    generation = scene.submit(steps=4)
    given_up = scene.waiting(steps=4, seed=5)
    scene.simulator.go_on()
    eventually(lambda: len(broken) > 5, what="looking again")
    scene.done(given_up)
    scene.done(seed=6)
    scene.simulator.faults.set(drop_sockets=True)  # whatever is done after a connect is done nevertheless
    scene.done(seed=7)


def test_a_crash_between_claim_and_submission_is_made_good(scene: Scene) -> None:
    scene.drain()
    generation = scene.submit()
    assert Generation.objects.claim(generation.pk, server=server())  # and then the relay died
    let_in("one")
    done = scene.done(generation)
    assert (done.attempt, done.outputs.count()) == (2, 2)


@pytest.mark.usefixtures("eager_tasks")
def test_a_server_that_draws_its_own_ids_is_searched_for_ours(template: WorkflowTemplate, reaches: Reaches) -> None:
    """Its answer to POST /prompt is lost: the prompt is found by its mark, and run once only."""
    with RunningSimulator(step_seconds=0.02, profile="0.3.40") as simulator, running_relay() as relay:
        make_server(url=simulator.url)
        eventually(lambda: ComfyServer.objects.filter(state="online").exists())
        (agent,) = relay._agents.values()
        agent._session.client._http.timeout = httpx.Timeout(patient(0.5))
        simulator.faults.set(post_timeout=1)
        done = reaches(submit(template, steps=4), Status.SUCCEEDED)
        assert (done.attempt, done.outputs.count()) == (1, 2)
        assert len(pictures(simulator)) == 2  # this workflow makes two
