"""Taking prompts away from a server: those that should not run there any more, and all of them when it is gone."""

from __future__ import annotations

import uuid

from generations.lifecycle.transitions import retried
from generations.models import Generation
from generations.models.generation import Retry
from generations.relay import apply, timing
from generations.relay.session import Session
from generations.scheduling import fitness


def stop_unwanted(session: Session) -> None:
    """Stop those that their owners canceled, whose time is up, or whose server was switched off."""
    if not session.prompts:
        return
    canceled = set(session.rows().filter(cancel_requested_at__isnull=False).values_list("prompt_id", flat=True))
    for prompt_id in session.prompts.ids():
        is_canceled = uuid.UUID(prompt_id) in canceled
        is_unwanted = is_canceled or session.prompts.is_overdue(prompt_id) or not session.server.is_enabled
        if is_unwanted and session.prompts.may_ask_to_stop(prompt_id):
            _stop(session, prompt_id, is_canceled=is_canceled)


def _stop(session: Session, prompt_id: str, *, is_canceled: bool) -> None:
    session.prompts.asked_to_stop(prompt_id)
    if not session.upstream.stop(prompt_id):
        session.health.asked_to_stop(prompt_id)
        if session.server.is_enabled or is_canceled:
            return  # it takes a moment
    if is_canceled:
        apply.canceled(uuid.UUID(prompt_id))
        session.forget(prompt_id)
        session.timers.reconcile = 0.0  # stops the rest of a batch, if there is one
    elif not session.server.is_enabled:
        retried(session.prompts.generation_id(prompt_id), uuid.UUID(prompt_id), Retry.WITHDRAWN)
        session.forget(prompt_id)
    else:
        session.prompts.look_soon(prompt_id)


def move_away(session: Session) -> None:
    """The server does not answer: after a while, others that can run what it has get it."""
    patience = timing.UNREACHABLE_SECONDS if session.server.is_enabled else timing.WITHDRAW_SECONDS
    if session.connection.unanswered_seconds < patience:
        return
    for row in session.rows():
        if _take_away(session, row):
            session.forget(str(row.prompt_id))


def _take_away(session: Session, row: Generation) -> bool:
    """False when it stays: no other server can run it."""
    if row.cancel_requested_at is not None:
        apply.canceled(row.prompt_id)
    elif not session.server.is_enabled:
        retried(row.pk, row.prompt_id, Retry.WITHDRAWN)
    elif fitness.others_can_run(session.server, row.needs):
        apply.lost(row)
    else:
        return False
    return True
