"""Progress and previews on their way to browsers: from the reader's thread to the channel layer, coalesced."""

from __future__ import annotations

import asyncio
import base64
import logging
import threading
import uuid
from dataclasses import dataclass
from functools import lru_cache

from django.core.cache import DEFAULT_CACHE_ALIAS, caches
from django.core.cache.backends.base import BaseCache

from generations.comfy.graph import Graph
from generations.comfy.messages import (
    Executing,
    ExecutionCached,
    ExecutionStart,
    Message,
    PreviewImage,
    PreviewImageWithMetadata,
    Progress,
    ProgressState,
)
from generations.live import events
from generations.live.publisher import outbox, sender
from generations.models import Generation
from generations.relay.coalescer import Coalescer
from generations.relay.progress import ProgressTracker

logger = logging.getLogger(__name__)

PROGRESS_INTERVAL_SECONDS = 0.1
KEEP_INTERVAL_SECONDS = 1.0
PREVIEW_INTERVAL_SECONDS = 0.25
PROGRESS_KEPT_SECONDS = 3600
PREVIEW_BYTES = 350 * 1024  # larger ones are left out: a few of them would fill what a slow browser may be behind


@dataclass(frozen=True, slots=True)
class _Watch:
    generation_id: uuid.UUID
    workspace_id: int | None
    tracker: ProgressTracker


class Broadcast:
    """Follows the prompts of one server. The thread that reads the socket calls `hear`: no I/O in it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: dict[str, _Watch] = {}
        self._running: str | None = None
        self._progress: Coalescer[str, events.ProgressState] = Coalescer(
            sender, self._send_progress, interval_seconds=PROGRESS_INTERVAL_SECONDS
        )
        # For those who come late: only the newest matters, and that of all prompts is written together.
        self._newest: dict[str, events.ProgressState] = {}
        self._kept: Coalescer[None, None] = Coalescer(sender, self._keep, interval_seconds=KEEP_INTERVAL_SECONDS)
        self._previews: Coalescer[str, tuple[str | None, str, bytes]] = Coalescer(
            sender, self._send_preview, interval_seconds=PREVIEW_INTERVAL_SECONDS
        )

    def follow(self, generation: Generation, graph: Graph) -> None:
        """Start to pass on what is heard of its current prompt_id."""
        with self._lock:
            self._watches.setdefault(
                str(generation.prompt_id), _Watch(generation.pk, generation.workspace_id, ProgressTracker(graph))
            )

    def forget(self, prompt_id: str) -> None:
        """Stop: it ended."""
        with self._lock:
            self._watches.pop(prompt_id, None)
            self._newest.pop(prompt_id, None)
        self._progress.forget(prompt_id)
        self._previews.forget(prompt_id)

    def hear(self, message: Message) -> None:
        """Take in one message of the socket; it is ignored if it is about somebody else's prompt."""
        match message:
            case PreviewImageWithMetadata():
                self._offer_preview(message.prompt_id, message.display_node_id, message.content_type, message.image)
            case PreviewImage():
                self._offer_preview(self._running, None, message.content_type, message.image)
            case ExecutionStart():
                self._running = message.prompt_id
            case ExecutionCached() | Executing() | Progress() | ProgressState() if message.prompt_id:
                self._running = message.prompt_id
                watch = self._watch(message.prompt_id)
                if watch is not None and watch.tracker.hear(message):
                    snapshot = watch.tracker.snapshot()
                    self._progress.offer(message.prompt_id, snapshot)
                    with self._lock:
                        self._newest[message.prompt_id] = snapshot
                    self._kept.offer(None, None)

    def _watch(self, prompt_id: str | None) -> _Watch | None:
        with self._lock:
            return self._watches.get(prompt_id) if prompt_id else None

    def _offer_preview(self, prompt_id: str | None, node_id: str | None, content_type: str, image: bytes) -> None:
        if prompt_id is not None and len(image) <= PREVIEW_BYTES and self._watch(prompt_id) is not None:
            self._previews.offer(prompt_id, (node_id, content_type, image))

    def _send_progress(self, prompt_id: str, snapshot: events.ProgressState) -> None:
        watch = self._watch(prompt_id)
        if watch is not None:
            event: events.ProgressEvent = {
                "type": "progress",
                "prompt_id": str(watch.generation_id),
                "progress": snapshot,
            }
            outbox.put(events.workspace_group(watch.workspace_id), event)

    def _keep(self, _key: None, _value: None) -> None:
        with self._lock:
            newest, self._newest = self._newest, {}
            found = [(self._watches.get(prompt_id), snapshot) for prompt_id, snapshot in newest.items()]
        kept = {events.progress_cache_key(watch.generation_id): snapshot for watch, snapshot in found if watch}
        if kept:
            sender.run(_keep(kept))

    def _send_preview(self, prompt_id: str, preview: tuple[str | None, str, bytes]) -> None:
        watch = self._watch(prompt_id)
        if watch is not None:
            node_id, content_type, image = preview
            sender.run(_preview(watch.generation_id, node_id, content_type, image))


@lru_cache(maxsize=1)
def _cache() -> BaseCache:
    """One for the process: `django.core.cache.cache` is another one, with connections of its own, in every task."""
    return caches.create_connection(DEFAULT_CACHE_ALIAS)


async def _keep(kept: dict[str, events.ProgressState]) -> None:
    try:
        await asyncio.to_thread(_cache().set_many, kept, PROGRESS_KEPT_SECONDS)  # aset_many writes one by one
    except Exception:
        logger.exception("The newest progress could not be kept")


async def _preview(generation_id: uuid.UUID, node_id: str | None, content_type: str, image: bytes) -> None:
    """Sent only while somebody looks at this generation."""
    try:
        if not await _cache().aget(events.watched_cache_key(generation_id)):
            return
    except Exception:
        logger.exception("Whether somebody watches could not be found out")
        return
    event: events.PreviewEvent = {
        "type": "preview",
        "prompt_id": str(generation_id),
        "node_id": node_id,
        "content_type": content_type,
        "data_base64": base64.b64encode(image).decode(),
    }
    outbox.put(events.preview_group(generation_id), event)
    try:
        await _cache().aset(events.preview_cache_key(generation_id), event, events.WATCHED_SECONDS)
    except Exception:
        logger.exception("The newest preview could not be kept")
