"""The statement that ends a run writes what the transaction of several statements writes, and nothing else."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection  # noqa: F401  (the mark asks it)
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import Plan, User
from generations.models import (
    Asset,
    Generation,
    Output,
    Status,
    StorageUsage,
    TemplateVersion,
    Webhook,
    WorkflowTemplate,
)
from generations.models.ending import store_whole
from generations.models.generation import Run
from generations.scheduling.queue import wants_admission
from tests.support.factories import make_generation, make_server

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no such statement"),
]
NOW = timezone.now()
RUN = Run({"9": {"images": [{"a": "ü\\"}]}}, NOW, NOW + timedelta(seconds=1), NOW + timedelta(seconds=2))


@pytest.fixture
def running(owner: User) -> Generation:
    return make_generation(owner, status=Status.RUNNING, server=make_server(), partner_key="secret")


def rows(generation: Generation) -> tuple[list[Asset], list[Output]]:
    """A picture and two values, with whatever is hard to write down."""
    asset = Asset(
        workspace=generation.workspace,
        user=generation.user, name="a'b\"%s\\.png", key=f"k/{uuid.uuid4()}", content_type="image/png", size_bytes=2**40,
        hash="blake3:0", width=None, height=7, tags=["ü", 1], expires_at=NOW,
    )  # fmt: skip
    values: list[Any] = [None, "text with \"quotes\" and 'these', %s and \\", {"a": [1.5, None, True, 2**70]}]
    return [asset], [
        Output(
            generation=generation, node_id="9", key="images", index=index, position=index, kind="image",
            asset=None if index else asset, value=value,
        )
        for index, value in enumerate(values)
    ]  # fmt: skip


def columns(row: Any, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if not name.startswith("_") and name not in without}


def test_every_column_is_written_as_django_writes_it(
    running: Generation, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assets, outputs = rows(running)
    with django_assert_num_queries(1):
        found = store_whole(running, RUN, assets=assets, outputs=outputs, seconds=2.0)
    assert found == (RUN.started_at, False, None, False)
    assert columns(Asset.objects.get()) == columns(assets[0])
    written = list(Output.objects.order_by("position"))
    assert [columns(each, without=("id",)) for each in written] == [columns(each, without=("id",)) for each in outputs]
    assert all(each.pk for each in written)
    expected = columns(running) | RUN._asdict() | {
        "status": "succeeded", "partner_key": None, "upstream_outputs": RUN.outputs,
    }  # fmt: skip
    del expected["outputs"]
    assert columns(Generation.objects.get(pk=running.pk)) == expected
    assert StorageUsage.objects.get(workspace=running.workspace).stored_bytes == 2**40


def test_the_users_bytes_and_the_templates_mean_go_on_from_what_they_were(running: Generation) -> None:
    StorageUsage.objects.create(workspace=running.workspace, stored_bytes=5)
    WorkflowTemplate.objects.update(mean_seconds=10.0)
    assets, outputs = rows(running)
    assert store_whole(running, RUN, assets=assets, outputs=outputs, seconds=2.0)
    assert StorageUsage.objects.get(workspace=running.workspace).stored_bytes == 2**40 + 5
    assert WorkflowTemplate.objects.get().mean_seconds == 8.0


def test_without_files_and_times_nothing_is_counted(running: Generation) -> None:
    WorkflowTemplate.objects.update(mean_seconds=10.0)
    assert store_whole(running, RUN, assets=[], outputs=[], seconds=None)
    assert not StorageUsage.objects.exists()
    assert WorkflowTemplate.objects.get().mean_seconds == 10.0


def test_a_start_that_was_written_stays(running: Generation) -> None:
    earlier = NOW - timedelta(seconds=9)
    Generation.objects.update(started_at=earlier)
    found = store_whole(running, RUN, assets=[], outputs=[], seconds=None)
    assert found is not None
    assert found.started_at == earlier


@pytest.mark.parametrize(
    ("most", "in_line", "held", "is_wanted"),
    [
        (3, 1, 0, False),  # nothing is held back
        (3, 1, 1, True),
        (3, 3, 1, False),  # with this one, four were in play: a plan that was changed
        (100, 7, 1, True),  # the line is short
        (100, 8, 1, True),  # and much is free
        (20, 18, 1, False),  # the line is long, and less than an eighth is free
        (20, 17, 1, True),
    ],
)
def test_it_says_whether_it_is_time_for_the_next(  # noqa: PLR0917
    running: Generation, stranger: User, most: int, in_line: int, held: int, is_wanted: bool
) -> None:
    running.user.plan = Plan.objects.create(name="this", max_concurrent=most)
    running.user.save()
    Generation.objects.filter(pk=running.pk).update(tag=0.0)
    make_generation(stranger, tag=None)
    for _ in range(in_line):
        make_generation(running.user)
    for _ in range(held):
        make_generation(running.user, tag=None)
    found = store_whole(running, RUN, assets=[], outputs=[], seconds=None)
    assert found is not None
    assert found.is_next_wanted is is_wanted
    assert wants_admission(running.workspace_id) is is_wanted


def cancel(running: Generation) -> None:
    Generation.objects.request_cancel(running.pk)


def queue_again(running: Generation) -> None:
    Generation.objects.update(status=Status.QUEUED, server=None)


def change_the_template(running: Generation) -> None:
    WorkflowTemplate.objects.update(is_workflow_removed=False)


def add_a_webhook(running: Generation) -> None:
    Webhook.objects.create(user=running.user, url="https://example.com")


def name_a_webhook(running: Generation) -> None:
    hook = Webhook.objects.create(user=running.user, url="https://example.com", is_for_every_job=False)
    Generation.objects.update(webhook=hook)
    running.webhook = hook


@pytest.mark.parametrize("change", [cancel, queue_again, change_the_template, add_a_webhook, name_a_webhook])
def test_with_more_to_it_nothing_is_written(running: Generation, change: Any) -> None:
    change(running)
    before = columns(Generation.objects.get(pk=running.pk))
    assets, outputs = rows(running)
    assert store_whole(running, RUN, assets=assets, outputs=outputs, seconds=2.0) is None
    assert columns(Generation.objects.get(pk=running.pk)) == before
    assert not Asset.objects.exists()
    assert not Output.objects.exists()
    assert not StorageUsage.objects.exists()


def test_a_webhook_that_is_switched_off_or_of_another_user_changes_nothing(running: Generation, stranger: User) -> None:
    Webhook.objects.create(user=running.user, url="https://example.com", is_enabled=False)
    Webhook.objects.create(user=running.user, url="https://example.com", is_for_every_job=False)
    Webhook.objects.create(user=stranger, url="https://example.com")
    assert store_whole(running, RUN, assets=[], outputs=[], seconds=None)


def test_a_whole_workflow_has_no_template(running: Generation) -> None:
    TemplateVersion.objects.update(template=None)
    running = Generation.objects.get(pk=running.pk)
    assert store_whole(running, RUN, assets=[], outputs=[], seconds=2.0)
