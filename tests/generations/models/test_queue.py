"""Shares and the clock of the fair queue."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from accounts.models import User
from generations.models.queue import QueueClock, QueueShare
from tests.support.factories import own

pytestmark = pytest.mark.django_db


def test_the_clock_begins_at_nothing_and_never_goes_back() -> None:
    assert QueueClock.objects.now() == 0.0
    told = []
    for tag in (3.5, 2.0, 4.0, 0.0):
        QueueClock.objects.advance(tag)
        told.append(QueueClock.objects.now())
    assert told == [3.5, 3.5, 4.0, 4.0]
    assert QueueClock.objects.count() == 1


def test_a_user_has_one_share_which_begins_at_nothing_and_goes_with_the_user(owner: User) -> None:
    assert QueueShare.objects.get_or_create(workspace=own(owner))[0].finish_tag == 0.0
    with pytest.raises(IntegrityError), transaction.atomic():
        QueueShare.objects.create(workspace=own(owner), finish_tag=7.0)
    owner.delete()
    assert not QueueShare.objects.exists()
