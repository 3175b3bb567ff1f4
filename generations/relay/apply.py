"""What happened upstream, written down: one transition each, and the event for those who watch, on commit."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from copy import copy
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from generations.broker import ask
from generations.comfy.errors import Rejected
from generations.comfy.graph import node_title
from generations.comfy.messages import ExecutionError
from generations.comfy.outputs import merged
from generations.comfy.state import HistoryEntry
from generations.lifecycle.removal import remove_outputs
from generations.lifecycle.storing import store_outputs
from generations.lifecycle.transitions import given_up, let_next_in, publish_state, retried, transition
from generations.live import events, publisher, snapshot
from generations.models import Generation, Status, WorkflowTemplate
from generations.models.generation import Failure, Retry

logger = logging.getLogger(__name__)

OUT_OF_MEMORY = "out_of_memory"


def submitted(generation: Generation) -> None:
    """ComfyUI has it in its queue: those who watch hear of it. The transition was the claim itself."""
    publish_state(generation)


def hear_of_start(generation: Generation, *, at: datetime) -> None:
    """ComfyUI began to execute it: those who watch hear so, the row follows."""
    running = copy(generation)
    running.status, running.started_at = Status.RUNNING, at
    publisher.outbox.put(events.workspace_group(running.workspace_id), snapshot.status_event(running))


def tell_end(prompt_id: uuid.UUID) -> None:
    """It ended, and whoever wrote that down may have been cut off before saying so."""
    row = (
        Generation.objects.select_related("version__template", "user", "workspace__plan")
        .filter(prompt_id=prompt_id)
        .first()
    )
    if row is not None and row.is_terminal:
        publish_state(row)
        let_next_in(row)


def started(prompt_id: uuid.UUID, *, at: datetime | None = None) -> bool:
    """ComfyUI began to execute it, at that moment or just now."""
    return transition(lambda: Generation.objects.start(prompt_id, at=at), prompt_id=prompt_id)


def ended(generation: Generation, entry: HistoryEntry) -> bool:
    """ComfyUI's history has it: store its outputs, run it once more, or note how it failed.

    A wish to cancel goes before all of these.
    """
    prompt_id = generation.prompt_id
    if entry.outcome != "success" and _is_canceled(generation):
        return canceled(prompt_id)
    if entry.outcome == "interrupted":
        return interrupted(generation)
    if entry.outcome == "error":
        failure = execution_failure(generation, entry.error)
        if failure.code == OUT_OF_MEMORY and not generation.is_memory_retry:
            logger.warning("Generation %s ran out of memory; it is run once more", generation.pk)
            return retried(generation.pk, prompt_id, Retry.OUT_OF_MEMORY)
        return failed(generation, failure)
    # It does not change although it is still ours if its owner asked to cancel it, be it in this very moment.
    return _succeeded(generation, entry) or canceled(prompt_id)


def _succeeded(generation: Generation, entry: HistoryEntry) -> bool:
    """ComfyUI has its results, which a worker copies to the storage now."""
    prompt_id = generation.prompt_id
    outputs = merged(generation.earlier_outputs or {}, entry.outputs)
    with transaction.atomic():
        changed = transition(
            lambda: Generation.objects.finish_upstream(prompt_id, outputs=outputs), prompt_id=prompt_id
        )
        if changed:
            if generation.is_cache_bypassed:
                remove_outputs(generation)  # of the run before: this one reports all of them again
            transaction.on_commit(lambda: ask(store_outputs, str(generation.pk)))
            if entry.execution_seconds is not None and generation.version.template_id is not None:
                WorkflowTemplate.objects.note_run(generation.version.template_id, seconds=entry.execution_seconds)
    return changed


def _is_canceled(generation: Generation) -> bool:
    return Generation.objects.filter(pk=generation.pk, cancel_requested_at__isnull=False).exists()


def went_on(generation: Generation, parts: Iterable[HistoryEntry], *, actual: uuid.UUID) -> bool:
    """These parts of a batch ended; the next one has this prompt_id. There is no event: it still runs."""
    outputs: dict[str, object] = generation.earlier_outputs or {}
    for part in parts:
        outputs = merged(outputs, part.outputs)
    return bool(Generation.objects.go_on(generation.prompt_id, actual=actual, outputs=outputs))


def interrupted(generation: Generation) -> bool:
    """Its time was up, or somebody else than its owner stopped it: that is a loss like any other."""
    limit = generation.version.time_limit_seconds
    if generation.started_at is not None and (timezone.now() - generation.started_at).total_seconds() >= limit:
        message = f"It was stopped because it ran for longer than {limit} seconds."
        return failed(generation, Failure("timed_out", message))
    return lost(generation)


def canceled(prompt_id: uuid.UUID) -> bool:
    """It will not run, or its owner does not want the result any more."""
    return transition(lambda: Generation.objects.cancel(prompt_id), prompt_id=prompt_id)


def failed(generation: Generation, failure: Failure) -> bool:
    """It ended without a result."""
    return transition(
        lambda: Generation.objects.fail(generation.pk, failure, prompt_id=generation.prompt_id), pk=generation.pk
    )


def released(generation: Generation) -> bool:
    """The server never got it: back into the queue, as if nothing had happened, unless it was canceled meanwhile."""
    prompt_id = generation.prompt_id
    return transition(lambda: Generation.objects.release(prompt_id), pk=generation.pk) or given_up(prompt_id)


def lost(generation: Generation, why: str = "") -> bool:
    """Its server does not have it any more (restart, cleared queue, somebody stopped it): queue it again.

    After MAX_ATTEMPTS losses it fails: what brings servers down must not go to one after the other. `why` is a sentence
    for its owner where the reason is known.
    """
    if _is_canceled(generation):
        return canceled(generation.prompt_id)
    losses = generation.losses + 1
    if losses >= settings.MAX_ATTEMPTS:
        times = f"{losses} times" if losses > 1 else "once"
        message = f"ComfyUI lost this generation {times}, so it was given up. It may be what makes the server stop."
        return failed(generation, Failure("lost", why or message))
    logger.warning("%s lost generation %s; it is queued again. %s", generation.server, generation.pk, why)
    return retried(generation.pk, generation.prompt_id, Retry.LOST)


def execution_failure(generation: Generation, error: ExecutionError | None) -> Failure:
    """A node's exception in words for the owner; the traceback, which shows the server's paths, is for staff."""
    if error is None:
        return Failure("execution_error", "ComfyUI reports that it failed, without a reason.")
    if error.is_out_of_memory:
        code, message = OUT_OF_MEMORY, "The graphics card ran out of memory. Try a smaller size or fewer images."
    else:
        code, message = "node_execution_error", _first_line(error)
    graph = generation.version.graph
    node_id = error.node_id.split(".")[0]
    return Failure(
        code,
        message,
        node_id=error.node_id,
        node_title=node_title(graph, node_id) if node_id in graph else error.node_type,
        class_type=error.node_type,
        detail={
            "exception_type": error.exception_type,
            "exception_message": error.exception_message,
            "traceback": list(error.traceback),
            "current_inputs": error.current_inputs,
        },
    )


def _first_line(error: ExecutionError) -> str:
    """Of the exception's message; the exception's type where that is empty."""
    lines = error.exception_message.strip().splitlines()
    return _without_paths(lines[0]) if lines else f"{error.exception_type}."


def rejection_failure(generation: Generation, rejection: Rejected) -> Failure:
    """What ComfyUI's validation found, with the first node at fault named."""
    detail = {"message": rejection.message, "node_errors": [str(error) for error in rejection.node_errors]}
    if not rejection.node_errors:
        return Failure("invalid_workflow", _refusal(rejection.message), detail=detail)
    first = rejection.node_errors[0]
    graph = generation.version.graph
    return Failure(
        "invalid_workflow",
        _refusal(f"{first.message}: {first.details}" if first.details else first.message),
        node_id=first.node_id,
        node_title=node_title(graph, first.node_id) if first.node_id in graph else "",
        class_type=first.class_type,
        detail=detail,
    )


def _refusal(reason: str) -> str:
    return f"ComfyUI refused the workflow. {_without_paths(reason)}"


def _without_paths(text: str) -> str:
    """The text without the server's directories: the last part of a path says enough."""
    return " ".join(word.rsplit("/", 1)[-1] if word.startswith(("/", "'/", '"/')) else word for word in text.split(" "))
