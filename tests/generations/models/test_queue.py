"""Shares and the clock of the fair queue."""

from __future__ import annotations

import pytest

from accounts.models import User
from generations.models.queue import QueueClock, QueueShare

pytestmark = pytest.mark.django_db


def test_the_clock_begins_at_nothing_and_never_goes_back() -> None:
    assert QueueClock.objects.now() == 0.0
    told = []
    for tag in (3.5, 2.0, 4.0, 0.0):
        QueueClock.objects.advance(tag)
        told.append(QueueClock.objects.now())
    assert told == [3.5, 3.5, 4.0, 4.0]
    assert QueueClock.objects.count() == 1


def test_a_share_is_made_by_whoever_locks_it_first(owner: User, stranger: User) -> None:
    share = QueueShare.objects.lock(owner.pk)
    assert share.finish_tag == 0.0
    share.finish_tag = 12.5
    share.save()
    assert QueueShare.objects.lock(owner.pk).finish_tag == 12.5
    assert QueueShare.objects.lock(stranger.pk).finish_tag == 0.0
