"""A transition of the state machine together with what it means for others: the event, and the next in line."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

from django.db import DatabaseError, transaction

from generations.live import publisher, snapshot
from generations.models import Generation
from generations.models.generation import UPSTREAM, Status
from generations.scheduling import queue
from generations.webhooks import outbox

logger = logging.getLogger(__name__)


def transition(change: Callable[[], int], **lookup: uuid.UUID) -> bool:
    """Carry out `change`, a conditional UPDATE; if it changed the row, tell those who watch, on commit.

    `lookup` finds the row afterwards (`pk`, or `prompt_id` while that stays the same). False: somebody else was
    faster, and nothing is said.
    """
    with transaction.atomic():
        if not change():
            return False
        generation = Generation.objects.select_related("version__template", "user__plan").get(**lookup)
        announce(generation)
        outbox.notify(generation)
        if generation.status == Status.QUEUED:
            publisher.wake_relays()
        elif generation.status not in (*UPSTREAM, Status.SUCCEEDED):
            # It is neither in line nor on a server any more. (Those that succeed left before.)
            transaction.on_commit(lambda: _let_next_in(generation))
    return True


def announce(generation: Generation) -> None:
    """Tell those who watch where it stands: in full once it is finished."""
    event = snapshot.snapshot_event if generation.is_terminal else snapshot.status_event
    publisher.publish(generation, event(generation))


def _let_next_in(generation: Generation) -> None:
    """Its user may have one more in line. Should this fail, the sweeper does it."""
    try:
        if queue.admit(generation.user):
            publisher.wake_relays()
    except DatabaseError:
        logger.warning("The next generation of user %s is put in line later", generation.user_id, exc_info=True)
