"""Small results stored in one go: whatever happens on the way, the end is right and no file is left over."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from generations.comfy.client import ComfyClient, ViewStream
from generations.comfy.outputs import FileRef
from generations.comfy.state import HistoryEntry
from generations.files import storage
from generations.lifecycle import at_once, results, services, storing
from generations.lifecycle.at_once import Ended
from generations.live import publisher
from generations.models import (
    Asset,
    Generation,
    Output,
    Status,
    StorageUsage,
    Webhook,
    WebhookDelivery,
    WorkflowTemplate,
    ending,
)
from generations.models.generation import Retry
from generations.relay import apply
from tests.support.factories import make_generation, make_server, make_user
from tests.support.simulator import RunningSimulator

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager_tasks")]

Disturbs = Callable[[Callable[[], object]], None]
SIZES = [300_000, 20]


@pytest.fixture(params=["whole", "step by step"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the end is written: PostgreSQL can do it in one statement, the others in a transaction of several."""
    if request.param == "step by step":
        monkeypatch.setattr(ending, "store_whole", lambda *_row, **_parts: None)
    elif connection.vendor != "postgresql":
        pytest.skip("SQLite goes step by step")
    return str(request.param)


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[ComfyClient]:
    with ComfyClient(simulator.url) as opened:
        yield opened


@pytest.fixture
def running(simulator: RunningSimulator) -> Generation:
    """ComfyUI has made two files and a text for it."""
    server = make_server(url=simulator.url)
    return make_generation(make_user(), status=Status.RUNNING, server=server, attempt=1, tag=3.0)


@pytest.fixture
def outputs(simulator: RunningSimulator) -> dict[str, Any]:
    names = []
    for number, size in enumerate(SIZES):
        name = f"{uuid.uuid4()}.bin"
        (Path(simulator.data_dir) / "output" / name).write_bytes(bytes([number]) * size)
        names.append({"filename": name, "subfolder": "", "type": "output"})
    return {"9": {"files": names, "text": ["done"]}}


@pytest.fixture
def disturbs(monkeypatch: pytest.MonkeyPatch) -> Disturbs:
    """Something happens once both files are in the storage, and before the rows are written."""

    def set_up(what: Callable[[], object]) -> None:
        write, written = storage.write, []

        def disturbed(key: str, spooled: Any) -> None:
            write(key, spooled)
            written.append(key)
            if len(written) == len(SIZES):
                what()

        monkeypatch.setattr(storage, "write", disturbed)

    return set_up


def ended(generation: Generation, outputs: dict[str, Any], *, is_start_known: bool = True) -> Ended:
    now = timezone.now()
    row = Generation.objects.select_related("version__template", "user__plan").get(pk=generation.pk)
    return Ended(row, outputs, seconds=1.0, started_at=now, executed_at=now, is_start_known=is_start_known)


def store(run: Ended, client: ComfyClient) -> bool:
    items = at_once.items_of(run.generation, run.outputs)
    assert items is not None
    return at_once.store(run, items, client)


def leave_to_worker(generation: Generation, outputs: dict[str, Any]) -> Generation:
    """As the relay does with what could not be stored at once; the worker is at it at once, too."""
    row = Generation.objects.select_related("version__template", "server").get(pk=generation.pk)
    apply.ended(row, HistoryEntry(str(row.prompt_id), outputs, "success", True, ()))
    row.refresh_from_db()
    return row


def files(media_root: Path) -> set[str]:
    return {str(path.relative_to(media_root)) for path in media_root.rglob("*") if path.is_file()}


def assert_whole(generation: Generation, media_root: Path) -> None:
    """It succeeded with everything that it has, once, and there is no other file."""
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED
    assert [each.position for each in generation.outputs.all()] == [0, 1, 2]
    assets = list(Asset.objects.order_by("output__position"))
    assert [asset.size_bytes for asset in assets] == SIZES
    for number, asset in enumerate(assets):
        with storage.open_key(asset.key) as file:
            assert file.read() == bytes([number]) * SIZES[number]
    assert files(media_root) == {asset.key for asset in assets}
    assert StorageUsage.objects.get(workspace=generation.workspace).stored_bytes == sum(SIZES)


def assert_untouched(generation: Generation) -> None:
    generation.refresh_from_db()
    assert generation.status == Status.RUNNING
    assert not Output.objects.exists()
    assert not Asset.objects.exists()
    assert not StorageUsage.objects.filter(stored_bytes__gt=0).exists()


def test_everything_is_written_in_one_transaction(
    running: Generation,
    outputs: dict[str, Any],
    client: ComfyClient,
    media_root: Path,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    run = ended(running, outputs)
    before = run.generation.version.mean_seconds
    StorageUsage.objects.create(workspace=running.workspace)
    run.generation._state.fields_cache.pop("user")  # a claim does not read it
    with django_assert_max_num_queries(8):  # BEGIN and COMMIT among them, and whether somebody waits to be let in
        assert store(run, client)
    assert_whole(running, media_root)
    assert running.upstream_outputs == outputs
    assert running.executed_at == run.executed_at
    template = WorkflowTemplate.objects.get()
    assert template.mean_seconds == before * 0.75 + 0.25


def test_those_who_watch_hear_the_end_without_a_query(
    running: Generation, outputs: dict[str, Any], client: ComfyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(publisher.outbox, "put", lambda _group, event: heard.append(event))
    assert store(ended(running, outputs), client)
    assert [event["type"] for event in heard] == ["output"] * 3 + ["snapshot"]
    state = heard[-1]["generation"]
    assert (state["status"], state["is_terminal"], len(state["outputs"])) == (Status.SUCCEEDED, True, 3)
    assert state["outputs"] == [event["output"] for event in heard[:-1]]


@pytest.mark.parametrize("is_start_known", [True, False])
def test_webhooks_are_told_of_the_start_before_the_end(
    running: Generation,
    outputs: dict[str, Any],
    client: ComfyClient,
    monkeypatch: pytest.MonkeyPatch,
    is_start_known: bool,
) -> None:
    monkeypatch.setattr("generations.webhooks.outbox._wake_worker", lambda: None)
    Webhook.objects.create(user=running.user, url="https://example.com", events=["job.started", "job.succeeded"])
    Generation.objects.update(status=Status.RUNNING if is_start_known else Status.SUBMITTED)
    assert store(ended(running, outputs, is_start_known=is_start_known), client)
    told = list(WebhookDelivery.objects.order_by("next_attempt_at"))
    assert [each.event for each in told] == ["job.started", "job.succeeded"][is_start_known:]
    assert [each.payload["data"]["status"] for each in told] == ["running", "succeeded"][is_start_known:]
    assert [len(each.payload["data"]["outputs"]) for each in told] == [0, 3][is_start_known:]


# ---------------------------------------------------------------------------------------------- a fault at each step
def broken(*_arguments: object, **_options: object) -> None:
    msg = "it broke here"
    raise OSError(msg)


def test_a_storage_that_breaks_between_two_files_leaves_all_to_a_worker(
    running: Generation, outputs: dict[str, Any], client: ComfyClient, media_root: Path, disturbs: Disturbs
) -> None:
    disturbs(broken)
    assert not store(ended(running, outputs), client)
    assert_untouched(running)
    leave_to_worker(running, outputs)
    assert_whole(running, media_root)


@pytest.mark.parametrize("fault", ["view_error", "view_truncate", "view_404"])
def test_a_comfyui_that_gives_no_file_leaves_all_to_a_worker(
    running: Generation, outputs: dict[str, Any], client: ComfyClient, simulator: RunningSimulator, fault: str
) -> None:
    simulator.faults.set(**{fault: 1})
    assert not store(ended(running, outputs), client)
    assert_untouched(running)


class Trickling(ComfyClient):
    """A byte now and then, for ever."""

    @contextmanager
    def view(self, file: FileRef, *, silent_seconds: float | None = None) -> Iterator[ViewStream]:
        assert silent_seconds == at_once.COPY_SECONDS

        def trickle(chunk_bytes: int | None) -> Iterator[bytes]:
            assert chunk_bytes is None  # else it would wait for that many
            return itertools.repeat(b"x")

        yield ViewStream(None, "image/png", trickle)


def test_a_comfyui_that_trickles_leaves_all_to_a_worker(
    running: Generation,
    outputs: dict[str, Any],
    simulator: RunningSimulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", at_once.__name__)
    monkeypatch.setattr(at_once, "COPY_SECONDS", 0.01)
    with Trickling(simulator.url) as client:
        assert not store(ended(running, outputs), client)
    assert_untouched(running)
    assert "not all files arrived in 0.01 s" in caplog.text


def test_a_large_file_is_a_workers(
    running: Generation,
    outputs: dict[str, Any],
    client: ComfyClient,
    monkeypatch: pytest.MonkeyPatch,
    media_root: Path,
) -> None:
    monkeypatch.setattr(at_once, "MAX_BYTES", SIZES[0] - 1)
    assert not store(ended(running, outputs), client)
    assert_untouched(running)
    leave_to_worker(running, outputs)
    assert_whole(running, media_root)


@pytest.mark.parametrize(
    ("made", "is_bypassed"),
    [
        ({"9": {"files": [{"filename": f"{n}.png", "type": "output"} for n in range(17)]}}, False),
        ({"9": {str(n): ["text"] for n in range(101)}}, False),
        ({"9": {"text": ["x"]}}, True),
    ],
)
def test_what_is_much_or_replaces_an_earlier_run_is_a_workers(
    running: Generation, made: dict[str, Any], is_bypassed: bool
) -> None:
    running.is_cache_bypassed = is_bypassed
    assert at_once.items_of(running, made) is None


@pytest.mark.parametrize("place", [(results, "write"), (WorkflowTemplate.objects, "note_run"), (ending, "ask")])
def test_a_database_that_breaks_before_the_commit_has_written_nothing(  # noqa: PLR0917
    running: Generation,
    outputs: dict[str, Any],
    client: ComfyClient,
    monkeypatch: pytest.MonkeyPatch,
    media_root: Path,
    place: tuple[Any, str],
    way: str,
) -> None:
    if (place[0] is ending) is not (way == "whole"):
        pytest.skip("it does not go this way")
    with monkeypatch.context() as patch:

        def failing(*_arguments: object, **_options: object) -> None:
            msg = "the connection broke"
            raise DatabaseError(msg)

        patch.setattr(*place, failing)
        assert not store(ended(running, outputs), client)
    assert_untouched(running)
    leave_to_worker(running, outputs)
    assert_whole(running, media_root)


def test_an_event_that_cannot_be_sent_changes_nothing_about_the_end(
    running: Generation,
    outputs: dict[str, Any],
    client: ComfyClient,
    monkeypatch: pytest.MonkeyPatch,
    media_root: Path,
) -> None:
    monkeypatch.setattr("generations.lifecycle.transitions.snapshot.snapshot_event", broken)
    assert store(ended(running, outputs), client)
    assert_whole(running, media_root)


def test_what_was_committed_without_an_answer_is_not_stored_again(
    running: Generation,
    outputs: dict[str, Any],
    client: ComfyClient,
    monkeypatch: pytest.MonkeyPatch,
    media_root: Path,
) -> None:
    make_generation(running.user, tag=None)
    with monkeypatch.context() as patch:
        patch.setattr(at_once, "let_next_in", broken)
        assert not store(ended(running, outputs), client)
    leave_to_worker(running, outputs)
    assert_whole(running, media_root)


# ---------------------------------------------------------------------------------------------- somebody else acts
def test_canceling_meanwhile_leaves_no_result_behind(
    running: Generation, outputs: dict[str, Any], client: ComfyClient, media_root: Path, disturbs: Disturbs
) -> None:
    disturbs(lambda: services.cancel(Generation.objects.get()))
    assert store(ended(running, outputs), client)
    running.refresh_from_db()
    assert running.status == Status.CANCELED
    assert not Output.objects.exists()
    assert not files(media_root)


def test_canceling_what_a_worker_has_not_begun_with_leaves_no_file_behind(  # noqa: PLR0917
    running: Generation,
    outputs: dict[str, Any],
    client: ComfyClient,
    media_root: Path,
    disturbs: Disturbs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The relay gave up in the middle of its copies, and the worker's first one is yet to come."""
    disturbs(broken)
    monkeypatch.setattr(apply, "ask", lambda *_: None)
    assert not store(ended(running, outputs), client)
    assert leave_to_worker(running, outputs).status == Status.STORING
    assert files(media_root)
    assert services.cancel(running).status == Status.CANCELED
    assert not files(media_root)


def test_a_user_who_is_deleted_meanwhile_leaves_no_file_behind(
    running: Generation, outputs: dict[str, Any], client: ComfyClient, media_root: Path, disturbs: Disturbs
) -> None:
    disturbs(running.user.delete)
    assert store(ended(running, outputs), client)
    assert not Generation.objects.exists()
    assert not files(media_root)


def test_a_relay_that_lost_its_lease_takes_nothing_away_from_the_next_one(
    running: Generation, outputs: dict[str, Any], client: ComfyClient, media_root: Path, disturbs: Disturbs
) -> None:
    run, other = ended(running, outputs), ended(running, outputs)
    nested: list[bool] = []

    def once() -> None:
        if not nested:
            nested.append(store(other, client))

    disturbs(once)
    assert store(run, client)
    assert nested == [True]
    assert_whole(running, media_root)


def test_a_worker_that_has_it_meanwhile_keeps_its_files(
    running: Generation, outputs: dict[str, Any], client: ComfyClient, media_root: Path, disturbs: Disturbs
) -> None:
    handed: list[Generation] = []

    def once() -> None:
        if not handed:
            handed.append(running)
            leave_to_worker(running, outputs)

    disturbs(once)
    assert store(ended(running, outputs), client)
    assert_whole(running, media_root)


def test_what_is_run_once_more_meanwhile_leaves_no_file_of_the_attempt_before(
    running: Generation, outputs: dict[str, Any], client: ComfyClient, media_root: Path, disturbs: Disturbs
) -> None:
    def run_once_more() -> None:
        Generation.objects.requeue(running.prompt_id, Retry.LOST)
        assert Generation.objects.claim(running.pk, server=make_server("two", "http://two"))

    disturbs(run_once_more)
    assert store(ended(running, outputs), client)
    running.refresh_from_db()
    assert (running.status, running.attempt) == (Status.SUBMITTED, 2)
    assert not files(media_root)


def test_a_later_attempt_clears_away_what_a_killed_relay_left(
    running: Generation, outputs: dict[str, Any], client: ComfyClient, media_root: Path
) -> None:
    left = storage.output_key(running.pk, 1, 0)
    storage.write_bytes(left, b"copied before the kill")
    Generation.objects.update(attempt=2)
    assert store(ended(running, outputs), client)
    assert_whole(running, media_root)


def test_results_keep_their_workflow_only_as_the_template_says_at_the_end(
    running: Generation, outputs: dict[str, Any], client: ComfyClient, disturbs: Disturbs
) -> None:
    run = ended(running, outputs)
    WorkflowTemplate.objects.update(is_workflow_removed=not run.generation.version.is_workflow_removed)
    assert not store(run, client)
    assert_untouched(running)


def test_the_next_one_of_its_user_is_let_in(running: Generation, outputs: dict[str, Any], client: ComfyClient) -> None:
    held = make_generation(running.user, tag=None)
    assert store(ended(running, outputs), client)
    held.refresh_from_db()
    assert held.tag is not None


def test_the_worker_still_knows_how(running: Generation, outputs: dict[str, Any], media_root: Path) -> None:
    """Both ways lead to the same rows."""
    leave_to_worker(running, outputs)
    assert_whole(running, media_root)
    storing.store_outputs(str(running.pk))
    assert_whole(running, media_root)
