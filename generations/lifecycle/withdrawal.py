"""Ending everything that a person has under way, everywhere or in a workspace, at once and however much it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from celery import shared_task
from django.core.cache import cache
from django.db import transaction

from accounts.models import Membership
from generations.broker import ask
from generations.database import in_batches
from generations.lifecycle.transitions import cancel_some
from generations.models import Departure, Generation, QueueShare, Withdrawal
from generations.models.generation import GenerationQuerySet

AT_ONCE = 500
ASKED_AT_ONCE = 100  # workers; for the rest, the sweep asks
# A worker's slot is for others, too: the rest is asked for anew. One that is killed keeps its turn for twice as long.
SECONDS = 10.0


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
    _in_turn(f"withdrawal.{user_id}", partial(_cancel_withdrawn, user_id), partial(ask, cancel_withdrawn, user_id))


def depart(user_id: int, workspace_id: int) -> None:
    """As `withdraw`, of what this person has under way in one workspace: inside the transaction that ends the
    membership.
    """
    Generation.objects.filter(user=user_id, workspace=workspace_id).hold_back()
    departure = Departure.objects.add(user_id, workspace_id)
    transaction.on_commit(partial(ask, cancel_departed, departure.pk))


def withdraw_workspace(workspace_id: int) -> None:
    """As `depart`, of everybody who has something under way in a workspace: inside the transaction that closes it.

    In as many statements for one as for all. A submission that is under way is waited for; one after it is refused.
    """
    QueueShare.objects.select_for_update().get_or_create(workspace_id=workspace_id)  # as `queue.Line` does first
    mine = Generation.objects.filter(workspace=workspace_id)
    user_ids = mine.active().order_by("user").values_list("user", flat=True).distinct()
    departures = Departure.objects.add_all(user_ids, workspace_id)
    mine.hold_back()
    for each in departures[:ASKED_AT_ONCE]:
        transaction.on_commit(partial(ask, cancel_departed, each.pk))


@shared_task(name="generations.tasks.cancel_departed", ignore_result=True)
def cancel_departed(departure_id: int) -> None:
    """Cancel what somebody has under way in a workspace that they left; once they are back, what they began before.

    One worker at a time is at it: `sweep` asks again and again.
    """
    again = partial(ask, cancel_departed, departure_id)
    _in_turn(f"departure.{departure_id}", partial(_cancel_departed, departure_id), again)


def _in_turn(turn: str, cancel: Callable[[], bool], go_on: Callable[[], object]) -> None:
    if not cache.add(turn, True, 2 * SECONDS):
        return
    try:
        is_done = cancel()
    finally:
        cache.delete(turn)
    if not is_done:
        go_on()


def _cancel_withdrawn(user_id: int) -> bool:
    """False when some are left."""
    found = Withdrawal.objects.filter(user=user_id).select_related("user").first()
    if found is None:
        return True
    begun = Generation.objects.filter(user=user_id)
    if not found.user.is_suspended:
        begun = begun.filter(created_at__lte=found.until)
    if not cancel_all(begun, until=time.monotonic() + SECONDS):
        return False
    Withdrawal.objects.filter(user=user_id, until=found.until).delete()
    return True


def _cancel_departed(departure_id: int) -> bool:
    """False when some are left."""
    found = Departure.objects.filter(pk=departure_id).first()
    if found is None:
        return True
    begun = Generation.objects.filter(user=found.user_id, workspace=found.workspace_id)
    if Membership.objects.filter(user=found.user_id, workspace=found.workspace_id).exists():
        begun = begun.filter(created_at__lte=found.until)
    if not cancel_all(begun, until=time.monotonic() + SECONDS):
        return False
    Departure.objects.filter(pk=departure_id, until=found.until).delete()
    return True


def cancel_all(rows: GenerationQuerySet, *, until: float) -> bool:
    """Cancel those of these that are under way. False when some are left `until` then (time.monotonic)."""
    begun = rows.active().filter(cancel_requested_at=None)
    in_batches(partial(cancel_some, begun), size=AT_ONCE, until=until)
    return not begun.exists()
