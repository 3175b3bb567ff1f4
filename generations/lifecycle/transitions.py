"""A transition of the state machine together with what it means for others: the event, and the next in line."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from functools import partial

from django.db import DatabaseError, transaction
from django.db.models import prefetch_related_objects

from generations.broker import ask
from generations.lifecycle.removal import discard_leftovers
from generations.live import publisher, snapshot
from generations.models import Generation
from generations.models.generation import UPSTREAM, GenerationQuerySet, Retry, Status
from generations.models.reading import LARGE, attach, complete
from generations.scheduling import queue
from generations.webhooks import outbox

logger = logging.getLogger(__name__)


def transition(change: Callable[[], int], **key: uuid.UUID) -> bool:
    """Carry out `change`, a conditional UPDATE; if it changed the row, tell those who watch, on commit.

    `key` names the row as it is afterwards (`pk`, or `prompt_id` while that stays the same). False: somebody else was
    faster, and nothing is published.
    """
    with transaction.atomic():
        if not change():
            return False
        rows = Generation.objects.select_related("version__template", "user", "workspace__plan")
        generation = rows.defer(*(f"version__{name}" for name in LARGE)).get(**key)
        publish_state(generation)
        outbox.notify(generation)
        if generation.status == Status.QUEUED:
            publisher.wake_relays()
        elif generation.status not in (*UPSTREAM, Status.SUCCEEDED) and not _is_withdrawn(generation):
            # It is neither in line nor on a server any more. (Those that succeed left before.)
            transaction.on_commit(lambda: let_next_in(generation))
    return True


def cancel_some(rows: GenerationQuerySet, size: int) -> int:
    """Ask for at most `size` of these to stop, in a few statements: what `transition` does, for all of them. How many.

    `rows` are active, and nobody has asked yet for them to stop.
    """
    with transaction.atomic():
        chosen = rows.request_cancel_of_some(size)
        found = Generation.objects.filter(pk__in=chosen).select_related("version__template", "user", "workspace__plan")
        generations = list(found.defer(*(f"version__{name}" for name in LARGE)))
        for each in generations:
            if each.is_terminal:
                attach(each, [])  # canceled ones show none, and nothing is asked for
            publish_state(each)
        outbox.notify_all(generations)
        publisher.wake_relays()
        ended = [each for each in generations if each.is_terminal and not _is_withdrawn(each)]
        for one in {each.workspace_id: each for each in ended}.values():
            transaction.on_commit(partial(let_next_in, one))
    return len(chosen)


def _is_withdrawn(generation: Generation) -> bool:
    """Whether all that its workspace has is being canceled: one person's own, who is suspended."""
    workspace = generation.workspace
    return workspace is not None and workspace.is_personal and generation.user.is_suspended


def retried(pk: uuid.UUID, prompt_id: uuid.UUID, retry: Retry) -> bool:
    """Back into the queue, to be run once more; CANCELED if its owner asked for that, be it in this very moment."""
    return transition(lambda: Generation.objects.requeue(prompt_id, retry), pk=pk) or given_up(prompt_id)


def given_up(prompt_id: uuid.UUID) -> bool:
    """CANCELED if its owner asked for that while it was on a server, which need not be told any more."""
    return transition(lambda: Generation.objects.unwanted().cancel(prompt_id), prompt_id=prompt_id)


def publish_state(generation: Generation) -> None:
    """Tell those who watch where it stands, on commit: in full once it is finished."""
    if generation.is_terminal:
        # Read after the commit: nothing about it changes any more, and the transaction is over sooner.
        transaction.on_commit(lambda: _publish_end(generation))
        if generation.attempt > 1 or (generation.attempt and generation.status != Status.SUCCEEDED):
            transaction.on_commit(partial(ask, discard_leftovers, str(generation.pk)))
    else:
        complete(generation)
        publisher.publish(generation, snapshot.status_event(generation))


def _publish_end(generation: Generation) -> None:
    try:
        complete(generation)
        prefetch_related_objects([generation], "outputs__asset")  # asks nothing where both are known
        publisher.publish(generation, snapshot.snapshot_event(generation))
    except Exception:  # whatever it is, what else follows from the commit must not be skipped
        logger.warning("Those who watch %s see its end later", generation.pk, exc_info=True)


def let_next_in(generation: Generation, *, is_wanted: bool | None = None) -> None:
    """Its workspace may have one more in line, if it is time for that: which is asked, if it is not known. Should this
    fail, the sweeper does it.
    """
    try:
        if is_wanted is None:
            is_wanted = queue.wants_admission(generation.workspace_id)
        if is_wanted and generation.workspace is not None and queue.admit(generation.workspace):
            publisher.wake_relays()
    except DatabaseError:
        logger.warning(
            "The next generation of workspace %s is put in line later", generation.workspace_id, exc_info=True
        )
