"""Copying results: whatever fails is tried again, and a repeat changes nothing."""

from __future__ import annotations

import os
import time
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from generations import contract, tasks
from generations.comfy.client import ComfyClient
from generations.comfy.state import HistoryEntry
from generations.files import storage
from generations.lifecycle import copying, services, storing
from generations.models import Asset, ComfyServer, Generation, Status
from generations.models.generation import Failure
from generations.relay import apply
from tests.support.factories import (
    add_published_version,
    make_asset,
    make_generation,
    make_server,
    make_template,
    make_user,
    txt2img_graph,
)
from tests.support.simulator import RunningSimulator

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def generation(simulator: RunningSimulator) -> Generation:
    simulator.faults.clear()
    names = []
    for n in range(2):
        name = f"{uuid.uuid4()}.bin"
        (Path(simulator.data_dir) / "output" / name).write_bytes(bytes([n]) * 300_000)
        names.append({"filename": name, "subfolder": "", "type": "output"})
    outputs = {"9": {"files": names, "text": ["done"]}}
    server = make_server(url=simulator.url)
    return make_generation(
        make_user(), status=Status.STORING, upstream_outputs=outputs, server=server, attempt=1, tag=3.0
    )


def make_due(generation: Generation) -> None:
    Generation.objects.filter(pk=generation.pk).update(store_after=timezone.now())


def run(generation: Generation) -> Generation:
    """One try, as if the pause before it were over."""
    make_due(generation)
    storing.store_outputs(str(generation.pk))
    generation.refresh_from_db()
    return generation


def test_a_repeat_changes_nothing(generation: Generation) -> None:
    assert run(generation).status == Status.SUCCEEDED
    before = list(generation.outputs.values_list("pk", "asset_id"))
    run(generation)
    assert list(generation.outputs.values_list("pk", "asset_id")) == before
    assert len(before) == 3


@pytest.mark.parametrize("fault", ["view_error", "view_truncate"])
def test_a_copy_that_fails_on_the_way_is_tried_again(
    generation: Generation, simulator: RunningSimulator, fault: str
) -> None:
    simulator.faults.set(**{fault: 2})
    assert run(generation).status == Status.STORING
    assert run(generation).status == Status.STORING
    assert run(generation).status == Status.SUCCEEDED
    contents = []
    for asset in Asset.objects.order_by("output__position"):
        with storage.open_key(asset.key) as file:
            contents.append(file.read())
    assert contents == [bytes(300_000), b"\x01" * 300_000]


@pytest.mark.parametrize("subfolder", ["mine", "", "٣", "9" * 5000])
def test_a_node_that_says_its_file_came_over_the_socket_names_a_missing_file(
    generation: Generation, subfolder: str
) -> None:
    outputs = {"9": {"images": [{"filename": "x.png", "subfolder": subfolder, "type": "socket"}], "text": ["done"]}}
    Generation.objects.filter(pk=generation.pk).update(upstream_outputs=outputs, is_cache_bypassed=True)
    done = run(generation)
    assert (done.status, [each["code"] for each in done.warnings]) == (Status.SUCCEEDED, ["output_missing"])
    assert copying.frame_keys(done) == []


def test_what_was_stored_before_the_fault_is_not_copied_again(
    generation: Generation, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = storage.write

    def failing(key: str, spooled: Any) -> None:
        written.append(key)
        if len(written) == 2:
            msg = "the storage is down"
            raise OSError(msg)
        write(key, spooled)

    monkeypatch.setattr(storage, "write", failing)
    assert run(generation).status == Status.STORING
    assert generation.outputs.count() == 1
    assert run(generation).status == Status.SUCCEEDED
    assert [key.rsplit("/", 1)[-1] for key in written] == ["1.0", "1.1", "1.1"]


def test_the_next_try_waits_longer(generation: Generation, simulator: RunningSimulator) -> None:
    simulator.faults.set(view_error=10)
    pauses = []
    for _ in range(3):
        run(generation)
        assert generation.store_after is not None
        pauses.append((generation.store_after - timezone.now()).total_seconds())
    assert pauses[0] < pauses[1] < pauses[2]
    assert Generation.objects.due_for_storing().count() == 0


def test_a_file_that_comfyui_no_longer_has_is_made_anew_once(
    generation: Generation, simulator: RunningSimulator
) -> None:
    simulator.faults.set(view_404=1)
    first_prompt_id = generation.prompt_id
    assert run(generation).status == Status.QUEUED
    assert (generation.is_cache_bypassed, generation.tag) == (True, 3.0)
    assert generation.prompt_id != first_prompt_id
    run_again(generation, simulator)
    assert run(generation).status == Status.SUCCEEDED
    assert (generation.outputs.count(), generation.warnings) == (3, None)
    assert {asset.key.rsplit("/", 1)[-1] for asset in Asset.objects.all()} == {"2.0", "2.1"}


def run_again(generation: Generation, simulator: RunningSimulator) -> None:
    """As the relay does, with the same result."""
    assert Generation.objects.claim(generation.pk, server=simulator_row(simulator))
    generation.refresh_from_db()
    entry = HistoryEntry(str(generation.prompt_id), generation.upstream_outputs or {}, "success", True, ())
    assert apply.ended(generation, entry)


def report(generation: Generation, **files: str) -> None:
    """ComfyUI says that it has these files, of these types (output, temp), besides those that it has."""
    outputs = generation.upstream_outputs or {}
    outputs["9"]["files"] += [
        {"filename": f"{name}.png", "subfolder": "", "type": kind} for name, kind in files.items()
    ]
    Generation.objects.filter(pk=generation.pk).update(upstream_outputs=outputs)


def test_what_is_missing_after_the_second_run_is_named_and_the_rest_is_kept(
    generation: Generation, simulator: RunningSimulator, client_for: Any
) -> None:
    report(generation, ghost="output")
    assert run(generation).status == Status.QUEUED
    assert generation.outputs.count() == 3  # in case that the second run fails
    run_again(generation, simulator)
    assert run(generation).status == Status.SUCCEEDED
    assert [output.position for output in generation.outputs.all()] == [0, 1, 3]
    (warning,) = generation.warnings
    assert (warning["code"], warning["node_id"], warning["name"]) == ("output_missing", "9", "ghost.png")
    assert "“ghost.png”" in warning["message"]
    page = client_for(generation.user).get(reverse("generation", args=[generation.pk])).content.decode()
    assert "Something is missing" in page
    assert "ghost.png" in page
    job = client_for(generation.user).get(reverse("api:getJob", args=[generation.pk])).json()
    assert [each["name"] for each in job["warnings"]] == ["ghost.png"]
    assert contract.job_of(generation, "").warnings[0].name == "ghost.png"  # as webhooks tell it


def test_a_missing_preview_beside_results_is_named_and_nothing_is_run_again(generation: Generation) -> None:
    report(generation, preview="temp")
    assert run(generation).status == Status.SUCCEEDED
    assert [each["name"] for each in generation.warnings] == ["preview.png"]
    assert (generation.attempt, generation.outputs.count()) == (1, 3)


def test_previews_count_where_there_is_nothing_else(generation: Generation) -> None:
    outputs = {"9": {"images": [{"filename": "gone.png", "subfolder": "", "type": "temp"}], "text": ["x"]}}
    Generation.objects.filter(pk=generation.pk).update(upstream_outputs=outputs)
    assert run(generation).status == Status.QUEUED


def test_nothing_left_of_a_result_is_a_failure(generation: Generation) -> None:
    outputs = {"9": {"images": [{"filename": "gone.png", "subfolder": "", "type": "output"}]}}
    Generation.objects.filter(pk=generation.pk).update(upstream_outputs=outputs, is_cache_bypassed=True)
    assert run(generation).status == Status.FAILED
    assert (generation.error_code, generation.warnings) == ("output_missing", None)


def test_a_deleted_server_costs_the_files_and_not_the_texts(generation: Generation) -> None:
    ComfyServer.objects.all().delete()
    assert run(generation).status == Status.SUCCEEDED
    assert [output.value for output in generation.outputs.all()] == ["done"]
    assert len(generation.warnings) == 2


def test_a_second_run_that_fails_leaves_what_the_first_one_made(
    generation: Generation, simulator: RunningSimulator
) -> None:
    report(generation, ghost="output")
    run(generation)
    assert Generation.objects.claim(generation.pk, server=simulator_row(simulator))
    generation.refresh_from_db()
    assert apply.failed(generation, Failure("node_execution_error", "It broke."))
    generation.refresh_from_db()
    assert generation.status == Status.FAILED
    assert len(contract.job_of(generation, "").outputs) == 3


def test_a_huge_text_is_a_file(generation: Generation) -> None:
    text = "größe " * 50_000
    Generation.objects.filter(pk=generation.pk).update(upstream_outputs={"9": {"text": [text], "n": [[text]]}})
    assert run(generation).status == Status.SUCCEEDED
    first, second = generation.outputs.select_related("asset").order_by("key")
    for output in (first, second):
        assert (output.kind, output.value) == ("file", None)
        assert output.asset is not None
        assert (output.asset.name, output.asset.content_type) == (f"{output.key}.txt", "text/plain; charset=utf-8")
        with storage.open_key(output.asset.key) as file:
            assert file.read().decode() == text


def test_more_results_than_fit_are_counted_and_told(generation: Generation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "MAX_OUTPUTS", 2)
    assert run(generation).status == Status.SUCCEEDED
    assert generation.outputs.count() == 2
    assert generation.warnings[0]["code"] == "too_many_outputs"
    assert "3 results" in generation.warnings[0]["message"]


def simulator_row(simulator: RunningSimulator) -> ComfyServer:
    return ComfyServer.objects.get(url=simulator.url)


def test_canceling_while_storing_leaves_no_result_behind(
    generation: Generation, monkeypatch: pytest.MonkeyPatch, media_root: Path, eager_tasks: None
) -> None:
    write = storage.write

    def canceling(key: str, spooled: Any) -> None:
        write(key, spooled)
        Generation.objects.request_cancel(generation.pk)

    monkeypatch.setattr(storage, "write", canceling)
    assert run(generation).status == Status.CANCELED
    assert not generation.outputs.exists()
    assert not [path for path in media_root.rglob("*") if path.is_file()]


def test_the_sweep_finds_what_nobody_is_at(generation: Generation, eager_tasks: None) -> None:
    Generation.objects.put_off_next_storing(generation.pk, turn=0, seconds=60)
    tasks.sweep()
    generation.refresh_from_db()
    assert generation.status == Status.STORING
    make_due(generation)
    tasks.sweep()
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED


def test_the_sweep_frees_what_was_on_a_deleted_server(eager_tasks: None) -> None:
    generation = make_generation(make_user(), status=Status.RUNNING, server=None, attempt=1, tag=1.0)
    tasks.sweep()
    generation.refresh_from_db()
    assert (generation.status, generation.losses) == (Status.QUEUED, 0)


def test_the_sweep_ends_what_was_being_canceled_on_a_deleted_server(eager_tasks: None) -> None:
    generation = make_generation(make_user(), status=Status.RUNNING, server=None, attempt=1, tag=1.0)
    services.cancel(generation)
    tasks.sweep()
    generation.refresh_from_db()
    assert generation.status == Status.CANCELED


def test_the_sweep_lets_in_whom_a_crash_left_outside(eager_tasks: None) -> None:
    generation = make_generation(make_user(), tag=None)
    tasks.sweep()
    generation.refresh_from_db()
    assert generation.tag is not None


def test_a_worker_that_slept_through_its_turn_takes_nothing_away(
    generation: Generation, monkeypatch: pytest.MonkeyPatch, eager_tasks: None
) -> None:
    """It wakes with a file in its hands that another worker has stored and recorded under the same key."""
    write = storage.write
    slept: list[str] = []

    def sleepy(key: str, spooled: Any) -> None:
        write(key, spooled)
        if not slept:
            slept.append(key)
            make_due(generation)  # the lease ran out
            storing.store_outputs(str(generation.pk))

    monkeypatch.setattr(storage, "write", sleepy)
    assert run(generation).status == Status.SUCCEEDED
    assert slept
    for asset in Asset.objects.filter(output__generation=generation):
        with storage.open_key(asset.key) as file:
            assert len(file.read()) == asset.size_bytes
    assert generation.outputs.count() == 3


def test_what_is_kept_long_enough_is_deleted_with_its_files(
    generation: Generation, eager_tasks: None, settings: Any, media_root: Path
) -> None:
    run(generation)
    kept = make_generation(generation.user, status=Status.SUCCEEDED)
    needed, unneeded = make_asset(generation.user), make_asset(generation.user)
    make_generation(generation.user, inputs={"image": str(needed.pk)}, input_assets=[needed])
    long_ago = timezone.now() - timedelta(days=31)
    Generation.objects.filter(pk=generation.pk).update(finished_at=long_ago)
    Asset.objects.filter(pk__in=[needed.pk, unneeded.pk]).update(created_at=long_ago)
    settings.RETENTION_DAYS = 0
    assert tasks.expire() == 0
    settings.RETENTION_DAYS = 30
    assert tasks.expire() == 2
    assert not Generation.objects.filter(pk=generation.pk).exists()
    assert Generation.objects.filter(pk=kept.pk).exists()
    assert list(Asset.objects.values_list("pk", flat=True)) == [needed.pk]
    files = {str(path.relative_to(media_root)) for path in media_root.rglob("*") if path.is_file()}
    assert files == {needed.key, needed.thumbnail_key}


def test_files_that_belong_to_nothing_are_deleted_after_a_day(
    generation: Generation, eager_tasks: None, media_root: Path
) -> None:
    run(generation)
    keys = {key for row in Asset.objects.values_list("key", "thumbnail_key") for key in row if key}
    fresh, stale, part = (f"outputs/{uuid.uuid4()}/{name}" for name in ("1.0", "1.1", "1.2.x.part"))
    for key in (fresh, stale, part):
        path = media_root / key
        path.parent.mkdir(parents=True)
        path.write_bytes(b"left over")
    two_days_ago = time.time() - 2 * 24 * 3600
    for key in (stale, part, *keys):
        os.utime(media_root / key, (two_days_ago, two_days_ago))
    assert tasks.tidy_storage() == 2
    files = {str(path.relative_to(media_root)) for path in media_root.rglob("*") if path.is_file()}
    assert files == {fresh, *keys}


@pytest.mark.parametrize("is_kept", [True, False])
def test_finished_jobs_stay_in_comfyuis_history_where_its_admin_wants_them(
    generation: Generation, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    deleted: list[str] = []
    monkeypatch.setattr(ComfyClient, "delete_history", lambda _client, prompt_id: deleted.append(prompt_id))
    ComfyServer.objects.update(is_history_kept=is_kept)
    assert run(generation).status == Status.SUCCEEDED
    assert deleted == ([] if is_kept else [str(generation.prompt_id)])


def test_results_that_are_not_kept_are_not_stored(owner: Any) -> None:
    template = make_template(publish=False)
    version = add_published_version(template, graph=txt2img_graph(), parameters=[], output_nodes=["9"])
    generation = make_generation(
        owner, template=template, status=Status.STORING,
        upstream_outputs={"9": {"text": ["kept"]}, "12": {"text": ["left"]}, "9.0.1": {"text": ["also"]}},
    )  # fmt: skip
    assert generation.version == version
    storing.store_outputs(str(generation.pk))
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED
    assert [each.value for each in generation.outputs.order_by("position")] == ["kept", "also"]
