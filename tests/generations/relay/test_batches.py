"""A node that makes its result in several prompts, and queues the next one itself, is followed to its end."""

from __future__ import annotations

import itertools
import json
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import pytest

from generations.comfy.client import ComfyClient, HistoryEntry
from generations.lifecycle import services
from generations.models import ComfyServer, Generation, Status
from generations.relay import frames, timing
from generations.relay.collecting import Collector
from generations.relay.supervisor import Supervisor
from generations.relay.upstream import Upstream
from generations.simulator.nodes.base import Context, Environment, Node, Result
from tests.generations.conftest import is_connected, running_relay
from tests.support.factories import make_template, make_user, version_of
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)
Reaches = Callable[..., Generation]
SIZE = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
FILM = {
    "1": {"class_type": "EmptyImage", "inputs": SIZE},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "film"}},
}


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    """Each prompt takes a moment."""
    with RunningSimulator(job_seconds=0.4) as running:
        yield running


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay looks around all the time, so that whatever it would stop, it stops."""
    monkeypatch.setattr(timing, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(timing, "RECONCILE_SECONDS", 0.05)
    monkeypatch.setattr(timing, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(timing, "STOP_AGAIN_SECONDS", 0.2)


def submit(graph: dict[str, Any] = FILM, **fields: Any) -> Generation:
    template = make_template(graph=graph, parameters=[], **fields)
    return services.submit(user=make_user(), version=version_of(template), inputs={})


def part(generation: Generation, number: int) -> Generation:
    """Waits until the relay follows that part of it, from 0."""

    def look() -> Generation | None:
        fresh = Generation.objects.get(pk=generation.pk)
        seen.add(fresh.prompt_id)
        return fresh if len(seen) > number else None

    seen = {generation.pk}
    return eventually(look, what=f"part {number}")


def test_a_batch_is_followed_to_its_end(relay: Supervisor, simulator: RunningSimulator, reaches: Reaches) -> None:
    simulator.faults.set(unfinished_batches=2)
    generation = reaches(submit(), Status.SUCCEEDED)
    (output,) = generation.outputs.all()
    assert (output.kind, output.node_id, output.asset is not None) == ("image", "2", True)
    assert (generation.attempt, generation.losses) == (1, 0)  # nothing was interrupted or run again
    assert generation.prompt_id != generation.pk
    assert generation.execution_seconds is not None
    assert generation.execution_seconds > 1.0  # all three parts
    eventually(lambda: not simulator.simulator.queue.histories(max_items=None, offset=0), what="a tidy history")


def test_what_each_part_saved_is_kept_once(relay: Supervisor, simulator: RunningSimulator, reaches: Reaches) -> None:
    graph = {**FILM, "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "still"}}}
    simulator.faults.set(unfinished_batches=1)
    generation = reaches(submit(graph), Status.SUCCEEDED)
    assert sorted(output.node_id for output in generation.outputs.all()) == ["2", "3"]


def test_cancel_stops_the_part_that_runs_and_what_follows(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    simulator.faults.set(unfinished_batches=1000)
    generation = submit()
    services.cancel(part(generation, 1))
    assert reaches(generation, Status.CANCELED).outputs.count() == 0
    simulator.faults.clear()
    eventually(lambda: not simulator.simulator.queue.remaining(), what="an empty queue")


def test_the_time_limit_counts_for_all_parts_together(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    simulator.faults.set(unfinished_batches=1000)
    generation = reaches(submit(time_limit_seconds=1), Status.FAILED)
    assert generation.error_code == "timed_out"
    simulator.faults.clear()
    eventually(lambda: not simulator.simulator.queue.remaining(), what="an empty queue")


def test_a_new_relay_finds_the_part_that_is_under_way(
    transactional_db: None,
    eager_tasks: None,
    simulator: RunningSimulator,
    reaches: Reaches,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timing, "START_SECONDS", 0.0)
    ComfyServer.objects.create(name="one", url=simulator.url)
    simulator.faults.set(unfinished_batches=3)
    with running_relay():
        eventually(lambda: ComfyServer.objects.exclude(catalog_digest="").exists(), what="a catalog")
        generation = submit()
        reaches(generation, Status.RUNNING)
    with ComfyClient(simulator.url) as client:  # meanwhile it has gone on
        eventually(lambda: client.history(str(generation.pk)), what="the end of the first part")
    with running_relay():
        done = reaches(generation, Status.SUCCEEDED)
    assert (done.attempt, done.outputs.count()) == (1, 1)


class Still(Node):
    """Passes pictures on and reports something else each time."""

    class_type = "Still"
    required: ClassVar[Any] = {"images": ("IMAGE",)}
    returns = ("IMAGE",)
    numbers: ClassVar[Iterator[int]] = itertools.count(1)

    @classmethod
    def fingerprint(cls, environment: Environment, inputs: Mapping[str, Any]) -> str:
        return uuid.uuid4().hex

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((inputs["images"],), {"text": [f"part {next(self.numbers)}"]})


def test_parts_that_ended_while_no_relay_ran_are_all_kept(
    transactional_db: None,
    eager_tasks: None,
    simulator: RunningSimulator,
    reaches: Reaches,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Still, "numbers", itertools.count(1))
    monkeypatch.setitem(simulator.simulator.registry, "Still", Still)
    still = {"class_type": "Still", "inputs": {"images": ["1", 0]}}
    save = {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "film"}}
    ComfyServer.objects.create(name="one", url=simulator.url)
    simulator.faults.set(unfinished_batches=3)
    with running_relay():
        eventually(lambda: is_connected("one"), what="connecting")
        generation = submit({"1": FILM["1"], "3": still, "2": save})
        reaches(generation, Status.RUNNING)
    eventually(lambda: not simulator.simulator.queue.remaining(), what="the end of the batch")
    with running_relay():
        done = reaches(generation, Status.SUCCEEDED)
    texts = [output.value for output in done.outputs.all() if output.node_id == "3"]
    assert (done.attempt, texts) == (1, ["part 1", "part 2", "part 3", "part 4"])
    eventually(lambda: not simulator.simulator.queue.histories(max_items=None, offset=0), what="a tidy history")


def test_a_batch_whose_rest_somebody_removed_is_run_again(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest_of = Upstream.rest_of
    removed: list[str] = []

    def removing(self: Any, entry: HistoryEntry, mark: Any) -> tuple[list[HistoryEntry], str | None]:
        passed, found = rest_of(self, entry, mark)
        if found and not removed:
            removed.append(found)
            body = json.dumps({"delete": [found]}).encode()
            urllib.request.urlopen(urllib.request.Request(f"{simulator.url}/queue", body, method="POST")).close()
            self._client.interrupt(found)
        return passed, found

    monkeypatch.setattr(Upstream, "rest_of", removing)
    simulator.faults.set(unfinished_batches=1)
    done = reaches(submit(), Status.SUCCEEDED)
    assert (done.attempt, done.outputs.count()) == (2, 1)
    assert done.earlier_outputs is None
    assert removed


def sending(simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A graph that sends another picture in each part."""
    monkeypatch.setitem(simulator.simulator.registry, "Still", Still)
    with ComfyClient(simulator.url) as client:
        ComfyServer.objects.saw_nodes(ComfyServer.objects.get().pk, object_info=client.object_info())
    still = {"class_type": "Still", "inputs": {"images": ["1", 0]}}
    return {"1": FILM["1"], "3": still, "4": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["3", 0]}}}


def test_pictures_that_a_part_sent_before_it_was_followed_are_kept(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = Collector._go_on
    late: list[str] = []

    def go_on_late(self: Collector, generation: Generation, entry: HistoryEntry) -> bool:
        eventually(lambda: not simulator.simulator.queue.remaining(), what="the end of the batch")
        late.append(entry.prompt_id)
        return go_on(self, generation, entry)

    monkeypatch.setattr(Collector, "_go_on", go_on_late)
    graph = sending(simulator, monkeypatch)
    save = {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "film"}}
    simulator.faults.set(unfinished_batches=1)
    done = reaches(submit({**graph, "2": save}), Status.SUCCEEDED)
    pictures = [output for output in done.outputs.all() if output.node_id == "4"]
    assert (len(late), done.attempt, len(pictures)) == (1, 1, 2)


def test_a_batch_whose_sending_node_queues_its_rest_is_followed(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = sending(simulator, monkeypatch)
    simulator.faults.set(unfinished_batches=1)
    done = reaches(submit(graph), Status.SUCCEEDED)
    pictures = [output for output in done.outputs.all() if output.node_id == "4"]
    assert (done.attempt, len(pictures), done.prompt_id != done.pk) == (1, 2, True)


def test_the_rest_of_a_part_that_was_missed_is_stopped_at_once(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "RECONCILE_SECONDS", 1000.0)
    monkeypatch.setattr(frames.Frames, "of", lambda *_arguments: None)
    simulator.faults.set(unfinished_batches=1000)
    sending = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}}
    assert reaches(submit({**FILM, "3": sending}), Status.FAILED).error_code == "lost"
    eventually(lambda: not simulator.simulator.queue.remaining(), what="an empty queue")


def test_the_rest_of_an_attempt_that_was_given_up_is_stopped(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    simulator.faults.set(unfinished_batches=1000)
    generation = part(submit(), 1)
    Generation.objects.filter(pk=generation.pk).update(status=Status.QUEUED, server=None, tag=None, attempt=1)
    simulator.faults.clear()
    started = time.monotonic()
    eventually(lambda: not simulator.simulator.queue.remaining(), what="an empty queue")
    assert time.monotonic() - started < 60
