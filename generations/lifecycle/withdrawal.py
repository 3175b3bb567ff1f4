"""Ending everything that a person has under way, at once and however much it is."""

from __future__ import annotations

import time
from functools import partial

from celery import shared_task
from django.core.cache import cache
from django.db import transaction

from generations.broker import ask
from generations.database import in_batches
from generations.lifecycle import services
from generations.models import Generation, Withdrawal

AT_ONCE = 200
SECONDS = 60.0  # a worker's slot is for others, too; the rest is asked for anew


def withdraw(user_id: int) -> None:
    """Have it all canceled, inside the transaction that suspends this person. Nothing of it is claimed any more.

    One statement takes out of line what is in line, which the plan keeps short. A worker cancels the rest, too.
    """
    Generation.objects.filter(user=user_id).hold_back()
    Withdrawal.objects.add(user_id)
    transaction.on_commit(partial(ask, cancel_withdrawn, user_id))


@shared_task(name="generations.tasks.cancel_withdrawn", ignore_result=True)
def cancel_withdrawn(user_id: int) -> None:
    """Cancel what this person has under way; once they are reinstated, what they began before the withdrawal.

    One worker at a time is at it: `sweep` asks again and again.
    """
    turn = f"withdrawal.{user_id}"
    if not cache.add(turn, True, 2 * SECONDS):
        return
    try:
        is_done = _cancel_withdrawn(user_id)
    finally:
        cache.delete(turn)
    if not is_done:
        ask(cancel_withdrawn, user_id)


def _cancel_withdrawn(user_id: int) -> bool:
    """False when some are left."""
    found = Withdrawal.objects.filter(user=user_id).select_related("user").first()
    if found is None:
        return True
    begun = Generation.objects.filter(user=user_id).active().filter(cancel_requested_at=None)
    if not found.user.is_suspended:
        begun = begun.filter(created_at__lte=found.until)
    until = time.monotonic() + SECONDS

    def cancel_some(size: int) -> int:
        chosen = begun.select_related("version__template").order_by("pk")[:size]
        return len([services.cancel(each) for each in chosen])

    in_batches(cancel_some, size=AT_ONCE, until=until)
    if begun.exists():
        return False
    Withdrawal.objects.filter(user=user_id, until=found.until).delete()
    return True
