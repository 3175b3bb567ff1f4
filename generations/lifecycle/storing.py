"""Copying the outputs of a generation from ComfyUI into the storage, and what follows from it.

The row says what is left to do, never the broker: a lost message is found again by `sweep`.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from celery import shared_task
from django.db import transaction

from generations.comfy.client import ComfyClient
from generations.comfy.errors import ComfyError, NotFound, Unavailable
from generations.comfy.outputs import OutputItem
from generations.comfy.stripping import WorkflowLeftError
from generations.files.assets import discard_files
from generations.lifecycle import copying, results
from generations.lifecycle.results import Copied
from generations.lifecycle.transitions import retried, transition
from generations.live import publisher, snapshot
from generations.models import ComfyServer, Generation, Status
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
    missing, withheld = [], []
    for position, item in enumerate(items):
        if position in done:
            continue
        try:
            asset = copying.copy(generation, position, item, client, through=partial(_keeping_lease, generation))
        except NotFound as error:
            logger.warning("Generation %s: %s", generation.pk, error)
            missing.append(item)
        except WorkflowLeftError:
            logger.error("Generation %s: the workflow cannot be taken out of %s", generation.pk, item.file)
            withheld.append(item)
        else:
            _record(generation, Copied(position, item, asset))
    return missing, withheld


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


def _record(generation: Generation, copied: Copied) -> None:
    """Write the rows and publish the output; the next one is copied under a fresh lease. _TurnLostError."""
    with transaction.atomic():
        # This holds the row until the commit: nobody takes the next turn, and nobody cancels, in between.
        if is_mine := _prolong(generation):
            results.write(generation, [copied])
    if is_mine:
        return
    # Canceled or deleted, nobody wants the file. With another worker's turn, it is that one's file by now.
    is_wanted = Generation.objects.filter(pk=generation.pk).exclude(status=Status.CANCELED).exists()
    if copied.asset is not None and not is_wanted:
        discard_files([copied.asset.key, copied.asset.thumbnail_key])
    raise _TurnLostError


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
    return retried(generation.pk, generation.prompt_id, Retry.FILE_GONE)


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
