"""What has to happen now and then: finding work that was left, deleting what is too old, tidying the storage.

The database says what is left to do, never the broker: `sweep` finds the work of a lost message again. Importing this
module registers all of the app's Celery tasks; their names stay, because messages are in flight during an upgrade.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from celery import shared_task
from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from accounts import setbacks
from accounts.models import Plan, Setback, Workspace
from generations.broker import ask
from generations.database import delete_some, in_batches
from generations.files import storage
from generations.files.assets import EXPIRE_AT_ONCE, delete_files, discard_unused
from generations.lifecycle import erasure, notices
from generations.lifecycle.exporting import clear_orphans
from generations.lifecycle.removal import discard_leftovers, remove_some
from generations.lifecycle.storing import store_outputs
from generations.lifecycle.transitions import retried
from generations.lifecycle.withdrawal import cancel_departed, cancel_withdrawn
from generations.live import publisher
from generations.models import (
    Asset,
    Departure,
    DiscardedFile,
    Generation,
    IdempotencyKey,
    StorageUsage,
    TemplateVersion,
    WebhookDelivery,
    Withdrawal,
)
from generations.models.asset import AssetQuerySet
from generations.models.generation import GenerationQuerySet, Retry
from generations.models.webhook import KEPT as LOG_KEPT
from generations.scheduling import queue
from generations.webhooks.sending import deliver_webhooks

logger = logging.getLogger(__name__)

DELETE_AT_ONCE = 500
EXPIRE_SECONDS = settings.HOUSEKEEPING_SECONDS / 2  # the rest goes next time
ROWS_AT_ONCE = 1000
SPACES_AT_ONCE = 1000
JOBS_AT_ONCE = 500
ORPHAN_AGE = timedelta(days=1)
ORPHANS_AT_ONCE = 500
LEFTOVERS_AT_ONCE = 500  # generations whose folder is looked through
RETENTION, ADMISSION = "delete old results", "let into line"  # names of setbacks
ADMISSION_PAUSE = timedelta(seconds=settings.SWEEP_SECONDS)


# Only the schedule names it. The others are imported by what asks for them.
ON_SCHEDULE_ALONE = (erasure.delete_accounts,)


@shared_task(ignore_result=True, expires=settings.NOTICE_SECONDS)
def mail_ends() -> int:
    """Mail people about long runs that ended, if they asked for it."""
    return notices.send_due()


@shared_task(ignore_result=True, expires=settings.SWEEP_SECONDS)
def sweep() -> None:
    """Find all work that was left, and have it done."""
    due = Generation.objects.due_for_storing().order_by("store_after").values_list("pk", flat=True)[:500]
    for pk in due:
        ask(store_outputs, str(pk))
    for generation in Generation.objects.upstream().filter(server=None):
        logger.warning("Generation %s was on a server that was deleted; it does not stay there", generation.pk)
        with setbacks.step("sweep", f"taking back generation {generation.pk}"):
            retried(generation.pk, generation.prompt_id, Retry.WITHDRAWN)
    if files := DiscardedFile.objects.take_overdue(DELETE_AT_ONCE):
        ask(delete_files, files)
    if WebhookDelivery.objects.due().exists():
        ask(deliver_webhooks)
    for user_id in Withdrawal.objects.values_list("pk", flat=True):
        ask(cancel_withdrawn, user_id)
    for departure_id in Departure.objects.values_list("pk", flat=True):
        ask(cancel_departed, departure_id)
    # Held back, although their workspaces have nothing under way any more that would let them in.
    waiting = Workspace.objects.filter(pk__in=Generation.objects.held().values("workspace"))
    for workspace in waiting.exclude(pk__in=list(Setback.objects.waiting(ADMISSION))).select_related("plan", "person"):
        with setbacks.apart(ADMISSION, workspace.pk, f"workspace {workspace.pk}", pause=ADMISSION_PAUSE):
            if queue.admit(workspace):
                publisher.wake_relays()


@shared_task(ignore_result=True, expires=settings.HOUSEKEEPING_SECONDS)
def expire() -> int:
    """Delete whatever is older than RETENTION_DAYS or its workspace's plan says, and files whose own time is up.

    Files that something unfinished needs stay until it is finished. What attempts that came to nothing have left is
    looked for once more: a relay may have been cut off behind the end of its generation, or the wish to look is lost.
    """
    now, until, number = timezone.now(), time.monotonic() + EXPIRE_SECONDS, 0
    setbacks.forget()
    with setbacks.step("expire", "looking for leftovers"):
        _discard_leftovers()
    for rows in (IdempotencyKey.objects.expired(), WebhookDelivery.objects.filter(created_at__lt=now - LOG_KEPT)):
        with setbacks.step("expire", f"deleting each old {rows.model._meta.verbose_name}"):
            in_batches(partial(delete_some, rows), size=ROWS_AT_ONCE, until=until)
    with setbacks.step("expire", "deleting files whose own time is up"):
        gone = partial(discard_unused, Asset.objects.filter(expires_at__lt=now))
        number += in_batches(gone, size=EXPIRE_AT_ONCE, until=until)
    number += _expire_old(until) if settings.RETENTION_DAYS else 0
    return number + sum(_expire_by_plan(plan, until) for plan in Plan.objects.filter(retention_days__isnull=False))


def _discard_leftovers() -> None:
    lately = timezone.now() - timedelta(seconds=2 * settings.HOUSEKEEPING_SECONDS)
    again = Generation.objects.filter(finished_at__gt=lately, attempt__gt=1).order_by("-finished_at")
    for pk in again.values_list("pk", flat=True)[:LEFTOVERS_AT_ONCE]:
        discard_leftovers(str(pk))


def _expire_old(until: float) -> int:
    """What is older than the site keeps anything: all workspaces at once, or one by one if that fails."""
    before, waiting = timezone.now() - timedelta(days=settings.RETENTION_DAYS), list(Setback.objects.waiting(RETENTION))
    jobs = Generation.objects.filter(finished_at__lt=before).exclude(workspace__in=waiting).order_by("finished_at")
    files = Asset.objects.filter(created_at__lt=before).exclude(workspace__in=waiting)
    try:
        number = _remove_old(jobs, files, until)
    except Exception:
        logger.exception("Old results are deleted workspace by workspace, because something of one cannot be deleted")
        number = _expire_each(Workspace.objects.all(), before, until)
    if number:
        logger.info("%d generations and uploads were kept for %d days and deleted", number, settings.RETENTION_DAYS)
    return number


def _expire_by_plan(plan: Plan, until: float) -> int:
    """What workspaces of a plan have that keeps results for a shorter time than the site."""
    if plan.kept_days == settings.RETENTION_DAYS:
        return 0
    number = _expire_each(Workspace.objects.filter(plan=plan), timezone.now() - timedelta(days=plan.kept_days), until)
    if number:
        logger.info("%d generations and uploads of plan “%s” were kept for %d days", number, plan, plan.kept_days)
    return number


def _expire_each(workspaces: QuerySet[Workspace], before: datetime, until: float) -> int:
    """Workspace by workspace: each knows its oldest rows by index, whatever else is old and kept for longer. What is
    made later than `before` was not finished before it, either. What one fails at holds up no other.
    """
    number, waiting = 0, list(Setback.objects.waiting(RETENTION))
    jobs = Generation.objects.filter(created_at__lt=before, finished_at__lt=before)
    files = Asset.objects.filter(created_at__lt=before)
    some = Exists(jobs.filter(workspace=OuterRef("pk"))) | Exists(files.unused().filter(workspace=OuterRef("pk")))
    due = workspaces.filter(some).exclude(pk__in=waiting).order_by("pk").values_list("pk", flat=True)
    for pk in list(due[:SPACES_AT_ONCE]):
        mine = jobs.filter(workspace=pk).order_by("created_at")
        with setbacks.apart(RETENTION, pk, f"what workspace {pk} has kept long enough"):
            number += _remove_old(mine, files.filter(workspace=pk), until)
        if time.monotonic() > until:
            break
    return number


def _remove_old(jobs: GenerationQuerySet, files: AssetQuerySet, until: float) -> int:
    number = in_batches(partial(remove_some, jobs), size=JOBS_AT_ONCE, until=until)
    return number + in_batches(partial(discard_unused, files), size=EXPIRE_AT_ONCE, until=until)


@shared_task(ignore_result=True)
def tidy_storage() -> int:
    """Delete what belongs to nothing: files of deleted users, and of workers that ended in the middle of a copy, and
    whole workflows whose jobs are gone.

    Only what nobody has touched for a day, so that a copy that goes on is left alone.
    """
    before = timezone.now() - ORPHAN_AGE
    orphans = 0
    for prefix in ("outputs/", "uploads/"):
        with setbacks.step("tidy_storage", f"looking through {prefix}"):
            orphans += _delete_orphans(prefix, before)
    raw = TemplateVersion.objects.unused_raw().filter(created_at__lt=before)
    with setbacks.step("tidy_storage", "deleting workflows whose jobs are gone"):
        in_batches(partial(delete_some, raw), size=ROWS_AT_ONCE, until=time.monotonic() + EXPIRE_SECONDS)
    with setbacks.step("tidy_storage", "deleting exports that belong to nobody"):
        clear_orphans()
    _recount_storage()
    if orphans:
        logger.info("%d files that belonged to nothing were deleted", orphans)
    return orphans


def _delete_orphans(prefix: str, before: datetime) -> int:
    number = 0
    old = (key for key, changed_at in storage.walk(prefix) if changed_at < before)
    while batch := list(islice(old, ORPHANS_AT_ONCE)):
        rows = Asset.objects.filter(key__in={key.removesuffix(storage.THUMBNAIL_SUFFIX) for key in batch})
        known = {key for row in rows.values_list("key", "thumbnail_key") for key in row}
        unknown = [key for key in batch if key not in known]
        storage.delete(unknown)
        number += len(unknown)
    storage.clear(prefix, before=before)
    return number


def _recount_storage() -> None:
    """What is kept as a number can differ from what is there: after a release that did not count yet, or by hand."""
    for workspace_id in StorageUsage.objects.values_list("workspace", flat=True):
        with setbacks.step("tidy_storage", f"counting the files of workspace {workspace_id}"):
            if difference := StorageUsage.objects.recount(workspace_id):
                logger.warning("The files of workspace %d take %+d bytes more than counted", workspace_id, difference)
