"""Housekeeping does one object after the other: what goes wrong with one is logged by name, and stays with that one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from accounts.models import Setback
from accounts.models.setback import LONGEST

logger = logging.getLogger(__name__)

FIRST_PAUSE = timedelta(seconds=settings.HOUSEKEEPING_SECONDS)
KEPT = 7 * LONGEST  # of something that nobody tries any more, because it is gone


@contextmanager
def apart(task: str, object_id: int, name: str, *, pause: timedelta = FIRST_PAUSE) -> Iterator[None]:
    """What fails inside fails nothing else: it is logged with `name`, and noted, so that `Setback.objects.waiting` has
    it until it is tried again. Outside of transactions.
    """
    try:
        yield
    except Exception as error:
        found = Setback.objects.note(task, object_id, pause=pause, error=error)  # fails with the database
        again = found.retry_at.isoformat("T", "seconds")
        logger.exception("%s: %s failed (%d times so far), and is tried again at %s", task, name, found.failures, again)
    else:
        Setback.objects.is_over(task, object_id)


@contextmanager
def step(task: str, name: str) -> Iterator[None]:
    """As `apart`, of a step that a task does each time: it is only logged, and the steps after it are done."""
    try:
        yield
    except Exception:
        logger.exception("%s: %s failed, and is tried again the next time", task, name)


def forget() -> int:
    """Delete what nobody tries any more; returns how many."""
    return Setback.objects.filter(retry_at__lt=timezone.now() - KEPT).delete()[0]
