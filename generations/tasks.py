"""Celery tasks: copying outputs into the storage, and what has to happen now and then.

The database says what is left to do, never the broker: a lost message is found again by `sweep`.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import islice

from celery import shared_task
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import User
from generations import sending
from generations.broker import ask
from generations.comfy.client import ComfyClient
from generations.comfy.errors import ComfyError, NotFound, Unavailable
from generations.comfy.outputs import FileRef, OutputItem
from generations.comfy.stripping import WorkflowLeftError
from generations.files import storage
from generations.lifecycle import copying
from generations.lifecycle.transitions import transition
from generations.live import publisher, snapshot
from generations.live.events import WarningItem
from generations.models import (
    Asset,
    ComfyServer,
    DiscardedFile,
    Generation,
    IdempotencyKey,
    Output,
    Status,
    StorageUsage,
    TemplateVersion,
    WebhookDelivery,
)
from generations.models.asset import AssetQuerySet
from generations.models.generation import TERMINAL, Failure, Retry
from generations.models.webhook import KEPT as LOG_KEPT
from generations.scheduling import queue

logger = logging.getLogger(__name__)

STORING_LEASE_SECONDS = 60.0
FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 300.0
DELETE_AT_ONCE = 200
EXPIRE_AT_ONCE = 500
ORPHAN_AGE = timedelta(days=1)
ORPHANS_AT_ONCE = 500


@shared_task
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
    except _TurnIsOverError:
        return
    except Exception as error:
        delay = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(generation.store_attempts - 1, 10))
        logger.warning(
            "Generation %s: saving its outputs failed (try %d, again in %.0f s): %s",
            pk, generation.store_attempts, delay, error, exc_info=not isinstance(error, Unavailable),
        )  # fmt: skip
        Generation.objects.postpone_storing(pk, turn=generation.store_attempts, seconds=delay)
        publisher.publish(generation, snapshot.status_event(generation))
    else:
        if not (copying.is_grave(items, missing) and _run_anew(generation, missing)):
            _conclude(generation, copying.warnings(generation, missing, withheld, dropped))


class _TurnIsOverError(Exception):
    """It was canceled, or another worker copies it by now."""


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
    """Store what is not stored yet.

    Returns the files that are gone for good, which keep nothing else from its place, and those that are withheld
    because the hidden workflow cannot be taken out of them.
    """
    done = set(generation.outputs.values_list("position", flat=True))
    client = clients.of(generation.server) if generation.server else None
    todo = [(position, item) for position, item in enumerate(items) if position not in done]
    missing, withheld = [], []
    for number, (position, item) in enumerate(todo):
        # For the first one, claiming did it.
        if number and not _prolong(generation):
            raise _TurnIsOverError
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
        spooled = storage.spool(
            _keeping_lease(generation, source.chunks),
            expected_bytes=source.length,
            mark=generation.mark if is_bare else None,
        )
    with closing(spooled):
        key = storage.output_key(generation.pk, generation.attempt, position)
        told = replace(spooled, content_type=source.content_type) if source.content_type else spooled
        return storage.keep(told, key=key, user_id=generation.user_id, name=file.filename)


def _prolong(generation: Generation) -> bool:
    """Nobody else starts on it for a while; False when somebody has."""
    turn = generation.store_attempts
    return bool(Generation.objects.postpone_storing(generation.pk, turn=turn, seconds=STORING_LEASE_SECONDS))


def _keeping_lease(generation: Generation, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes; while they flow, no other worker starts on the same generation."""
    renewed = time.monotonic()
    for chunk in chunks:
        if time.monotonic() - renewed > STORING_LEASE_SECONDS / 3:
            if not _prolong(generation):
                raise _TurnIsOverError
            renewed = time.monotonic()
        yield chunk


def _record(generation: Generation, position: int, item: OutputItem, *, asset: Asset | None) -> None:
    """Write the rows and announce the output. A repeat finds them there and changes nothing."""
    with transaction.atomic():
        mine = Generation.objects.stored_by(generation.pk, turn=generation.store_attempts)
        is_mine = mine.select_for_update().exists()
        if is_mine and not Output.objects.filter(generation=generation, position=position).exists():
            _write_output(generation, position, item, asset)
    if is_mine:
        return
    # Canceled or deleted, nobody wants the file. With another worker's turn, it is that one's file by now.
    is_wanted = Generation.objects.filter(pk=generation.pk).exclude(status=Status.CANCELED).exists()
    if asset is not None and not is_wanted:
        discard_files([asset.key, asset.thumbnail_key])
    raise _TurnIsOverError


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
    if Generation.objects.stored_by(generation.pk, turn=turn).exists() and transition(change, pk=generation.pk):
        _forget_upstream(generation)
        if frames := copying.frame_keys(generation):
            discard_files(frames)


def _run_anew(generation: Generation, missing: Sequence[OutputItem]) -> bool:
    """ComfyUI named files that it does not have: its cache remembers what somebody deleted. Once, run past it.

    What was stored of the first run stays until the second has ended, in case that one fails. False: not once more.
    """
    mine = Generation.objects.stored_by(generation.pk, turn=generation.store_attempts)
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


def remove_outputs(generation: Generation) -> None:
    """Delete its results, inside a transaction."""
    discard(Asset.objects.filter(output__generation=generation))
    generation.outputs.all().delete()


def discard(assets: QuerySet[Asset]) -> int:
    """Delete these assets for good, and those of their files that no other asset shares. How many that were.

    Inside a transaction: whoever makes another asset of the same file locks the one that it is made from.
    """
    StorageUsage.objects.lock(assets.order_by().values_list("user", flat=True).distinct())
    rows = list(assets.select_for_update(of=("self",)))
    keys = {key for asset in rows for key in (asset.key, asset.thumbnail_key) if key}
    Asset.objects.filter(pk__in=[asset.pk for asset in rows]).delete()
    shared = Asset.objects.filter(Q(key__in=keys) | Q(thumbnail_key__in=keys)).values_list("key", "thumbnail_key")
    unwanted = keys - {key for pair in shared for key in pair}
    files = {asset.key: asset for asset in rows if asset.key in unwanted}
    for user_id in {asset.user_id for asset in files.values()}:
        size = sum(asset.size_bytes for asset in files.values() if asset.user_id == user_id)
        StorageUsage.objects.subtract(user_id, size)
    if unwanted:
        discard_files(unwanted)
    return len(rows)


def remove(generation: Generation) -> None:
    """Delete it for good, with its outputs and their files, and the workflow that was sent for it alone."""
    with transaction.atomic():
        remove_outputs(generation)
        version_id = generation.version_id
        generation.delete()
        TemplateVersion.objects.unused_raw().filter(pk=version_id).delete()


def discard_files(keys: Iterable[str]) -> None:
    """Have these files deleted once the surrounding transaction is committed, if there is one.

    They are written down, so that it happens whatever becomes of the broker, the worker and the storage meanwhile.
    """
    named = sorted({key for key in keys if key})
    DiscardedFile.objects.add(named)
    transaction.on_commit(lambda: ask(delete_files, named))


@shared_task
def delete_files(keys: list[str]) -> None:
    """Remove files that nothing names any more. Those that the storage keeps for now are found again by `sweep`."""
    gone = []
    try:
        for key in keys:
            storage.delete([key])
            gone.append(key)
    except Exception:
        logger.warning("%d of %d files are deleted later", len(keys) - len(gone), len(keys), exc_info=True)
    DiscardedFile.objects.filter(key__in=gone).delete()


@shared_task(ignore_result=True, expires=settings.SWEEP_SECONDS)
def sweep() -> None:
    """Nothing stays unfinished without somebody whose business it is."""
    due = Generation.objects.due_for_storing().order_by("store_after").values_list("pk", flat=True)[:500]
    for pk in due:
        ask(store_outputs, str(pk))
    for generation in Generation.objects.upstream().filter(server=None):
        logger.warning("Generation %s was on a server that was deleted; it is queued again", generation.pk)
        transition(
            lambda generation=generation: Generation.objects.requeue(generation.prompt_id, Retry.WITHDRAWN),  # type: ignore[misc]
            pk=generation.pk,
        )
    if files := DiscardedFile.objects.take_overdue(DELETE_AT_ONCE):
        ask(delete_files, files)
    if WebhookDelivery.objects.due().exists():
        ask(deliver_webhooks)
    # Held back, although their users have nothing under way any more that would let them in.
    for user in User.objects.filter(pk__in=Generation.objects.held().values("user")).select_related("plan"):
        if queue.admit(user):
            publisher.wake_relays()


@shared_task(ignore_result=True, expires=sending.CLAIM_SECONDS)
def deliver_webhooks() -> int:
    """Tell users' servers what is due."""
    return sending.deliver_due(hand_over=deliver_webhooks.delay)


@shared_task(ignore_result=True, expires=settings.HOUSEKEEPING_SECONDS)
def expire() -> int:
    """Delete what nobody is to keep: whatever is older than RETENTION_DAYS, and what has a time of its own.

    Files that something unfinished needs stay until it is finished.
    """
    IdempotencyKey.objects.expired().delete()
    WebhookDelivery.objects.filter(created_at__lt=timezone.now() - LOG_KEPT).delete()
    TemplateVersion.objects.unused_raw().filter(created_at__lt=timezone.now() - ORPHAN_AGE).delete()
    number = discard_unused(Asset.objects.filter(expires_at__lt=timezone.now()))
    return number + _expire_old() if settings.RETENTION_DAYS else number


def _expire_old() -> int:
    before = timezone.now() - timedelta(days=settings.RETENTION_DAYS)
    generations = Generation.objects.filter(status__in=TERMINAL, finished_at__lt=before).order_by("finished_at")
    number = 0
    for generation in generations[:EXPIRE_AT_ONCE]:
        remove(generation)
        number += 1
    number += discard_unused(Asset.objects.filter(created_at__lt=before))
    if number:
        logger.info("%d generations and uploads were kept for %d days and deleted", number, settings.RETENTION_DAYS)
    return number


def discard_unused(assets: AssetQuerySet) -> int:
    """Delete those that are no result and that no unfinished generation needs, EXPIRE_AT_ONCE at most."""
    unused = assets.exclude(pk__in=Asset.objects.in_use().values("pk")).order_by("created_at")
    with transaction.atomic():
        return discard(Asset.objects.filter(pk__in=list(unused.values_list("pk", flat=True)[:EXPIRE_AT_ONCE])))


@shared_task(ignore_result=True)
def tidy_storage() -> int:
    """Delete files that belong to nothing: of deleted users, and of workers that ended in the middle of a copy.

    Only what nobody has touched for a day, so that a copy that goes on is left alone.
    """
    before = timezone.now() - ORPHAN_AGE
    orphans = 0
    for prefix in ("outputs/", "uploads/"):
        old = (key for key, changed_at in storage.walk(prefix) if changed_at < before)
        while batch := list(islice(old, ORPHANS_AT_ONCE)):
            rows = Asset.objects.filter(Q(key__in=batch) | Q(thumbnail_key__in=batch))
            known = {key for row in rows.values_list("key", "thumbnail_key") for key in row}
            unknown = [key for key in batch if key not in known]
            storage.delete(unknown)
            orphans += len(unknown)
        storage.clear(prefix, before=before)
    _recount_storage()
    if orphans:
        logger.info("%d files that belonged to nothing were deleted", orphans)
    return orphans


def _recount_storage() -> None:
    """What is kept as a number can differ from what is there: after a release that did not count yet, or by hand."""
    for user_id in StorageUsage.objects.values_list("user", flat=True):
        if difference := StorageUsage.objects.recount(user_id):
            logger.warning("The files of user %d take %+d bytes more than was counted", user_id, difference)
