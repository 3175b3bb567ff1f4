"""What the versions do differently."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from generations.comfy.client import ComfyClient
from generations.comfy.errors import NotSupported, Rejected
from generations.comfy.state import read_system_stats
from generations.simulator.profiles import PROFILES
from tests.support.graphs import plain
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually

GRAPH = plain()


@pytest.fixture(params=list(PROFILES))
def running(request: pytest.FixtureRequest) -> Iterator[tuple[str, RunningSimulator]]:
    with RunningSimulator(profile=request.param) as simulator:
        yield request.param, simulator


def submit(client: ComfyClient, graph: dict[str, Any] | None = None, **extra_data: object) -> tuple[str, str]:
    """(the id asked for, the id given)."""
    wanted = str(uuid.uuid4())
    made = client.submit(graph or GRAPH, client_id="c", prompt_id=wanted, extra_data=extra_data)
    return wanted, made.prompt_id


def test_ids_versions_and_flags(running: tuple[str, RunningSimulator]) -> None:
    name, simulator = running
    with ComfyClient(simulator.url) as client:
        wanted, given = submit(client, note="mine")
        assert (wanted == given) is PROFILES[name].honours_prompt_ids
        assert client.system_stats().version == PROFILES[name].version
        assert bool(client.features()) is PROFILES[name].has_feature_flags
        entry = eventually(lambda: client.history(given))
        assert entry.extra_data["note"] == "mine"
        assert [each.prompt_id for each in client.recent_history(5)] == [given]


def test_jobs_tell_waiting_running_ended_and_unknown(running: tuple[str, RunningSimulator]) -> None:
    name, simulator = running
    simulator.faults.set(zombie=True)
    with ComfyClient(simulator.url) as client:
        if not PROFILES[name].has_jobs:
            with pytest.raises(NotSupported):
                client.job(str(uuid.uuid4()))
            return
        assert client.job(str(uuid.uuid4())) is None
        _, first = submit(client)
        _, second = submit(client)
        eventually(lambda: simulator.simulator.queue.is_running(first))
        statuses = [job.status for job in (client.job(first), client.job(second)) if job]
        assert statuses == ["in_progress", "pending"]
        listed = httpx.get(f"{simulator.url}/api/jobs", params={"status": "pending"}).json()
        assert [job["id"] for job in listed["jobs"]] == [second]
        assert listed["pagination"]["total"] == 1
        simulator.faults.set(zombie=False)
        eventually(lambda: (job := client.job(second)) and job.status == "completed")
        assert httpx.get(f"{simulator.url}/api/jobs").json()["pagination"]["total"] == 2


def test_cancel_takes_out_of_the_queue_or_interrupts(running: tuple[str, RunningSimulator]) -> None:
    name, simulator = running
    with ComfyClient(simulator.url) as client:
        if not PROFILES[name].has_job_cancel:
            with pytest.raises(NotSupported):
                client.cancel_job(str(uuid.uuid4()))
            return
        simulator.faults.set(zombie=True)
        _, first = submit(client)
        _, second = submit(client)
        eventually(lambda: simulator.simulator.queue.is_running(first))
        assert client.cancel_job(second) is True
        assert client.job(second) is None
        assert client.cancel_job(second) is False


@pytest.mark.parametrize(("name", "kind"), [("0.9", "invalid_prompt"), ("newest", "missing_node_type")])
def test_an_unknown_class_is_named(name: str, kind: str) -> None:
    with RunningSimulator(profile=name) as simulator, ComfyClient(simulator.url) as client:
        graph = {**GRAPH, "7": {"class_type": "Unheard", "inputs": {}}}
        with pytest.raises(Rejected) as refusal:
            submit(client, graph)
        assert refusal.value.type == kind


def test_the_newest_wants_proper_ids_and_no_other_sites() -> None:
    with RunningSimulator(profile="newest") as simulator:
        body = {"prompt": GRAPH, "client_id": "c", "prompt_id": "P"}
        refused = httpx.post(f"{simulator.url}/prompt", json=body)
        assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_prompt_id")
        assert httpx.get(f"{simulator.url}/queue", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


@pytest.mark.parametrize("name", ["0.3.64", "newest"])
def test_secrets_in_the_queue(name: str) -> None:
    with RunningSimulator(profile=name) as simulator, ComfyClient(simulator.url) as client:
        simulator.faults.set(zombie=True)
        submit(client, api_key_comfy_org="secret")
        (item,) = eventually(lambda: client.queue().running)
        assert ("api_key_comfy_org" in item.extra_data) is (name == "0.3.64")


def test_a_stuck_node_is_not_interrupted_and_a_restart_helps() -> None:
    with RunningSimulator() as simulator, ComfyClient(simulator.url) as client:
        simulator.faults.set(stuck_node=True)
        _, prompt_id = submit(client)
        eventually(lambda: simulator.simulator.queue.is_running(prompt_id))
        client.interrupt(prompt_id)
        client.interrupt(prompt_id)  # answered: the first one had its time
        assert simulator.simulator.queue.is_running(prompt_id)
        simulator.faults.set(stuck_node=False)
        simulator.restart()
        _, prompt_id = submit(client)
        assert eventually(lambda: client.history(prompt_id))


def test_what_others_do_to_queue_and_history() -> None:
    with RunningSimulator() as simulator, ComfyClient(simulator.url) as client:
        _, ended = submit(client)
        eventually(lambda: client.history(ended))
        simulator.faults.set(zombie=True)
        _, running = submit(client)
        submit(client)
        eventually(lambda: len(client.queue().pending) == 1 and client.queue().running)
        simulator.faults.set(clear_queue=True, evict_history=True)
        assert [item.prompt_id for item in client.queue().running] == [running]
        assert not client.queue().pending
        assert client.history(ended) is None


def test_jobs_take_as_long_as_they_are_told() -> None:
    with RunningSimulator(job_seconds=0.3) as simulator, ComfyClient(simulator.url) as client:
        began = time.monotonic()
        _, prompt_id = submit(client)
        eventually(lambda: client.history(prompt_id))
        assert time.monotonic() - began >= 0.3


def test_simulator_says_that_it_is_one_and_others_do_not() -> None:
    with RunningSimulator() as simulator, ComfyClient(simulator.url) as client:
        assert client.system_stats().is_simulator
    assert not read_system_stats({"system": {"pytorch_version": "2.9.0+cu130"}}).is_simulator
