"""The state of a generation as its owner sees it: one description for sockets, pages and the API."""

from __future__ import annotations

import logging

from django.core.cache import cache

from generations.comfy.graph import node_title
from generations.live import events
from generations.live.links import link
from generations.models import Generation, Output, Status
from generations.models.generation import UPSTREAM, WarningItem
from generations.models.queue import Outlook
from generations.scheduling import queue

logger = logging.getLogger(__name__)


def state(generation: Generation) -> events.State:
    """Everything about it. Needs `version.template` and `outputs.asset` loaded to be cheap."""
    graph, reached = generation.version.graph, progress(generation)
    return {
        **_standing(generation, reached),
        "id": str(generation.pk),
        "progress": reached,
        "outputs": [output_item(output, graph) for output in shown_outputs(generation)],
        "warnings": warning_items(generation),
        "template": generation.version.slug,
        "created_at": generation.created_at.isoformat(),
        "started_at": generation.started_at.isoformat() if generation.started_at else None,
        "finished_at": generation.finished_at.isoformat() if generation.finished_at else None,
    }


def shown_outputs(generation: Generation) -> list[Output]:
    """What counts as its result. A canceled one has none, whatever had been copied by then; before it was executed,
    there is none yet.
    """
    if generation.status in (Status.CANCELED, Status.QUEUED, *UPSTREAM):
        return []
    return list(generation.outputs.all())


def snapshot_event(generation: Generation) -> events.SnapshotEvent:
    """First message to somebody who starts to watch."""
    return {"type": "snapshot", "prompt_id": str(generation.pk), "generation": state(generation)}


def status_event(generation: Generation, reached: events.ProgressState | None = None) -> events.StatusEvent:
    """Its status, or its place in the queue, is another one now. `reached`: how far it is, if that is known.

    Nothing is asked of the cache here: transitions make these events while they hold the row.
    """
    return {"type": "status", "prompt_id": str(generation.pk), **_standing(generation, reached)}


def _standing(generation: Generation, reached: events.ProgressState | None) -> events.Standing:
    waits = waiting(generation)
    return {
        "status": generation.status,
        "status_label": generation.status_label,
        "now": _now(generation, waits["queue_position"], reached),
        "is_canceling": generation.is_canceling,
        "is_terminal": generation.is_terminal,
        **waits,
        "error": error_item(generation),
    }


def waiting(generation: Generation) -> events.Waiting:
    """Its place in the queue, when it starts, and a sentence for the person who waits."""
    is_queued = generation.status == Status.QUEUED
    found = (generation.outlook or queue.outlook(generation)) if is_queued else None
    seconds = found.starts_in_seconds if found else None
    return {
        "queue_position": found.position if found else None,
        "starts_in_seconds": None if seconds is None else round(seconds),
        "message": _message(generation, found),
    }


def output_item(output: Output, graph: dict[str, dict[str, object]]) -> events.OutputItem:
    """One output with links that only work for its owner."""
    asset = output.asset
    return {
        "id": str(asset.pk) if asset else f"{output.generation_id}-{output.position}",
        "kind": output.kind,
        "node_id": output.node_id,
        "node_title": node_title(graph, output.node_id),
        "name": asset.name if asset else "",
        "content_type": asset.content_type if asset else "application/json",
        "size_bytes": asset.size_bytes if asset else 0,
        "width": asset.width if asset else None,
        "height": asset.height if asset else None,
        "url": link("asset", asset.pk) if asset else "",
        "thumbnail_url": link("asset-thumbnail", asset.pk) if asset and asset.thumbnail_key else "",
        "is_temporary": output.is_temporary,
        "value": output.value,
    }


def error_item(generation: Generation) -> events.ErrorItem | None:
    """Why it failed, without what only staff may see; None unless FAILED."""
    if generation.status != Status.FAILED:
        return None
    return {
        "code": generation.error_code,
        "message": generation.error_message,
        "node_id": generation.error_node_id,
        "node_title": generation.error_node_title,
        "class_type": generation.error_class_type,
    }


def warning_items(generation: Generation) -> list[WarningItem]:
    """What is missing from its result; empty unless SUCCEEDED."""
    return list(generation.warnings or ()) if generation.status == Status.SUCCEEDED else []


def progress(generation: Generation) -> events.ProgressState | None:
    """The newest progress, if it runs and has sent some. Nothing fails because the cache does not answer."""
    if generation.status != Status.RUNNING:
        return None
    try:
        found: events.ProgressState | None = cache.get(events.progress_cache_key(generation.pk))
    except Exception:
        logger.warning("The progress of %s is not known: the cache does not answer", generation.pk, exc_info=True)
        return None
    return found


def _now(generation: Generation, place: int | None, reached: events.ProgressState | None) -> str:
    if place is not None:
        return f"Place {place} in the queue"
    if generation.is_canceling:
        return ""  # the message says that it stops
    if generation.status == Status.RUNNING:
        return (reached and reached["node_title"]) or "Starting …"
    return "Saving your results …" if generation.status == Status.STORING else ""


def _message(generation: Generation, outlook: Outlook | None) -> str:
    """A sentence for the person who waits, saying what for; "" when there is nothing to say."""
    if generation.is_canceling:
        return "Stopping …"
    if outlook is not None:
        return _queue_message(generation, outlook)
    if generation.status == Status.SUBMITTED:
        return "Next on the server."
    if generation.status == Status.STORING and generation.store_attempts > 1:
        return "Your result is safe, but saving it takes longer than usual. It is tried again by itself."
    return ""


def _queue_message(generation: Generation, outlook: Outlook) -> str:
    if outlook.obstacle:
        return f"{outlook.obstacle} Your generation waits and starts by itself."
    if generation.attempt:
        return "It has to be run once more, and is first in line for that."
    if generation.tag is None:
        return "Starts when one of your current runs finishes."
    seconds = outlook.starts_in_seconds
    return f"Starts in about {_rough_time(seconds)}." if seconds is not None and seconds > 5 else ""


def _rough_time(seconds: float) -> str:
    """To ten seconds, then to minutes, then to hours: more would be a promise."""
    if seconds < 55:
        return f"{max(10, round(seconds / 10) * 10)} seconds"
    if seconds < 3300:
        minutes = max(1, round(seconds / 60))
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    hours = max(1, round(seconds / 3600))
    return f"{hours} hour{'s' if hours > 1 else ''}"
