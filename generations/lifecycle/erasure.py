"""Deleting accounts whose time has come, with all that is theirs alone: in short transactions, and however much it is.

Every step finds what is left, so that a worker that is killed anywhere, or a storage that is away, only makes it later.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any

from celery import shared_task
from django.conf import settings
from django.core.cache import cache
from django.db.models import QuerySet

from accounts import closing, setbacks
from accounts.models import Setback, User, Workspace
from generations.database import delete_some, in_batches
from generations.lifecycle import emptying, exporting
from generations.models import Asset, Generation, IdempotencyKey, SeedCount, Webhook, Withdrawal

logger = logging.getLogger(__name__)

ERASURE = "delete a closed account"
ROWS_AT_ONCE = 1000
SECONDS = settings.HOUSEKEEPING_SECONDS / 2  # the rest goes next time


@shared_task(name="generations.tasks.delete_accounts", ignore_result=True, expires=settings.HOUSEKEEPING_SECONDS)
def delete_accounts() -> int:
    """Delete accounts whose time has come. How many are gone. One worker at a time is at it."""
    turn = "erasure"
    if not cache.add(turn, True, 2 * SECONDS):
        return 0
    try:
        return _delete_accounts(time.monotonic() + SECONDS)
    finally:
        cache.delete(turn)


def _delete_accounts(until: float) -> int:
    number, waiting = 0, list(Setback.objects.waiting(ERASURE))
    for pk in list(closing.due().exclude(pk__in=waiting).values_list("pk", flat=True)):
        person = closing.due().filter(pk=pk).first()
        if person is not None:
            with setbacks.apart(ERASURE, pk, f"the account {pk}"):  # by its number: addresses go, logs may stay
                number += erase(person, until=until)
        if time.monotonic() > until:
            break
    return number


def erase(person: User, *, until: float) -> bool:
    """Delete what is left of this account, until then (time.monotonic). False when something has to wait: for more
    time, a server that has not let go of a job yet, or a team that is being dissolved.
    """
    if Withdrawal.objects.filter(user=person).exists():
        return False  # what was under way is being canceled
    hooks = Webhook.objects.filter(user=person)
    hooks.filter(is_enabled=True).update(is_enabled=False, disabled_reason="Its maker's account was deleted.")
    if not closing.part(person):
        return False
    exporting.discard_all(person)
    own = Workspace.objects.filter(person=person).values_list("pk", flat=True).first()
    is_empty = own is None or emptying.empty(own, until=until)
    rows: tuple[QuerySet[Any], ...] = (
        IdempotencyKey.objects.filter(user=person),
        SeedCount.objects.filter(user=person),
    )
    for each in rows:
        in_batches(partial(delete_some, each), size=ROWS_AT_ONCE, until=until)
    if not is_empty or any(each.exists() for each in rows):
        return False
    theirs = (Generation.objects.filter(user=person), Asset.objects.filter(user=person), hooks)
    closing.forget(person, leaves_work=any(each.exists() for each in theirs))
    logger.info("The account %d was deleted", person.pk)
    return True
