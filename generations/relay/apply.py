"""What happened upstream, written down: one transition, and the event that tells of it once it is committed."""

from __future__ import annotations

import logging
import uuid

from django.conf import settings
from django.db import transaction

from generations import publisher, snapshot
from generations.comfy.errors import NodeError, Rejected
from generations.comfy.graph import node_title
from generations.comfy.messages import ExecutionError
from generations.comfy.state import HistoryEntry
from generations.models import Generation, Status
from generations.models.generation import Failure
from generations.tasks import store_outputs
from generations.transitions import transition

logger = logging.getLogger(__name__)


def submitted(generation: Generation) -> None:
    """ComfyUI has it in its queue; the transition was the claim itself, this tells of it."""
    current = Generation.objects.select_related("version__template").get(pk=generation.pk)
    if current.status == Status.SUBMITTED:
        publisher.publish(current, snapshot.status_event(current))


def started(prompt_id: uuid.UUID) -> bool:
    """ComfyUI began to execute it."""
    return transition(lambda: Generation.objects.start(prompt_id), prompt_id=prompt_id)


def ended(generation: Generation, entry: HistoryEntry) -> bool:
    """ComfyUI's history has it: store its outputs, or note how it failed. A wish to cancel goes before both."""
    prompt_id = generation.prompt_id
    if Generation.objects.filter(pk=generation.pk, cancel_requested_at__isnull=False).exists():
        return canceled(prompt_id)
    if entry.outcome == "interrupted":
        return failed(generation, Failure("interrupted", "It was stopped on the ComfyUI server. Run it again."))
    if entry.outcome == "error":
        return failed(generation, execution_failure(generation, entry.error))
    with transaction.atomic():
        changed = transition(
            lambda: Generation.objects.finish_upstream(prompt_id, outputs=entry.outputs), prompt_id=prompt_id
        )
        if changed:
            transaction.on_commit(lambda: store_outputs.delay(str(generation.pk)))
    # 0 rows although it is still ours: somebody asked to cancel it in this very moment.
    return changed or canceled(prompt_id)


def canceled(prompt_id: uuid.UUID) -> bool:
    """It will not run, or what it made is not wanted any more."""
    return transition(lambda: Generation.objects.cancel(prompt_id), prompt_id=prompt_id)


def failed(generation: Generation, failure: Failure) -> bool:
    """It ended without a result."""
    return transition(
        lambda: Generation.objects.fail(generation.pk, failure, prompt_id=generation.prompt_id), pk=generation.pk
    )


def released(generation: Generation) -> bool:
    """The server never got it: back into the queue, as if nothing had happened."""
    return transition(lambda: Generation.objects.release(generation.prompt_id), pk=generation.pk)


def lost(generation: Generation) -> bool:
    """The server forgot it (restart, cleared queue): queue it again, or give up after MAX_ATTEMPTS."""
    if generation.cancel_requested_at is not None:
        return canceled(generation.prompt_id)
    if generation.attempt >= settings.MAX_ATTEMPTS:
        message = f"ComfyUI lost this generation {generation.attempt} times. It may be what makes the server stop."
        return failed(generation, Failure("lost", message))
    logger.warning("%s lost generation %s; it is queued again", generation.server, generation.pk)
    return transition(lambda: Generation.objects.requeue(generation.prompt_id), pk=generation.pk)


def execution_failure(generation: Generation, error: ExecutionError | None) -> Failure:
    """A node's exception in words for the owner; the traceback, which shows the server's paths, is for staff."""
    if error is None:
        return Failure("execution_error", "ComfyUI reports that it failed, without a reason.")
    graph = generation.version.graph
    node_id = error.node_id.split(".")[0]
    first_line = error.exception_message.strip().splitlines()
    return Failure(
        "out_of_memory" if error.is_out_of_memory else "node_execution_error",
        "The graphics card ran out of memory. Try a smaller size or fewer images."
        if error.is_out_of_memory
        else _without_paths(first_line[0])
        if first_line
        else f"{error.exception_type}.",
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


def rejection_failure(generation: Generation, rejection: Rejected) -> Failure:
    """What ComfyUI's validation found, with the first node at fault named."""
    first: NodeError | None = rejection.node_errors[0] if rejection.node_errors else None
    graph = generation.version.graph
    title = node_title(graph, first.node_id) if first and first.node_id in graph else ""
    reason = (
        f"{first.message}: {first.details}"
        if first and first.details
        else first.message
        if first
        else rejection.message
    )
    return Failure(
        "invalid_workflow",
        f"ComfyUI refused the workflow. {_without_paths(reason)}",
        node_id=first.node_id if first else "",
        node_title=title,
        class_type=first.class_type if first else "",
        detail={"message": rejection.message, "node_errors": [str(error) for error in rejection.node_errors]},
    )


def _without_paths(text: str) -> str:
    """The text without the server's directories: the last part of a path says enough."""
    return " ".join(word.rsplit("/", 1)[-1] if word.startswith(("/", "'/", '"/')) else word for word in text.split(" "))
