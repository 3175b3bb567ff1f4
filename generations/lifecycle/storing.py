"""Copying the outputs of a generation from ComfyUI into the storage, and what follows from it.

The row says what is left to do, never the broker: a lost message is found again by `sweep`.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

from celery import shared_task
from django.db import transaction

from generations.comfy.client import ComfyClient
from generations.comfy.errors import ComfyError, NotFound, Unavailable
from generations.comfy.outputs import FileRef, OutputItem
from generations.comfy.stripping import WorkflowLeftError
from generations.files import spooling, storage
from generations.files.assets import discard_files
from generations.lifecycle import copying
from generations.lifecycle.transitions import transition
from generations.live import publisher, snapshot
from generations.models import (
    Asset,
    ComfyServer,
    Generation,
    Output,
    Status,
    StorageUsage,
)
from generations.models.generation import Failure, Retry, WarningItem

logger = logging.getLogger(__name__)

STORING_LEASE_SECONDS = 60.0
FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 300.0


@shared_task(name="generations.tasks.store_outputs")
def store_outputs(generation_id: str) -> None:
    """Copy every output of a STORING generation, then SUCCEEDED. Repeating it is harmless.

    Files that ComfyUI no longer has are run for once more, then left out and named; anything else is tried again, with
    back-off, for as long as it takes.
    """
    pk = uuid.UUID(generation_id)
    if not Generation.objects.claim_storing(pk, seconds=STORING_LEASE_SECONDS):
        return
    # From here on its `store_attempts` tell whose turn it is: a worker that slept through its own changes nothing.
    rows = Generation.objects.select_related("version__template", "server").defer("server__object_info")
    generation = rows.get(pk=pk)
    try:
        items, dropped = copying.items_of(generation)
        missing, withheld = _store_each(generation, items)
    except _TurnLostError:
        return
    except Exception as error:
        _try_later(generation, error)
    else:
        if not (copying.is_grave(items, missing) and _run_anew(generation, missing)):
            _conclude(generation, copying.warnings(generation, missing, withheld, dropped))


def _try_later(generation: Generation, error: Exception) -> None:
    turn = generation.store_attempts
    delay = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(turn - 1, 10))
    logger.warning(
        "Generation %s: saving its outputs failed (try %d, again in %.0f s): %s",
        generation.pk, turn, delay, error, exc_info=not isinstance(error, Unavailable),
    )  # fmt: skip
    Generation.objects.put_off_next_storing(generation.pk, turn=turn, seconds=delay)
    publisher.publish(generation, snapshot.status_event(generation))


class _TurnLostError(Exception):
    """This worker's turn at copying is over: another one has taken the next, or the generation was canceled."""


class _Clients:
    """One client for each server, with its connections kept open from task to task."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_server: dict[tuple[object, ...], ComfyClient] = {}

    def of(self, server: ComfyServer) -> ComfyClient:
        """Shared: do not close it."""
        key = (server.url, *sorted(server.headers.items()))
        with self._lock:
            if key not in self._by_server:
                self._by_server[key] = ComfyClient(server.url, headers=server.headers)
            return self._by_server[key]

    def close(self) -> None:
        """Let go of all connections."""
        with self._lock:
            for client in self._by_server.values():
                client.close()
            self._by_server.clear()


clients = _Clients()


def _store_each(generation: Generation, items: Iterable[OutputItem]) -> tuple[list[OutputItem], list[OutputItem]]:
    """Store what is not stored yet. A file that cannot be had does not stop the others.

    Returns the items whose files ComfyUI no longer has, and those that are withheld because the hidden workflow cannot
    be taken out of them. _TurnLostError.
    """
    done = set(generation.outputs.values_list("position", flat=True))
    client = clients.of(generation.server) if generation.server else None
    todo = [(position, item) for position, item in enumerate(items) if position not in done]
    missing, withheld = [], []
    for number, (position, item) in enumerate(todo):
        # For the first one, claiming did it.
        if number and not _prolong(generation):
            raise _TurnLostError
        try:
            asset = _copy(generation, position, item, item.file, client) if item.file else None
        except NotFound as error:
            logger.warning("Generation %s: %s", generation.pk, error)
            missing.append(item)
        except WorkflowLeftError:
            logger.error("Generation %s: the workflow cannot be taken out of %s", generation.pk, item.file)
            withheld.append(item)
        else:
            _record(generation, position, item, asset=asset)
    return missing, withheld


def _copy(generation: Generation, position: int, item: OutputItem, file: FileRef, client: ComfyClient | None) -> Asset:
    with copying.opened(generation, item, client) as source:
        is_bare = generation.version.is_workflow_removed and item.value is None
        spooled = spooling.spool(
            _keeping_lease(generation, source.chunks),
            expected_bytes=source.length,
            mark=generation.mark if is_bare else None,
        )
    with closing(spooled):
        key = storage.output_key(generation.pk, generation.attempt, position)
        told = replace(spooled, content_type=source.content_type) if source.content_type else spooled
        return storage.keep(told, key=key, user_id=generation.user_id, name=file.filename)


def _prolong(generation: Generation) -> bool:
    """Keep the turn for another lease; False when it is over."""
    turn = generation.store_attempts
    return bool(Generation.objects.put_off_next_storing(generation.pk, turn=turn, seconds=STORING_LEASE_SECONDS))


def _keeping_lease(generation: Generation, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes; while they flow, no other worker starts on the same generation."""
    renewed = time.monotonic()
    for chunk in chunks:
        if time.monotonic() - renewed > STORING_LEASE_SECONDS / 3:
            if not _prolong(generation):
                raise _TurnLostError
            renewed = time.monotonic()
        yield chunk


def _record(generation: Generation, position: int, item: OutputItem, *, asset: Asset | None) -> None:
    """Write the rows and publish the output. A repeat finds them there and changes nothing."""
    with transaction.atomic():
        mine = Generation.objects.storing_in_turn(generation.pk, turn=generation.store_attempts)
        is_mine = mine.select_for_update().exists()
        if is_mine and not Output.objects.filter(generation=generation, position=position).exists():
            _write_output(generation, position, item, asset)
    if is_mine:
        return
    # Canceled or deleted, nobody wants the file. With another worker's turn, it is that one's file by now.
    is_wanted = Generation.objects.filter(pk=generation.pk).exclude(status=Status.CANCELED).exists()
    if asset is not None and not is_wanted:
        discard_files([asset.key, asset.thumbnail_key])
    raise _TurnLostError


def _write_output(generation: Generation, position: int, item: OutputItem, asset: Asset | None) -> None:
    if asset is not None:
        asset.save()
        StorageUsage.objects.add_anyway(asset.user_id, asset.size_bytes)
    output = Output.objects.create(
        generation=generation,
        node_id=item.node_id[:200],
        key=item.key[:200],
        index=item.index,
        position=position,
        kind=item.kind,
        is_temporary=item.file is not None and item.file.type == "temp",
        asset=asset,
        value=None if asset else item.value,
    )
    described = snapshot.output_item(output, generation.version.graph)
    publisher.publish(generation, {"type": "output", "prompt_id": str(generation.pk), "output": described})


def _conclude(generation: Generation, warnings: list[WarningItem]) -> None:
    """It succeeds with what there is. Only if nothing is left of its result, it fails."""
    turn = generation.store_attempts
    if any(each["code"] == "output_missing" for each in warnings) and not generation.outputs.exists():
        failure = Failure("output_missing", "ComfyUI no longer has the files it reported. Run it again.")
        change = partial(Generation.objects.fail, generation.pk, failure, prompt_id=generation.prompt_id)
    else:
        change = partial(Generation.objects.succeed, generation.pk, turn=turn, warnings=warnings)
    if Generation.objects.storing_in_turn(generation.pk, turn=turn).exists() and transition(change, pk=generation.pk):
        _forget_upstream(generation)
        if frames := copying.frame_keys(generation):
            discard_files(frames)


def _run_anew(generation: Generation, missing: Sequence[OutputItem]) -> bool:
    """ComfyUI named files that it does not have: its cache remembers what somebody deleted. Once, run past it.

    What was stored of the first run stays until the second has ended, in case that one fails. False: not once more.
    """
    mine = Generation.objects.storing_in_turn(generation.pk, turn=generation.store_attempts)
    if generation.is_cache_bypassed or generation.server is None or not mine.exists():
        return False
    logger.warning("Generation %s lacks %d files; it is run past ComfyUI's cache", generation.pk, len(missing))
    return transition(lambda: Generation.objects.requeue(generation.prompt_id, Retry.FILE_GONE), pk=generation.pk)


def _forget_upstream(generation: Generation) -> None:
    """Delete it from ComfyUI's history, which lies in memory, unless its admin wants to look at it there.

    Failing to do so does no harm.
    """
    if generation.server is None or generation.server.is_history_kept:
        return
    try:
        clients.of(generation.server).delete_history(str(generation.prompt_id))
    except ComfyError as error:
        logger.info("History of %s stays on %s: %s", generation.prompt_id, generation.server, error)
