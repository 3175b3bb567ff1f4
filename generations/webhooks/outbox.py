"""Messages to users' own servers, signed after Standard Webhooks.

A message is written in the transaction that makes it true, so nothing is lost with a process. Workers send what is
due (`sending`); what fails is tried again for a day.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Workspace
from generations import contract, outbound
from generations.broker import ask
from generations.models import Generation, Status, Webhook, WebhookDelivery
from generations.models.webhook import WebhookEvent
from generations.webhooks.sending import deliver_webhooks

MAX_WEBHOOKS = 20
EVENTS = {
    Status.RUNNING: WebhookEvent.STARTED,
    Status.SUCCEEDED: WebhookEvent.SUCCEEDED,
    Status.FAILED: WebhookEvent.FAILED,
    Status.CANCELED: WebhookEvent.CANCELED,
}


class TooManyWebhooksError(Exception):
    """This member has MAX_WEBHOOKS in the workspace."""


def notify(generation: Generation) -> None:
    """Send its new status to the webhooks that want it. Call it in the transaction that changed the status."""
    notify_all([generation])


def notify_all(generations: Iterable[Generation]) -> None:
    """`notify`, for many: the same webhooks are asked for once, and all messages written at once."""
    known: dict[tuple[int | None, uuid.UUID | None], list[Webhook]] = {}
    rows: list[WebhookDelivery] = []
    for each in generations:
        event, of = EVENTS.get(Status(each.status)), (each.workspace_id, each.webhook_id)
        if event is None:
            continue
        if of not in known:
            known[of] = list(Webhook.objects.concerned(each.workspace_id, named=each.webhook_id))
        if wanted := [hook for hook in known[of] if event in hook.events]:
            job = contract.job_of(each, settings.PUBLIC_ORIGIN, has_progress=False)
            rows += _messages(wanted, event, job.model_dump(mode="json"), job_id=each.pk)
    if rows:
        _write(rows)


def test(webhook: Webhook) -> WebhookDelivery:
    """Send a message that says nothing, to see whether it arrives."""
    return _write(_messages([webhook], WebhookEvent.TEST, {"message": "It works."}))[0]


def redeliver(delivery: WebhookDelivery) -> None:
    """Send the same message again, with all its attempts."""
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        next_attempt_at=timezone.now(), attempts=0, delivered_at=None, error="", status_code=None
    )
    _wake_worker()


def save(webhook: Webhook) -> None:
    """Write a new or changed one; outbound.RefusedAddressError for an address that may not be called,
    TooManyWebhooksError. What is switched on again gets a fresh start.
    """
    outbound.check_url(webhook.url)
    if webhook.is_enabled:
        webhook.disabled_reason, webhook.failing_since = "", None
    if webhook.workspace is None:
        webhook.workspace = Workspace.objects.personal_of(webhook.user)
    with transaction.atomic():
        webhook.user.lock()
        if webhook._state.adding and _of_same(webhook).count() >= MAX_WEBHOOKS:
            raise TooManyWebhooksError
        webhook.save()


def _of_same(webhook: Webhook) -> QuerySet[Webhook]:
    """Those of the same member in the same workspace."""
    return Webhook.objects.filter(user=webhook.user, workspace=webhook.workspace)


def _messages(
    hooks: Iterable[Webhook], event: WebhookEvent, data: dict[str, Any], *, job_id: uuid.UUID | None = None
) -> list[WebhookDelivery]:
    """One message to all these, due now; not written yet."""
    now = timezone.now()
    payload = {"type": event.value, "timestamp": now.isoformat(), "data": data}
    return [
        WebhookDelivery(webhook=hook, event=event, job_id=job_id, payload=payload, next_attempt_at=now)
        for hook in hooks
    ]


def _write(rows: list[WebhookDelivery]) -> list[WebhookDelivery]:
    """A worker sends them once the transaction is committed."""
    written: list[WebhookDelivery] = WebhookDelivery.objects.bulk_create(rows)
    _wake_worker()
    return written


def _wake_worker() -> None:
    transaction.on_commit(partial(ask, deliver_webhooks))
