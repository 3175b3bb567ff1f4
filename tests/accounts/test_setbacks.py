"""Housekeeping: what fails at one object is logged by name, tried again later and later, and holds up no other."""

from __future__ import annotations

import importlib
import logging
from datetime import timedelta
from typing import Any

import pytest
from django.db.migrations.operations import AddIndex
from django.utils import timezone

from accounts import setbacks, workspaces
from accounts.models import Setback, User, Workspace, workspace_emptying
from accounts.models.setback import LONGEST
from tests.support.factories import make_team

pytestmark = pytest.mark.django_db
TASK = "a task"


def fail(pause: timedelta = timedelta(minutes=1)) -> Setback:
    with setbacks.apart(TASK, 7, "the seventh", pause=pause):
        raise ZeroDivisionError
    return Setback.objects.get(task=TASK, object_id=7)


def pause_of(found: Setback) -> int:
    """In minutes."""
    return round((found.retry_at - timezone.now()).total_seconds() / 60)


def test_each_failure_is_logged_by_name_and_doubles_the_pause(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert [pause_of(fail()) for _ in range(4)] == [1, 2, 4, 8]
    assert all("the seventh" in each.message for each in caplog.records)
    assert list(Setback.objects.waiting(TASK)) == [7]
    assert list(Setback.objects.waiting("another task")) == []


def test_the_pause_has_an_end_and_success_begins_anew() -> None:
    Setback.objects.create(task=TASK, object_id=7, failures=1000, retry_at=timezone.now())
    assert pause_of(fail()) == LONGEST / timedelta(minutes=1)
    with setbacks.apart(TASK, 7, "the seventh"):
        pass
    assert not Setback.objects.exists()
    assert pause_of(fail()) == 1


def test_what_nobody_tries_any_more_is_forgotten() -> None:
    Setback.objects.create(task=TASK, object_id=1, retry_at=timezone.now() - timedelta(days=8))
    Setback.objects.create(task=TASK, object_id=2, retry_at=timezone.now())
    assert setbacks.forget() == 1
    assert Setback.objects.get().object_id == 2


def test_the_fault_of_one_team_stops_no_other(owner: User, caplog: pytest.LogCaptureFixture) -> None:
    bad, good = make_team(owner, name="Bad"), make_team(owner, name="Good")
    its_time = timezone.now() - timedelta(hours=1)
    Workspace.objects.filter(pk=bad.pk).update(dissolve_after=its_time - timedelta(hours=1))  # comes first
    Workspace.objects.filter(pk=good.pk).update(dissolve_after=its_time)
    asked: list[int] = []

    def refuse(workspace_id: int, **_: Any) -> bool:
        asked.append(workspace_id)
        if workspace_id == bad.pk:
            raise RuntimeError
        return True

    workspace_emptying.connect(refuse)
    try:
        assert workspaces.delete_dissolved() == 1
        assert f"the team “Bad” ({bad.pk})" in caplog.text
        assert set(Workspace.objects.filter(person=None)) == {bad}
        workspaces.delete_dissolved()
        assert asked == [bad.pk, good.pk]  # not at once again
        Setback.objects.update(retry_at=timezone.now())
        workspaces.delete_dissolved()
        assert asked == [bad.pk, good.pk, bad.pk]
        assert Setback.objects.get().failures == 2
    finally:
        workspace_emptying.disconnect(refuse)
    Setback.objects.update(retry_at=timezone.now())
    assert workspaces.delete_dissolved() == 1
    assert not Setback.objects.exists()


def test_the_index_of_notices_is_built_beside_the_running_release() -> None:
    before = importlib.import_module("accounts.migrations.0017_notices").Migration
    then = importlib.import_module("accounts.migrations.0018_index_of_notices").Migration
    assert not any(isinstance(each, AddIndex) for each in before.operations)
    assert not then.atomic and not any(each.atomic for each in then.operations)
