"""Small results are stored where their end is heard, in one go: first the files, then one transaction with every row.

Nothing is written into the database before the files are in the storage and verified. On PostgreSQL the transaction is
a single statement, unless a webhook waits for the end. Until it is committed, ComfyUI's history is what says that there
is a result, and whoever looks there next does it all again, under the same keys. Whatever is not plain is left to a
worker (`storing.py`), which has turns, back-off and warnings.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from generations.comfy.client import ComfyClient
from generations.comfy.errors import ComfyError, NotFound
from generations.comfy.outputs import OutputItem, merged
from generations.comfy.stripping import WorkflowLeftError
from generations.files.assets import discard_files
from generations.files.spooling import IncompleteCopyError
from generations.lifecycle import copying, results
from generations.lifecycle.results import Copied
from generations.lifecycle.transitions import given_up, let_next_in, publish_state
from generations.models import Asset, Generation, Status, WorkflowTemplate, ending, reading
from generations.models.generation import UPSTREAM, Run
from generations.webhooks import outbox

logger = logging.getLogger(__name__)

MAX_FILES = 16
MAX_OUTPUTS = 100
MAX_BYTES = 8 * 1024 * 1024  # of each file
FRESH_SECONDS = 0.02
COPY_SECONDS = 5.0  # for all of them; and ComfyUI may be silent as long


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that ended well. `generation` is what was claimed; `is_start_known`: its row says that it started."""

    generation: Generation
    outputs: Mapping[str, Any]
    seconds: float | None  # that ComfyUI worked on it
    started_at: datetime
    executed_at: datetime
    is_start_known: bool


class TooSlowError(Exception):
    """The files do not arrive within COPY_SECONDS."""


class _AnotherTemplateError(Exception):
    """Whether its results go without their workflow was changed since it was claimed."""


def items_of(generation: Generation, outputs: Mapping[str, Any]) -> list[OutputItem] | None:
    """What to store of it; None when that is no small result by what ComfyUI says of it."""
    if generation.is_cache_bypassed:
        return None  # what an earlier run left is replaced by this one's
    generation.upstream_outputs = merged(generation.earlier_outputs or {}, outputs)
    items, dropped = copying.items_of(generation)
    is_small = len(items) <= MAX_OUTPUTS and sum(item.file is not None for item in items) <= MAX_FILES
    return items if is_small and not dropped else None


def store(ended: Ended, items: Sequence[OutputItem], client: ComfyClient) -> bool:
    """Copy the files and write the end. True: nothing is left to do, be it that its owner canceled it meanwhile.

    False: it is a worker's, with whatever may be copied of it by now; a copy is overwritten by the next one.
    """
    try:
        copied = _copy(ended.generation, items, client)
        return _write(ended, copied) or _settle(ended.generation, copied)
    except Exception as error:
        is_expected = isinstance(error, _EXPECTED)
        logger.info("Generation %s is left to a worker: %s", ended.generation.pk, error, exc_info=not is_expected)
        return False


_EXPECTED = (
    copying.TooLargeError, TooSlowError, NotFound, WorkflowLeftError, ComfyError, IncompleteCopyError, OSError,
    _AnotherTemplateError,
)  # fmt: skip


def _copy(generation: Generation, items: Sequence[OutputItem], client: ComfyClient) -> list[Copied]:
    """TooSlowError, beside what copying raises."""
    in_time = partial(_in_time, time.monotonic() + COPY_SECONDS)
    copy_one = partial(copying.copy, through=in_time, at_most=MAX_BYTES, silent_seconds=COPY_SECONDS)
    return [Copied(position, item, copy_one(generation, position, item, client)) for position, item in enumerate(items)]


def _in_time(give_up: float, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, while there is time: whoever waits for one server has no time for the others."""
    for chunk in chunks:
        if time.monotonic() > give_up:
            msg = f"not all files arrived in {COPY_SECONDS:g} s"
            raise TooSlowError(msg)
        yield chunk


def _write(ended: Ended, copied: Sequence[Copied]) -> bool:
    """The end with all its rows. False when the row waits for no result any more."""
    run = Run(ended.generation.upstream_outputs or {}, ended.started_at, ended.executed_at, timezone.now())
    return _write_whole(ended, run, copied) or _write_stepwise(ended, run, copied)


def _write_whole(ended: Ended, run: Run, copied: Sequence[Copied]) -> bool:
    """In one statement. False, with nothing written, when there is more to it."""
    generation = ended.generation
    assets, outputs = results.rows_of(generation, copied)
    begin = time.monotonic()
    found = ending.store_whole(generation, run, assets=assets, outputs=outputs, seconds=ended.seconds)
    seconds = time.monotonic() - begin
    if found is None:
        return False
    generation.status, generation.started_at = Status.SUCCEEDED, found.started_at
    generation.executed_at, generation.finished_at = run.executed_at, run.finished_at
    reading.attach(generation, outputs)
    results.tell(generation, outputs)
    publish_state(generation)
    # What the statement saw is what was there when it began: of one that waited for others, it is asked again.
    is_fresh = found.is_next_wanted or seconds < FRESH_SECONDS
    let_next_in(generation, is_wanted=found.is_next_wanted if is_fresh else None)
    return True


def _write_stepwise(ended: Ended, run: Run, copied: Sequence[Copied]) -> bool:
    """In one transaction."""
    generation = ended.generation
    with transaction.atomic():
        found = Generation.objects.store_at_once(generation, run)
        if found is None:
            return False
        if found.is_bare is not None and found.is_bare != generation.version.is_workflow_removed:
            raise _AnotherTemplateError
        generation.status, generation.started_at = Status.RUNNING, found.started_at
        if found.has_webhooks and not ended.is_start_known:
            outbox.notify(copy.copy(generation))
        generation.status = Status.SUCCEEDED
        generation.executed_at, generation.finished_at = run.executed_at, run.finished_at
        reading.attach(generation, results.write(generation, copied))
        if ended.seconds is not None and generation.version.template_id is not None:
            WorkflowTemplate.objects.note_run(generation.version.template_id, seconds=ended.seconds)
        if found.has_webhooks:
            outbox.notify(generation)
        publish_state(generation)
    if found.is_next_wanted:
        let_next_in(generation)
    return True


def _settle(generation: Generation, copied: Sequence[Copied]) -> bool:
    """The row waits for no result: it was canceled or deleted, or another relay has written the same end.

    The files go unless they are another relay's or worker's by now, who stored the same. False: it waits after all.
    """
    given_up(generation.prompt_id)
    row = Generation.objects.filter(pk=generation.pk).only("prompt_id", "status", "attempt").first()
    if row is not None and row.prompt_id == generation.prompt_id and row.status in UPSTREAM:
        return False
    if row is None or row.attempt > generation.attempt or row.status in (Status.CANCELED, Status.FAILED):
        _discard([each.asset for each in copied if each.asset is not None])
    return True


def _discard(assets: Sequence[Asset]) -> None:
    """Those files that no result names; none can become one, because this attempt is over."""
    keys = {key for asset in assets for key in (asset.key, asset.thumbnail_key) if key}
    named = set(Asset.objects.filter(key__in=keys).values_list("key", "thumbnail_key"))
    discard_files(keys - {key for pair in named for key in pair})
