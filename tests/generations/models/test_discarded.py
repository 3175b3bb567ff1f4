"""Files to delete, until the storage has let go of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from generations.models import DiscardedFile
from generations.models.discarded import ASKED_AGAIN

pytestmark = pytest.mark.django_db


def later() -> None:
    DiscardedFile.objects.update(asked_at=timezone.now() - 2 * ASKED_AGAIN)


def test_overdue_files_are_asked_for_once_at_a_time() -> None:
    DiscardedFile.objects.add(["a", "b", "c", "a"])
    assert DiscardedFile.objects.take_overdue(10) == []
    later()
    assert sorted(DiscardedFile.objects.take_overdue(2) + DiscardedFile.objects.take_overdue(2)) == ["a", "b", "c"]
    assert DiscardedFile.objects.take_overdue(10) == []


def test_those_that_wait_longest_come_first_and_noting_them_again_does_not_put_them_off() -> None:
    DiscardedFile.objects.add(["old", "older"])
    for key, minutes in (("old", 5), ("older", 6)):
        DiscardedFile.objects.filter(key=key).update(asked_at=timezone.now() - timedelta(minutes=minutes))
    DiscardedFile.objects.add(["older"])
    assert DiscardedFile.objects.take_overdue(1) == ["older"]
    assert DiscardedFile.objects.take_overdue(1) == ["old"]


def test_a_rollback_forgets_them() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        DiscardedFile.objects.add(["a"])
        raise ZeroDivisionError
    assert not DiscardedFile.objects.exists()
