"""A transition of the state machine together with the event that tells of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from django.db import transaction

from generations import publisher, snapshot
from generations.models import Generation


def transition(change: Callable[[], int], **lookup: uuid.UUID) -> bool:
    """Carry out `change`, a conditional UPDATE; if it changed the row, tell those who watch, on commit.

    `lookup` finds the row afterwards (`pk`, or `prompt_id` while that stays the same). False: somebody else was
    faster, and nothing is said.
    """
    with transaction.atomic():
        if not change():
            return False
        generation = Generation.objects.select_related("version__template").get(**lookup)
        event = snapshot.snapshot_event if generation.is_terminal else snapshot.status_event
        publisher.publish(generation, event(generation))
    return True
