"""Telling users' own servers what became of their jobs, signed after Standard Webhooks.

What is to be told is written in the transaction that makes it true, so nothing is lost with a process. A worker sends
what is due, many at a time; what fails is tried again for a day.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.utils import timezone
from standardwebhooks import Webhook as Signer

from comfysaas import outbound
from generations import jobs
from generations.models import Generation, Status, Webhook, WebhookDelivery
from generations.models.webhook import DISABLED_AFTER, WebhookEvent

logger = logging.getLogger(__name__)

MAX_WEBHOOKS = 20
AT_ONCE = 50
ATTEMPT_SECONDS = 10.0
CLAIM_SECONDS = 60.0
ANSWER_BYTES = 64 * 1024
SENDERS = 2  # so many workers at most are busy with other people's slow servers
GONE = 410
EVENTS = {
    Status.RUNNING: WebhookEvent.STARTED,
    Status.SUCCEEDED: WebhookEvent.SUCCEEDED,
    Status.FAILED: WebhookEvent.FAILED,
    Status.CANCELED: WebhookEvent.CANCELED,
}


class TooManyWebhooksError(Exception):
    """This user has MAX_WEBHOOKS."""


def announce(generation: Generation) -> bool:
    """Note what is to be told of its new status, in the transaction that changed it. True when there is something."""
    event = EVENTS.get(Status(generation.status))
    if event is None:
        return False
    hooks = Webhook.objects.concerned(generation.user_id, named=generation.webhook_id)
    wanted = [hook for hook in hooks if event in hook.events]
    if not wanted:
        return False
    job = jobs.describe(generation, settings.PUBLIC_URL, has_progress=False)
    _note(wanted, event, job.model_dump(mode="json"), job_id=generation.pk)
    return True


def test(webhook: Webhook) -> WebhookDelivery:
    """A message that says nothing, to see whether it arrives. The caller has the worker look."""
    return _note([webhook], WebhookEvent.TEST, {"message": "It works."})[0]


def redeliver(delivery: WebhookDelivery) -> None:
    """Once more from the beginning, with the same message. The caller has the worker look."""
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        next_attempt_at=timezone.now(), attempts=0, delivered_at=None, error="", status_code=None
    )


def save(webhook: Webhook) -> None:
    """Write a new or changed one; outbound.RefusedAddressError for an address that may not be called,
    TooManyWebhooksError. What is switched on again gets a fresh start.
    """
    outbound.check_url(webhook.url)
    if webhook.is_enabled:
        webhook.disabled_reason, webhook.failing_since = "", None
    with transaction.atomic():
        webhook.user.lock()
        if webhook._state.adding and Webhook.objects.filter(user=webhook.user).count() >= MAX_WEBHOOKS:
            raise TooManyWebhooksError
        webhook.save()


def _note(
    hooks: Iterable[Webhook], event: WebhookEvent, data: dict[str, Any], *, job_id: uuid.UUID | None = None
) -> list[WebhookDelivery]:
    now = timezone.now()
    payload = {"type": event.value, "timestamp": now.isoformat(), "data": data}
    rows = [
        WebhookDelivery(webhook=hook, event=event, job_id=job_id, payload=payload, next_attempt_at=now)
        for hook in hooks
    ]
    return WebhookDelivery.objects.bulk_create(rows)


def deliver_due() -> int:
    """Send what is due, for as long as there is some; how much that was. Nothing when enough workers are at it."""
    place = next((key for key in _places() if cache.add(key, True, CLAIM_SECONDS)), None)
    if place is None:
        return 0
    try:
        number = 0
        while claimed := _claim():
            cache.touch(place, CLAIM_SECONDS)
            for delivery, (status, problem) in zip(claimed, asyncio.run(_send_all(claimed)), strict=True):
                _record(delivery, status, problem)
            number += len(claimed)
        return number
    finally:
        cache.delete(place)


def _places() -> list[str]:
    return [f"webhooks.sender.{number}" for number in range(SENDERS)]


def _claim() -> list[WebhookDelivery]:
    due = WebhookDelivery.objects.due().values_list("pk", flat=True)[:AT_ONCE]
    mine = [pk for pk in due if WebhookDelivery.objects.claim(pk, seconds=CLAIM_SECONDS)]
    return list(WebhookDelivery.objects.filter(pk__in=mine).select_related("webhook"))


async def _send_all(deliveries: Sequence[WebhookDelivery]) -> list[tuple[int | None, str]]:
    return await asyncio.gather(*(_send(each) for each in deliveries))


async def _send(delivery: WebhookDelivery) -> tuple[int | None, str]:
    """(status of the answer, what is wrong with it)."""
    body = json.dumps(delivery.payload, separators=(",", ":"))
    now = timezone.now()
    headers = {
        "Content-Type": "application/json",
        "webhook-id": delivery.message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(delivery.webhook.secret).sign(delivery.message_id, now, body),
    }
    try:
        answer = await outbound.request(
            "POST", delivery.webhook.url, headers=headers, body=body.encode(),
            max_bytes=ANSWER_BYTES, seconds=ATTEMPT_SECONDS,
        )  # fmt: skip
    except (outbound.RefusedAddressError, outbound.RequestFailedError) as error:
        return None, str(error)
    except Exception:
        logger.exception("Webhook delivery %s could not be sent", delivery.pk)
        return None, "It could not be sent."
    return answer.status, "" if 200 <= answer.status < 300 else f"The answer was {answer.status}."


@transaction.atomic
def _record(delivery: WebhookDelivery, status: int | None, problem: str) -> None:
    now = timezone.now()
    hooks = Webhook.objects.filter(pk=delivery.webhook_id)
    rows = WebhookDelivery.objects.filter(pk=delivery.pk)
    if not problem:
        rows.update(delivered_at=now, next_attempt_at=None, status_code=status, error="")
        hooks.exclude(failing_since=None).update(failing_since=None)
        return
    rows.update(next_attempt_at=delivery.retry_at(now), status_code=status, error=problem[:300])
    hooks.filter(failing_since=None).update(failing_since=now)
    if status == GONE:
        _disable(delivery.webhook_id, "It answered that it is gone (410).")
    elif hooks.filter(failing_since__lt=now - DISABLED_AFTER).exists():
        _disable(delivery.webhook_id, f"Nothing arrived for {DISABLED_AFTER.days} days. The last attempt: {problem}")


def _disable(pk: uuid.UUID, reason: str) -> None:
    changed = Webhook.objects.filter(pk=pk, is_enabled=True).update(is_enabled=False, disabled_reason=reason[:300])
    if changed:
        logger.warning("Webhook %s is disabled: %s", pk, reason)
    WebhookDelivery.objects.filter(webhook=pk, next_attempt_at__isnull=False).update(next_attempt_at=None)
