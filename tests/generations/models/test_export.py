"""Rows of exports: one at a time, one a day, and workers in turns."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone

from accounts.models import User
from generations.models import DataExport
from generations.models.export import AT_ONCE, RETRY_SECONDS, ExportRefusedError

pytestmark = pytest.mark.django_db
State = DataExport.State


def again(export: DataExport) -> DataExport:
    DataExport.objects.filter(pk=export.pk).update(next_attempt_at=timezone.now())
    claimed = DataExport.objects.claim(export.pk)
    assert claimed is not None
    return claimed


def test_one_at_a_time_and_one_a_day(owner: User, stranger: User) -> None:
    DataExport.objects.ask_for(owner)
    with pytest.raises(ExportRefusedError, match="already"):
        DataExport.objects.ask_for(owner)
    with pytest.raises(IntegrityError):
        DataExport.objects.create(user=owner)


def test_after_a_day_there_is_another(owner: User, stranger: User) -> None:
    export = again(DataExport.objects.ask_for(owner))
    assert export.finish("k", 1)
    with pytest.raises(ExportRefusedError, match="24 hours") as refused:
        DataExport.objects.ask_for(owner)
    assert 86_000 < refused.value.seconds <= 86_400
    DataExport.objects.ask_for(stranger)
    DataExport.objects.filter(pk=export.pk).update(created_at=timezone.now() - timedelta(days=1, seconds=1))
    DataExport.objects.ask_for(owner)


def test_a_worker_has_it_alone_and_one_that_slept_changes_nothing(owner: User) -> None:
    first = again(DataExport.objects.ask_for(owner))
    assert DataExport.objects.claim(first.pk) is None
    assert first.go_on()
    second = again(first)
    assert not first.go_on()
    assert not first.finish("old", 1)
    assert not first.fail("old")
    assert second.finish("new", 2)
    second.refresh_from_db()
    assert (second.key, second.is_ready) == ("new", True)


def test_it_is_given_up_after_some_attempts_and_may_be_asked_for_again(owner: User) -> None:
    export = DataExport.objects.ask_for(owner)
    for number in range(len(RETRY_SECONDS) + 1):
        export = again(export)
        assert export.fail("no") == (number == len(RETRY_SECONDS))
    export.refresh_from_db()
    assert export.state == State.FAILED
    DataExport.objects.ask_for(owner)


def test_nobodys_is_made_while_they_are_suspended(owner: User) -> None:
    export = again(DataExport.objects.ask_for(owner))
    User.objects.filter(pk=owner.pk).update(suspended_at=timezone.now())
    assert not export.go_on()
    assert not export.finish("k", 1)
    DataExport.objects.update(next_attempt_at=timezone.now())
    assert not DataExport.objects.waiting().exists()


def test_only_so_many_are_made_at_once(owner: User) -> None:
    people = [User.objects.create_user(f"{number}@example.com") for number in range(AT_ONCE + 1)]
    exports = [DataExport.objects.ask_for(each) for each in people]
    claimed = [DataExport.objects.claim(each.pk) for each in exports]
    assert [each is None for each in claimed] == [False] * AT_ONCE + [True]
    assert str(exports[0]).endswith("waiting")


def test_they_are_over_after_a_week(owner: User) -> None:
    export = again(DataExport.objects.ask_for(owner))
    export.finish("k", 1)
    assert not DataExport.objects.over().exists()
    DataExport.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert DataExport.objects.over().exists()
    assert not DataExport.objects.get().is_ready
