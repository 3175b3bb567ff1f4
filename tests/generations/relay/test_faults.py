"""What the relay does when servers are switched off, stuck, deaf, out of memory or meddled with."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from generations.comfy.client import ComfyClient, HistoryEntry, SystemStats
from generations.comfy.errors import ProtocolError, Rejected, Unavailable
from generations.lifecycle import services
from generations.models import ComfyServer, Generation, Status, WorkflowTemplate
from generations.relay import timing
from generations.relay.claiming import Claimer
from generations.relay.supervisor import Supervisor
from generations.simulator.profiles import PROFILES
from tests.generations.conftest import running_relay
from tests.support.factories import make_server, make_template, submit
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually, patient

pytestmark = pytest.mark.django_db(transaction=True)
Reaches = Callable[..., Generation]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is waited for comes sooner."""
    monkeypatch.setattr(timing, "TICK_SECONDS", 0.1)
    monkeypatch.setattr(timing, "RECONCILE_SECONDS", 0.3)
    monkeypatch.setattr(timing, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(timing, "PAUSE_AFTER_FAULT_SECONDS", 0.1)
    monkeypatch.setattr(timing, "STOP_AGAIN_SECONDS", 0.3)
    # Not so short that a busy machine is taken for a broken server.
    monkeypatch.setattr(timing, "UNREACHABLE_SECONDS", patient(0.5))
    monkeypatch.setattr(timing, "WITHDRAW_SECONDS", 0.2)


@pytest.fixture
def template(transactional_db: None) -> WorkflowTemplate:
    return make_template()


@pytest.fixture
def second(relay: Supervisor) -> Iterator[RunningSimulator]:
    """Another server beside the first."""
    with RunningSimulator(step_seconds=0.0) as running:
        make_server("two", running.url, is_draining=True)
        eventually(lambda: ComfyServer.objects.filter(name="two", state="online").exists())
        yield running


def pictures(simulator: RunningSimulator) -> list[Path]:
    return list((Path(simulator.data_dir) / "output").rglob("*.png"))


def post(simulator: RunningSimulator, path: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(f"{simulator.url}{path}", json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=patient(5)):
        pass


def let_in(name: str) -> None:
    ComfyServer.objects.filter(name=name).update(is_draining=False)


def test_what_a_switched_off_server_has_moves_to_another(
    relay: Supervisor,
    simulator: RunningSimulator,
    second: RunningSimulator,
    template: WorkflowTemplate,
    reaches: Reaches,
) -> None:
    simulator.hold()
    running = reaches(submit(template, steps=40), Status.RUNNING)
    waiting = reaches(submit(template, steps=2, seed=5), Status.SUBMITTED)
    let_in("two")
    ComfyServer.objects.filter(name="one").update(is_enabled=False)
    for generation in (running, waiting):
        done = reaches(generation, Status.SUCCEEDED)
        assert done.server is not None
        assert (done.server.name, done.losses, done.outputs.count()) == ("two", 0, 2)
    eventually(lambda: simulator.simulator.queue.remaining() == 0, what="the first server to be left alone")
    eventually(lambda: len(relay._agents) == 1, what="the end of its agent")


def test_a_draining_server_finishes_and_gets_nothing_new(
    relay: Supervisor, simulator: RunningSimulator, template: WorkflowTemplate, reaches: Reaches
) -> None:
    simulator.hold()
    running = reaches(submit(template, steps=10), Status.RUNNING)
    ComfyServer.objects.update(is_draining=True)
    eventually(lambda: all(agent.server.is_draining for agent in relay._agents.values()))
    waiting = submit(template)
    simulator.go_on()
    assert reaches(running, Status.SUCCEEDED).attempt == 1
    assert Generation.objects.get(pk=waiting.pk).status == Status.QUEUED
    let_in("one")
    reaches(waiting, Status.SUCCEEDED)


def test_a_socket_that_hears_nothing_is_replaced(
    relay: Supervisor,
    simulator: RunningSimulator,
    template: WorkflowTemplate,
    reaches: Reaches,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timing, "DEAF_SECONDS", patient(0.3))
    monkeypatch.setattr(timing, "RECONCILE_SECONDS", 60.0)
    (agent,) = relay._agents.values()
    before = agent._session.connection.client_id
    simulator.faults.set(half_open=True)
    simulator.hold()
    generation = submit(template, steps=12)
    eventually(lambda: agent._session.connection.client_id != before, what="another socket")
    simulator.go_on()
    assert reaches(generation, Status.SUCCEEDED).attempt == 1
    assert reaches(submit(template, seed=9), Status.SUCCEEDED).attempt == 1


def test_what_a_stranger_cleared_from_the_queue_is_queued_again(
    relay: Supervisor, simulator: RunningSimulator, template: WorkflowTemplate, reaches: Reaches
) -> None:
    simulator.hold()
    running = reaches(submit(template, steps=15), Status.RUNNING)
    waiting = reaches(submit(template, seed=5), Status.SUBMITTED)
    # Submitted is what it is called before ComfyUI has it.
    eventually(lambda: httpx.get(f"{simulator.url}/queue").json()["queue_pending"], what="the prompt in the queue")
    post(simulator, "/queue", {"clear": True})
    simulator.go_on()
    assert reaches(waiting, Status.SUCCEEDED).losses == 1
    assert reaches(running, Status.SUCCEEDED).losses == 0


def test_what_a_stranger_interrupted_runs_again(
    relay: Supervisor, simulator: RunningSimulator, template: WorkflowTemplate, reaches: Reaches
) -> None:
    simulator.hold()
    running = reaches(submit(template, steps=10), Status.RUNNING)
    post(simulator, "/interrupt", {})
    simulator.go_on()
    done = reaches(running, Status.SUCCEEDED)
    assert (done.attempt, done.losses) == (2, 1)


def test_a_history_that_was_evicted_before_it_was_read_means_running_again(
    relay: Supervisor,
    simulator: RunningSimulator,
    template: WorkflowTemplate,
    reaches: Reaches,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timing, "HISTORY_RETRIES", 2)
    monkeypatch.setattr(timing, "RECONCILE_SECONDS", 60.0)
    simulator.hold()
    simulator.faults.set(history_delay=0.2)
    generation = reaches(submit(template, steps=5), Status.RUNNING)
    simulator.faults.set(half_open=True)
    simulator.go_on()
    eventually(lambda: simulator.simulator.queue.remaining() == 0)
    simulator.faults.set(evict_history=True, drop_sockets=True)
    assert reaches(generation, Status.SUCCEEDED).outputs.count() == 2


def test_a_run_past_its_time_limit_is_stopped_and_says_so(
    relay: Supervisor, simulator: RunningSimulator, template: WorkflowTemplate, reaches: Reaches
) -> None:
    WorkflowTemplate.objects.update(time_limit_seconds=1)
    simulator.hold()
    failed = reaches(submit(template, steps=50), Status.FAILED)
    assert failed.error_code == "timed_out"
    assert "1 seconds" in failed.error_message
    assert not pictures(simulator)


def test_memory_is_freed_and_the_run_tried_once_more(
    relay: Supervisor, simulator: RunningSimulator, template: WorkflowTemplate, reaches: Reaches
) -> None:
    simulator.hold()
    simulator.faults.set(oom={"VAEDecode": ""})
    generation = reaches(submit(template, steps=8), Status.RUNNING)
    ComfyServer.objects.update(is_draining=True)  # so that it waits before it is tried again
    eventually(lambda: all(agent.server.is_draining for agent in relay._agents.values()))
    simulator.go_on()
    eventually(lambda: Generation.objects.get(pk=generation.pk).is_memory_retry)
    simulator.faults.set(oom={})
    let_in("one")
    done = reaches(generation, Status.SUCCEEDED)
    assert (done.attempt, done.losses) == (2, 0)


def test_a_stuck_server_is_found_out_and_left(  # noqa: PLR0917
    relay: Supervisor,
    simulator: RunningSimulator,
    second: RunningSimulator,
    template: WorkflowTemplate,
    reaches: Reaches,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timing, "STUCK_SECONDS", patient(0.5))
    simulator.faults.set(zombie=True)
    generation = reaches(submit(template), Status.SUBMITTED)
    let_in("two")
    eventually(lambda: ComfyServer.objects.get(name="one").state == "wedged")
    assert "Restart this ComfyUI" in ComfyServer.objects.get(name="one").state_message
    done = reaches(generation, Status.SUCCEEDED)
    assert done.server is not None
    assert done.server.name == "two"
    others = [reaches(submit(template, seed=n), Status.SUCCEEDED) for n in range(3)]
    assert {each.server.name for each in others if each.server} == {"two"}
    simulator.faults.set(zombie=False)
    simulator.restart()
    eventually(lambda: ComfyServer.objects.get(name="one").state == "online", what="noticing the restart")
    assert ComfyServer.objects.get(name="one").state_message == ""


def test_another_socket_does_not_unstick_a_server(
    relay: Supervisor,
    simulator: RunningSimulator,
    template: WorkflowTemplate,
    reaches: Reaches,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timing, "STUCK_SECONDS", patient(0.3))
    simulator.faults.set(zombie=True)
    reaches(submit(template), Status.SUBMITTED)
    eventually(lambda: ComfyServer.objects.get().state == "wedged")
    simulator.faults.set(drop_sockets=True)
    eventually(lambda: "what it is given" in ComfyServer.objects.get().state_message, what="another socket")
    assert ComfyServer.objects.get().state == "wedged"


def test_a_prompt_whose_history_cannot_be_read_keeps_nothing_else_waiting(
    relay: Supervisor,
    simulator: RunningSimulator,
    template: WorkflowTemplate,
    reaches: Reaches,
    monkeypatch: pytest.MonkeyPatch,
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
    simulator.hold()
    generation = submit(template, steps=4)
    given_up = reaches(submit(template, steps=4, seed=5), Status.SUBMITTED)
    simulator.go_on()
    eventually(lambda: len(broken) > 5, what="looking again")
    reaches(given_up, Status.SUCCEEDED)
    reaches(submit(template, seed=6), Status.SUCCEEDED)
    simulator.faults.set(drop_sockets=True)  # whatever is done after a connect is done nevertheless
    reaches(submit(template, seed=7), Status.SUCCEEDED)


def test_work_of_a_server_of_which_only_the_socket_answers_goes_to_another(  # noqa: PLR0917
    relay: Supervisor,
    simulator: RunningSimulator,
    second: RunningSimulator,
    template: WorkflowTemplate,
    reaches: Reaches,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system_stats = ComfyClient.system_stats

    def dead(self: ComfyClient) -> SystemStats:
        if str(simulator.port) in str(self.address):
            msg = "ComfyUI answered HTTP 502."
            raise Unavailable(msg, status=502)
        return system_stats(self)

    simulator.hold()
    generation = reaches(submit(template, steps=50), Status.RUNNING)
    let_in("two")
    monkeypatch.setattr(ComfyClient, "system_stats", dead)
    simulator.faults.set(drop_sockets=True)
    done = reaches(generation, Status.SUCCEEDED)
    assert done.server is not None
    assert (done.server.name, done.losses) == ("two", 1)
    server = ComfyServer.objects.get(name="one")
    assert (server.state, server.state_message) == ("unreachable", "ComfyUI answered HTTP 502.")


def test_a_refusal_is_no_failure_while_nobody_can_tell_what_the_server_lacks(
    relay: Supervisor,
    simulator: RunningSimulator,
    template: WorkflowTemplate,
    reaches: Reaches,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It lost a node, and does not say so."""
    refused: list[str] = []
    on_rejected = Claimer._on_rejected

    def counting(self: Claimer, generation: Generation, error: Rejected) -> bool:
        is_dealt_with = on_rejected(self, generation, error)
        refused.append(error.type)  # only now: the catalog that it reads meanwhile has to fail as well
        return is_dealt_with

    monkeypatch.setattr(Claimer, "_on_rejected", counting)
    registry = simulator.simulator.registry
    saving = registry.pop("SaveImage")
    simulator.faults.set(object_info_error=True)
    generation = submit(template)
    eventually(lambda: len(refused) > 1, what="trying again")
    registry["SaveImage"] = saving
    simulator.faults.set(object_info_error=False)
    assert reaches(generation, Status.SUCCEEDED).losses == 0


def test_a_catalog_that_cannot_be_read_for_any_reason_is_read_again_soon(
    relay: Supervisor, simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "CATALOG_RETRY_SECONDS", 0.1)
    object_info = ComfyClient.object_info
    reads: list[str] = []

    def failing(self: ComfyClient) -> dict[str, object]:
        reads.append(str(self.address))
        if len(reads) < 3:
            msg = "nobody thought of this"
            raise RuntimeError(msg)
        return {**object_info(self), "New": {}}

    monkeypatch.setattr(ComfyClient, "object_info", failing)
    simulator.faults.set(drop_sockets=True)  # it is read after each connect
    eventually(lambda: "New" in (ComfyServer.objects.get().object_info or {}), what="the new catalog")
    assert len(reads) == 3


def test_what_another_address_told_is_not_the_catalog(
    relay: Supervisor, simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody moves the server while the agent of the old address reads."""
    object_info = ComfyClient.object_info
    reads: list[str] = []

    def moving(self: ComfyClient) -> dict[str, object]:
        ComfyServer.objects.update(url="http://127.0.0.1:1")
        reads.append(str(self.address))
        return {**object_info(self), "Old": {}}

    (agent,) = relay._agents.values()
    before = ComfyServer.objects.get().catalog_digest
    monkeypatch.setattr(ComfyClient, "object_info", moving)
    agent._catalog_reader.read()
    assert reads
    assert ComfyServer.objects.get().catalog_digest == before


def test_work_of_an_unreachable_server_goes_to_another(
    relay: Supervisor,
    simulator: RunningSimulator,
    second: RunningSimulator,
    template: WorkflowTemplate,
    reaches: Reaches,
) -> None:
    simulator.hold()
    generation = reaches(submit(template, steps=50), Status.RUNNING)
    let_in("two")
    simulator.stop()
    done = reaches(generation, Status.SUCCEEDED)
    assert done.server is not None
    assert (done.server.name, done.losses) == ("two", 1)


def test_canceling_on_an_unreachable_server_does_not_wait_for_it_and_is_made_good_later(
    transactional_db: None, eager_tasks: None, template: WorkflowTemplate, reaches: Reaches
) -> None:
    with RunningSimulator() as simulator, running_relay():
        simulator.hold()
        make_server(url=simulator.url)
        generation = reaches(submit(template, steps=40), Status.RUNNING)
        ComfyServer.objects.update(url="http://127.0.0.1:1")
        eventually(lambda: ComfyServer.objects.get().state == "unreachable")
        services.cancel(generation)
        reaches(generation, Status.CANCELED)
        assert simulator.simulator.queue.remaining() == 1
        ComfyServer.objects.update(url=simulator.url)
        eventually(lambda: simulator.simulator.queue.remaining() == 0, what="the canceled run to be stopped")


def test_a_cached_picture_whose_file_is_gone_is_made_anew(
    relay: Supervisor, simulator: RunningSimulator, template: WorkflowTemplate, reaches: Reaches
) -> None:
    reaches(submit(template, seed=7), Status.SUCCEEDED)
    for path in pictures(simulator):
        path.unlink()
    done = reaches(submit(template, seed=7), Status.SUCCEEDED)
    assert done.is_cache_bypassed
    assert done.outputs.count() == 2
    assert done.attempt == 2


def test_a_crash_between_claim_and_submission_is_made_good(
    relay: Supervisor, simulator: RunningSimulator, template: WorkflowTemplate, reaches: Reaches
) -> None:
    server = ComfyServer.objects.get()
    ComfyServer.objects.update(is_draining=True)
    eventually(lambda: all(agent.server.is_draining for agent in relay._agents.values()))
    generation = submit(template)
    assert Generation.objects.claim(generation.pk, server=server)  # and then the relay died
    let_in("one")
    done = reaches(generation, Status.SUCCEEDED)
    assert (done.attempt, done.outputs.count()) == (2, 2)


def test_the_measured_run_time_is_learned(
    relay: Supervisor, simulator: RunningSimulator, template: WorkflowTemplate, reaches: Reaches
) -> None:
    before = WorkflowTemplate.objects.get().mean_seconds
    reaches(submit(template), Status.SUCCEEDED)
    assert WorkflowTemplate.objects.get().mean_seconds < before


@pytest.mark.parametrize("profile", list(PROFILES))
@pytest.mark.usefixtures("eager_tasks")
def test_every_version_of_comfyui_is_served(profile: str, template: WorkflowTemplate, reaches: Reaches) -> None:
    """Runs, cancels the right one, and survives a restart, whatever the server can do."""
    with RunningSimulator(profile=profile) as simulator, running_relay():
        simulator.hold()
        make_server(url=simulator.url)
        first = reaches(submit(template, steps=6), Status.RUNNING)
        second = reaches(submit(template, steps=6, seed=3), Status.SUBMITTED)
        services.cancel(first)
        reaches(first, Status.CANCELED)
        simulator.go_on()
        done = reaches(second, Status.SUCCEEDED)
        assert (done.losses, done.outputs.count()) == (0, 2)
        simulator.hold()
        third = reaches(submit(template, steps=10, seed=4), Status.RUNNING)
        simulator.restart()
        simulator.go_on()
        done = reaches(third, Status.SUCCEEDED)
        assert (done.losses, done.outputs.count()) == (1, 2)
        assert ComfyServer.objects.get().comfyui_version == PROFILES[profile].version


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


def test_a_node_that_cannot_be_stopped_means_a_stuck_server(
    relay: Supervisor,
    simulator: RunningSimulator,
    template: WorkflowTemplate,
    reaches: Reaches,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timing, "UNSTOPPABLE_SECONDS", patient(0.5))
    WorkflowTemplate.objects.update(time_limit_seconds=1)
    simulator.faults.set(stuck_node=True)
    generation = submit(template)
    eventually(lambda: ComfyServer.objects.get().state == "wedged")
    assert "cannot be stopped" in ComfyServer.objects.get().state_message
    reaches(generation, Status.QUEUED)
    simulator.faults.set(stuck_node=False)
    simulator.restart()
    assert reaches(generation, Status.SUCCEEDED).losses == 1
