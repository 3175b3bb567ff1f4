"""The relay stores small results itself, and nothing waits for that; what it cannot store is a worker's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from generations import database
from generations.files import storage
from generations.lifecycle import at_once, services
from generations.live import publisher
from generations.models import Generation, Status
from generations.relay import finishing, timing
from generations.relay.finishing import Pool
from tests.generations.conftest import running_relay
from tests.generations.relay.scene import Scene
from tests.support.waiting import eventually, patient

pytestmark = pytest.mark.django_db(transaction=True)


class Gate:
    """Copies wait here until they may go on."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self._may_go_on = threading.Event()

    def __call__(self, key: str) -> None:
        self.waiting.append(key)
        assert self._may_go_on.wait(patient(60))

    def open(self) -> None:
        """From now on nothing waits."""
        self._may_go_on.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """In front of the storage."""
    made, write = Gate(), storage.write

    def waiting(key: str, spooled: Any) -> None:
        made(key)
        write(key, spooled)

    monkeypatch.setattr(storage, "write", waiting)
    yield made
    made.open()


def copying(scene: Scene, gate: Gate, **inputs: Any) -> Generation:
    """One whose first file is about to be written."""
    generation = scene.submit(**inputs)
    eventually(lambda: any(str(generation.pk) in key for key in gate.waiting), what="a copy")
    return generation


def files(media_root: Path) -> set[str]:
    return {str(path.relative_to(media_root)) for path in media_root.rglob("*") if path.is_file()}


def names(generation: Generation) -> set[str]:
    """The files that its outputs have."""
    assets = [output.asset for output in generation.outputs.select_related("asset")]
    return {key for asset in assets if asset for key in (asset.key, asset.thumbnail_key)}


def test_a_small_result_needs_no_worker(scene: Scene, media_root: Path) -> None:
    done = scene.done()
    assert (done.store_attempts, done.outputs.count()) == (0, 2)
    assert files(media_root) == names(done)
    assert done.started_at is not None
    assert done.executed_at is not None
    assert done.finished_at is not None
    assert done.started_at <= done.executed_at <= done.finished_at


def test_the_server_goes_on_while_a_result_is_stored(scene: Scene, gate: Gate) -> None:
    first = copying(scene, gate)
    second = copying(scene, gate, seed=2)  # it has run on the same, only slot
    for generation in (first, second):
        generation.refresh_from_db()
        assert generation.status in {Status.SUBMITTED, Status.RUNNING}
    gate.open()
    scene.done(first)
    scene.done(second)


def test_what_is_being_stored_is_not_taken_for_lost(scene: Scene, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "RECONCILE_SECONDS", 0.05)
    generation = copying(scene, gate)
    (agent,) = scene.relay._agents.values()
    looked: list[None] = []
    reconcile = agent._reconciler.reconcile
    monkeypatch.setattr(agent._reconciler, "reconcile", lambda: looked.append(reconcile()))
    agent._session.timers.reconcile = 0.0
    agent.wake()
    eventually(lambda: len(looked) > 3, what="comparing with the server")
    gate.open()
    done = scene.done(generation)
    assert (done.attempt, done.losses, done.store_attempts) == (1, 0, 0)


def test_canceling_while_it_is_stored_leaves_nothing_behind(scene: Scene, gate: Gate, media_root: Path) -> None:
    generation = copying(scene, gate)
    services.cancel(Generation.objects.get(pk=generation.pk))
    gate.open()
    scene.reaches(generation, Status.CANCELED)
    eventually(lambda: not files(media_root), what="removing the files")


def test_without_room_a_worker_stores_it(scene: Scene, monkeypatch: pytest.MonkeyPatch, media_root: Path) -> None:
    monkeypatch.setattr(Pool, "offer", lambda _pool, _work: False)
    done = scene.done()
    assert (done.store_attempts, done.outputs.count()) == (1, 2)
    assert files(media_root) == names(done)


def stall(scene: Scene, gate: Gate) -> list[Generation]:
    """As many as one server may have stored at a time."""
    return [copying(scene, gate, seed=seed) for seed in range(100, 100 + finishing.THREADS - 1)]


def finisher_of(scene: Scene) -> finishing.Finisher:
    (agent,) = scene.relay._agents.values()
    return agent._collector.finisher


def test_a_server_has_all_threads_but_one_and_further_results_wait_for_that(scene: Scene, gate: Gate) -> None:
    stalled = stall(scene, gate)
    waiting = scene.submit(seed=2)
    eventually(lambda: finisher_of(scene)._waiting, what="a result that waits")
    assert len(gate.waiting) == len(stalled)
    gate.open()
    assert [scene.done(each).store_attempts for each in (*stalled, waiting)] == [0] * len([*stalled, waiting])
    eventually(lambda: finisher_of(scene)._at_work == 0)


def test_what_is_more_than_may_wait_is_a_workers(scene: Scene, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finishing, "WAITING", 0)
    stalled = stall(scene, gate)
    too_many = scene.submit(seed=2)
    eventually(lambda: Generation.objects.get(pk=too_many.pk).store_attempts, what="a worker at it")
    gate.open()
    scene.done(too_many)
    for each in stalled:
        assert scene.done(each).store_attempts == 0


def test_what_waits_while_everything_stalls_is_a_workers(
    scene: Scene, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing, "PATIENCE_SECONDS", 0.1)
    stalled = stall(scene, gate)
    waiting = scene.submit(seed=2)
    eventually(lambda: Generation.objects.get(pk=waiting.pk).store_attempts, what="a worker at it")
    gate.open()
    for each in (*stalled, waiting):
        scene.done(each)


def test_those_that_wait_go_first(scene: Scene, gate: Gate) -> None:
    stalled = stall(scene, gate)
    first = scene.submit(seed=2)
    eventually(lambda: finisher_of(scene)._waiting, what="a result that waits")
    finisher_of(scene)._at_work -= 1  # as if there were room
    second = scene.submit(seed=3)
    eventually(lambda: any(str(first.pk) in key for key in gate.waiting), what="the copy of the first")
    assert not any(str(second.pk) in key for key in gate.waiting)
    finisher_of(scene)._at_work += 1
    gate.open()
    for each in (*stalled, first, second):
        scene.done(each)


def test_where_others_have_all_the_room_those_that_wait_are_a_workers(
    scene: Scene, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalled = stall(scene, gate)
    waiting = scene.submit(seed=2)
    eventually(lambda: finisher_of(scene)._waiting, what="a result that waits")
    monkeypatch.setattr(Pool, "offer", lambda _pool, _work: False)
    gate.open()
    assert scene.done(waiting).store_attempts == 1
    for each in stalled:
        scene.done(each)


def test_what_still_waits_when_the_relay_ends_is_found_by_the_next_one(
    scene: Scene, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "FINISHING_SECONDS", 0.05)
    stalled = stall(scene, gate)
    waiting = scene.submit(seed=2)
    eventually(lambda: finisher_of(scene)._waiting, what="a result that waits")
    scene.relay.stop()
    gate.open()
    with running_relay():
        for each in (*stalled, waiting):
            scene.done(each)


def test_a_large_result_is_a_workers(scene: Scene, monkeypatch: pytest.MonkeyPatch, media_root: Path) -> None:
    monkeypatch.setattr(at_once, "MAX_BYTES", 10)
    done = scene.done()
    assert (done.store_attempts, done.outputs.count(), done.warnings) == (1, 2, None)
    assert files(media_root) == names(done)


@pytest.mark.parametrize("place", [(storage, "write"), (at_once, "store"), (at_once, "_write")])
def test_a_fault_on_the_way_leaves_it_to_a_worker(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, media_root: Path, place: tuple[Any, str]
) -> None:
    faults: list[None] = []
    real = getattr(*place)

    def failing(*arguments: Any, **options: Any) -> Any:
        if not faults:
            faults.append(None)
            msg = "it broke"
            raise OSError(msg)
        return real(*arguments, **options)

    monkeypatch.setattr(*place, failing)
    done = scene.done()
    assert (done.store_attempts, done.attempt) == (1, 1)
    assert files(media_root) == names(done)


def test_the_next_relay_stores_what_this_one_did_not(
    scene: Scene, gate: Gate, monkeypatch: pytest.MonkeyPatch, media_root: Path
) -> None:
    """This one is told to stop, and gives up waiting; its thread wakes later, when all is done."""
    monkeypatch.setattr(timing, "FINISHING_SECONDS", 0.1)
    generation = copying(scene, gate)
    scene.relay.stop()
    eventually(lambda: not scene.relay._agents, what="the end of the relay")
    with running_relay():
        eventually(lambda: len([key for key in gate.waiting if str(generation.pk) in key]) > 1, what="another copy")
        gate.open()
        done = scene.done(generation)
    assert (done.attempt, done.losses) == (1, 0)
    assert files(media_root) == names(done)


def test_an_end_that_was_written_without_an_answer_is_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(publisher.outbox, "put", lambda _group, event: heard.append(event))
    store = at_once.store

    def without_answer(*arguments: Any) -> bool:
        store(*arguments)
        heard.clear()
        return False

    monkeypatch.setattr(at_once, "store", without_answer)
    scene.done()
    eventually(lambda: any(event["type"] == "snapshot" for event in heard), what="the news")


def test_a_start_is_heard_at_once_and_written_with_the_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "START_SECONDS", 1000.0)
    heard: list[Any] = []
    monkeypatch.setattr(publisher.outbox, "put", lambda _group, event: heard.append(event))
    scene.simulator.hold()
    generation = scene.submit()
    eventually(lambda: any(event.get("status") == "running" for event in heard), what="the news")
    generation.refresh_from_db()
    assert (generation.status, generation.started_at) == (Status.SUBMITTED, None)
    scene.simulator.go_on()
    done = scene.done(generation)
    assert done.started_at is not None
    assert done.executed_at is not None
    assert done.started_at < done.executed_at


@pytest.mark.parametrize("seconds", [0.0, 1000.0])
def test_a_relay_that_ends_leaves_comfyui_what_was_stored_a_moment_ago(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """A database that crashes now undoes it, and then the history is all there is."""
    monkeypatch.setattr(timing, "HISTORY_SECONDS", seconds)
    done = [scene.done(), scene.done(seed=2)]
    queue = scene.simulator.simulator.queue
    (agent,) = scene.relay._agents.values()
    eventually(lambda: not agent._session.finishing)
    if seconds:
        scene.relay.stop()
        eventually(lambda: not agent.is_alive, what="the end of the agent")
    eventually(lambda: all(bool(queue.history(str(each.pk))) == bool(seconds) for each in done), what="the histories")


def test_a_pool_takes_as_much_as_it_has_room_for() -> None:
    pool, gate = Pool(threads=2, room=3), threading.Event()
    done: list[None] = []

    def work() -> None:
        gate.wait(patient(20))
        done.append(None)

    assert [pool.offer(work) for _ in range(4)] == [True, True, True, False]
    gate.set()
    eventually(lambda: len(done) == 3)
    eventually(lambda: pool.offer(lambda: None), what="room")
    pool.close(patient(20))
    assert not any(thread.is_alive() for thread in pool._threads)
    Pool().close(0.0)  # one that had nothing to do


class Starts:
    """Threads start as long as the system has any `left` to give."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
        self.left = left
        start = threading.Thread.start

        def starting(thread: threading.Thread) -> None:
            if thread.name.startswith("finisher"):
                self.left -= 1
                if self.left < 0:
                    msg = "can't start new thread"
                    raise RuntimeError(msg)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", starting)


def test_a_pool_whose_threads_do_not_start_takes_nothing_and_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = Starts(monkeypatch, 0)
    pool, done = Pool(threads=2, room=1), threading.Event()
    assert not any(pool.offer(done.set) for _ in range(3))
    starts.left = 1
    assert pool.offer(done.set)  # the only room is free, and one thread is enough
    assert done.wait(patient(20))
    starts.left = 1
    eventually(lambda: pool.offer(lambda: None), what="room")
    assert len(pool._threads) == 2
    pool.close(patient(20))


def test_work_that_fails_ends_no_thread() -> None:
    pool, done = Pool(threads=1, room=1), threading.Event()
    assert pool.offer(lambda: {}["nothing"])
    eventually(lambda: pool.offer(done.set), what="room")
    assert done.wait(patient(20))
    pool.close(patient(20))


def test_a_thread_without_a_connection_of_its_own_keeps_none_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "KEPT_AT_MOST", 0)
    pool, seen = Pool(threads=1, room=1), []

    def ask() -> None:
        seen.append(connection.connection is None)
        Generation.objects.exists()

    for _ in range(2):
        eventually(lambda: pool.offer(ask), what="room")
    eventually(lambda: len(seen) == 2)
    assert seen == [True, True]
    pool.close(patient(20))


def test_without_threads_a_worker_stores_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    Starts(monkeypatch, 0)
    assert scene.done().store_attempts == 1


def test_a_connection_that_cannot_be_prepared_leaves_it_to_a_worker(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> None:
        msg = "it broke"
        raise OSError(msg)

    monkeypatch.setattr(finishing, "keep", failing)
    assert scene.done().store_attempts == 1
