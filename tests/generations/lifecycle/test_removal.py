"""Whatever belongs to a generation alone goes with it, and nothing else; many go in batches that hold nobody up."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import connection, connections, transaction
from django.utils import timezone

from accounts.models import Plan, Setback, User
from generations import contract, tasks
from generations.files import assets, storage
from generations.lifecycle import removal
from generations.models import Asset, DiscardedFile, Generation, Output, Status, StorageUsage, TemplateVersion
from tests.support.factories import (
    make_asset,
    make_generation,
    make_output,
    make_team,
    own,
    txt2img_graph,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager_tasks")]
LONG_AGO = timezone.now() - timedelta(days=60)


def raw(user: User, version: TemplateVersion | None = None) -> Generation:
    """One of a whole workflow."""
    if version is None:
        version = TemplateVersion.raw(graph=txt2img_graph(), created_by=user)
        version.save()
    made = make_generation(user, status=Status.SUCCEEDED)
    Generation.objects.filter(pk=made.pk).update(version=version)
    return Generation.objects.get(pk=made.pk)


def test_results_go_with_their_files_and_inputs_stay(owner: User) -> None:
    given = make_asset(owner, b"an input", content_type="text/plain")
    generation = make_generation(owner, status=Status.SUCCEEDED, input_assets=[given])
    result = make_output(generation).asset
    make_output(generation, position=1, value="a text")
    assert result is not None
    removal.remove(generation)
    assert not Output.objects.exists()
    assert list(Asset.objects.all()) == [given]
    assert [default_storage.exists(key) for key in (given.key, result.key, result.thumbnail_key)] == [
        True, False, False
    ]  # fmt: skip
    assert TemplateVersion.objects.count() == 1  # of a template, it is kept


def test_a_file_that_something_else_has_too_stays(owner: User) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED)
    result = make_output(generation).asset
    assert result is not None
    copy = Asset.objects.get(pk=result.pk)
    copy.pk = None
    copy.save()
    removal.remove(generation)
    assert Asset.objects.get() == copy
    assert default_storage.exists(copy.key)


def test_a_workflow_that_was_sent_as_a_whole_goes_with_the_last_of_its_runs(owner: User) -> None:
    first = raw(owner)
    second = raw(owner, first.version)
    removal.remove(first)
    assert TemplateVersion.objects.filter(template=None).exists()
    removal.remove(second)
    assert not TemplateVersion.objects.filter(template=None).exists()


def test_results_can_go_alone_before_a_run_is_repeated(owner: User) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED)
    make_output(generation)
    with transaction.atomic():
        removal.remove_outputs(generation)
    assert not Output.objects.exists() and not Asset.objects.exists()
    assert Generation.objects.get() == generation


def test_what_is_rolled_back_is_still_there(owner: User) -> None:
    generation = raw(owner)
    result = make_output(generation).asset
    assert result is not None
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        removal.remove(generation)
        raise ZeroDivisionError
    assert Generation.objects.get().outputs.get().asset == result
    assert default_storage.exists(result.key)


def test_what_earlier_attempts_left_goes_even_if_nobody_was_asked_to_look(owner: User) -> None:
    again = make_generation(owner, status=Status.SUCCEEDED, attempt=2)
    result = make_output(again).asset
    under_way = make_generation(owner, status=Status.RUNNING, attempt=2)
    assert result is not None
    left, in_use = (storage.output_key(each.pk, 1, 0) for each in (again, under_way))
    for key in (left, in_use):
        storage.write_bytes(key, b"of the first attempt")
    tasks.expire()
    assert not default_storage.exists(left)
    assert default_storage.exists(result.key) and default_storage.exists(in_use)


# ---------------------------------------------------------------------------------------------- batches
def old(user: User, **fields: Any) -> Generation:
    """A generation that ended long ago, with a result."""
    made = make_generation(user, status=Status.SUCCEEDED, finished_at=LONG_AGO, **fields)
    make_output(made)
    return made


def files(media_root: Path) -> set[str]:
    return {str(path.relative_to(media_root)) for path in media_root.rglob("*") if path.is_file()}


def later() -> None:
    DiscardedFile.objects.update(asked_at=LONG_AGO)


@pytest.fixture(autouse=True)
def _keeping(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.RETENTION_DAYS = 30
    monkeypatch.setattr(tasks, "JOBS_AT_ONCE", 2)
    monkeypatch.setattr(tasks, "ROWS_AT_ONCE", 2)


def test_batches_go_on_until_nothing_old_is_left(owner: User, stranger: User, media_root: Path) -> None:
    for number in range(5):
        old((owner, stranger)[number % 2])
    young, active = make_generation(owner, status=Status.FAILED), make_generation(stranger)
    assert tasks.expire() == 5
    assert set(Generation.objects.all()) == {young, active}
    assert not Output.objects.exists()
    assert files(media_root) == set()
    assert [StorageUsage.objects.stored_in(own(user)) for user in (owner, stranger)] == [0, 0]


def test_what_does_not_fit_into_the_time_is_deleted_next_time(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        old(owner)
    monkeypatch.setattr(tasks, "EXPIRE_SECONDS", -1)
    assert [tasks.expire() for _ in range(4)] == [2, 2, 1, 0]


def test_a_worker_that_dies_between_rows_and_files_leaves_none_unnoticed(
    owner: User, media_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(owner)
    before = files(media_root)
    with monkeypatch.context() as patch:
        patch.setattr(assets, "ask", lambda *_: None)  # nothing that was asked for was ever done
        assert tasks.expire() == 1
    assert files(media_root) == before == set(DiscardedFile.objects.values_list("key", flat=True))
    later()
    tasks.sweep()
    assert files(media_root) == set()
    assert not DiscardedFile.objects.exists()


def test_a_batch_that_fails_deletes_nothing(owner: User, media_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old(owner)
    before = files(media_root)

    def failing(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(DiscardedFile.objects.__class__, "add", failing)
    assert tasks.expire() == 0
    assert Generation.objects.count() == Asset.objects.count() == 1
    assert files(media_root) == before


def test_one_that_somebody_else_holds_is_left_for_next_time(owner: User) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite lets one write at a time")
    held, free = old(owner), old(owner)
    is_held, is_done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Generation.objects.select_for_update().get(pk=held.pk)
            is_held.set()
            is_done.wait(60)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert is_held.wait(60)
        assert removal.remove_some(Generation.objects.all(), 10) == 1
    finally:
        is_done.set()
        thread.join()
    assert list(Generation.objects.all()) == [held]
    assert removal.remove_some(Generation.objects.all(), 10) == 1
    assert not Generation.objects.filter(pk=free.pk).exists()


def test_the_statements_of_a_batch_are_few(owner: User, django_assert_max_num_queries: Any) -> None:
    for _ in range(3):
        old(owner)
    with django_assert_max_num_queries(30) as few:
        assert removal.remove_some(Generation.objects.all(), 10) == 3
    for _ in range(20):
        old(owner)
    with django_assert_max_num_queries(len(few)):
        assert removal.remove_some(Generation.objects.all(), 20) == 20


# ---------------------------------------------------------------------------------------------- by plan
def on_plan(user: User, days: int | None) -> User:
    user.plan = Plan.objects.create(name=f"{days} days", retention_days=days)
    user.save()
    return user


def made_ago(user: User, days: int) -> Generation:
    moment = timezone.now() - timedelta(days=days)
    return make_generation(user, status=Status.SUCCEEDED, created_at=moment, finished_at=moment)


@pytest.mark.parametrize(("site", "plan", "kept"), [(0, 7, 7), (30, 7, 7), (5, 7, 5), (30, None, 30), (0, None, 0)])
def test_the_shorter_time_of_plan_and_site_counts(
    owner: User, settings: Any, site: int, plan: int | None, kept: int
) -> None:
    settings.RETENTION_DAYS = site
    on_plan(owner, plan)
    made = {days: made_ago(owner, days) for days in (4, 6, 8, 31)}
    tasks.expire()
    left = set(Generation.objects.values_list("pk", flat=True))
    assert left == {each.pk for days, each in made.items() if not kept or days < kept}
    young = Generation.objects.select_related("workspace__plan").get(pk=made[4].pk)
    shown = contract.expiry(young)
    assert shown == (contract.NEVER if not kept else young.finished_at + timedelta(days=kept))


def test_a_plan_deletes_its_own_workspaces_only_and_leaves_what_is_needed(
    owner: User, stranger: User, settings: Any
) -> None:
    settings.RETENTION_DAYS = 0
    on_plan(owner, 7)
    theirs, long_ago = made_ago(stranger, 400), timezone.now() - timedelta(days=8)
    for_a_team = make_generation(
        owner, workspace=make_team(owner), status=Status.SUCCEEDED, created_at=long_ago, finished_at=long_ago
    )
    needed, upload = make_asset(owner), make_asset(owner)
    Asset.objects.update(created_at=long_ago)
    waiting = make_generation(owner, created_at=long_ago, input_assets=[needed])
    for _ in range(5):
        made_ago(owner, 8)
    assert tasks.expire() == 6
    assert set(Generation.objects.all()) == {theirs, for_a_team, waiting}
    assert list(Asset.objects.filter(pk__in=[needed.pk, upload.pk])) == [needed]


def test_what_cannot_be_deleted_of_one_workspace_keeps_nothing_of_others(
    owner: User, stranger: User, monkeypatch: pytest.MonkeyPatch, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.RETENTION_DAYS = 30
    bad, good = (old(each, created_at=LONG_AGO) for each in (owner, stranger))
    discard = removal.discard

    def fail_for_one(files: Any) -> Any:
        if files.filter(user=owner).exists():
            raise RuntimeError
        return discard(files)

    with monkeypatch.context() as patch:
        patch.setattr(removal, "discard", fail_for_one)
        tasks.expire()
        assert list(Generation.objects.all()) == [bad]
        assert f"workspace {bad.workspace_id}" in caplog.text
        caplog.clear()
        later_one = old(stranger)
        tasks.expire()
        assert not Generation.objects.filter(pk__in=(good.pk, later_one.pk)).exists()
        assert "failed" not in caplog.text  # the bad one waits
    Setback.objects.update(retry_at=timezone.now())
    tasks.expire()
    assert not Generation.objects.exists()


def test_a_step_of_the_housekeeping_that_fails_stops_no_other(
    owner: User, monkeypatch: pytest.MonkeyPatch, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.RETENTION_DAYS = 30
    old(owner)

    def fail() -> None:
        raise OSError

    monkeypatch.setattr(tasks, "_discard_leftovers", fail)
    tasks.expire()
    assert not Generation.objects.exists()
    assert "looking for leftovers failed" in caplog.text
