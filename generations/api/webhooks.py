"""The caller's webhooks, and the log of what was sent."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router
from ninja import Status as Answer

from accounts.access import user_of
from accounts.current import membership_of, workspace_of
from accounts.models import Scope
from generations.api.operations import operation
from generations.api.schemas.webhooks import (
    DeliveryList,
    DeliveryOut,
    WebhookChange,
    WebhookList,
    WebhookOut,
    WebhookRequest,
)
from generations.models import Webhook, WebhookDelivery
from generations.webhooks import outbox

router = Router()


@operation(
    router,
    "GET",
    "/webhooks",
    scope=Scope.MANAGE,
    name="listWebhooks",
    summary="List your webhooks",
    returns={200: WebhookList},
)
def list_webhooks(request: HttpRequest) -> WebhookList:
    """Your webhooks, oldest first."""
    return WebhookList(webhooks=[_describe(hook) for hook in Webhook.objects.looked_after_by(membership_of(request))])


@operation(
    router,
    "POST",
    "/webhooks",
    scope=Scope.MANAGE,
    name="postWebhook",
    summary="Make a webhook",
    returns={201: WebhookOut},
    errors=(409, 422),
)
def post_webhook(request: HttpRequest, payload: WebhookRequest) -> Answer[WebhookOut]:
    """The webhook gets signed POST requests (Standard Webhooks). 422 `invalid_address`: the address is not public."""
    hook = Webhook(user=user_of(request), workspace=workspace_of(request), **payload.model_dump())
    outbox.save(hook)
    return Answer(201, _describe(hook))


@operation(
    router,
    "GET",
    "/webhooks/{id}",
    scope=Scope.MANAGE,
    name="getWebhook",
    summary="Read a webhook",
    returns={200: WebhookOut},
    errors=(404,),
)
def get_webhook(request: HttpRequest, id: uuid.UUID) -> WebhookOut:
    """Describes the webhook, with the secret that verifies its messages."""
    return _describe(_mine(request, id))


@operation(
    router,
    "PATCH",
    "/webhooks/{id}",
    scope=Scope.MANAGE,
    name="changeWebhook",
    summary="Change a webhook",
    returns={200: WebhookOut},
    errors=(404, 422),
)
def change_webhook(request: HttpRequest, id: uuid.UUID, payload: WebhookChange) -> WebhookOut:
    """`is_enabled: true` switches a disabled webhook on again and forgets its earlier failures."""
    hook = _mine(request, id)
    for name, value in payload.model_dump(exclude_unset=True, exclude_none=True).items():
        setattr(hook, name, value)
    outbox.save(hook)
    return _describe(hook)


@operation(
    router,
    "DELETE",
    "/webhooks/{id}",
    scope=Scope.MANAGE,
    name="deleteWebhook",
    summary="Delete a webhook",
    returns={204: None},
    errors=(404,),
)
def delete_webhook(request: HttpRequest, id: uuid.UUID) -> Answer[None]:
    """Deletes the webhook and its log. Waiting messages are not sent."""
    _mine(request, id).delete()
    return Answer(204, None)


@operation(
    router,
    "POST",
    "/webhooks/{id}/test",
    scope=Scope.MANAGE,
    name="testWebhook",
    summary="Send a test message",
    returns={202: DeliveryOut},
    errors=(404, 409),
)
def test_webhook(request: HttpRequest, id: uuid.UUID) -> Answer[DeliveryOut]:
    """Sends a `webhook.test` message; its result appears in the log. 409 while the webhook is disabled."""
    delivery = outbox.test(_enabled(_mine(request, id)))
    return Answer(202, _describe_delivery(delivery))


@operation(
    router,
    "GET",
    "/webhooks/{id}/deliveries",
    scope=Scope.MANAGE,
    name="listDeliveries",
    summary="Read the log of a webhook",
    returns={200: DeliveryList},
    errors=(404, 422),
)
def list_deliveries(
    request: HttpRequest,
    id: uuid.UUID,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[uuid.UUID | None, Query()] = None,
) -> DeliveryList:
    """The messages of the last 30 days, newest first."""
    rows = _mine(request, id).deliveries.all()
    if cursor is not None:
        last = get_object_or_404(rows, pk=cursor)
        rows = rows.older_than(last.created_at, last.pk)
    page, has_more = rows.newest_first().page(limit)
    return DeliveryList(
        deliveries=[_describe_delivery(each) for each in page],
        next_cursor=str(page[-1].pk) if has_more else None,
    )


@operation(
    router,
    "POST",
    "/webhooks/{id}/deliveries/{delivery_id}/redeliver",
    scope=Scope.MANAGE,
    name="redeliver",
    summary="Send a message again",
    returns={202: DeliveryOut},
    errors=(404, 409),
)
def redeliver(request: HttpRequest, id: uuid.UUID, delivery_id: uuid.UUID) -> Answer[DeliveryOut]:
    """Sends the message again under the same id, with new attempts. 409 while the webhook is disabled."""
    found = get_object_or_404(_enabled(_mine(request, id)).deliveries, pk=delivery_id)
    outbox.redeliver(found)
    found.refresh_from_db()
    return Answer(202, _describe_delivery(found))


class DisabledError(Exception):
    """The webhook is switched off, so nothing can be sent."""


def _mine(request: HttpRequest, pk: uuid.UUID) -> Webhook:
    return get_object_or_404(Webhook.objects.looked_after_by(membership_of(request)), pk=pk)


def _enabled(hook: Webhook) -> Webhook:
    if not hook.is_enabled:
        raise DisabledError
    return hook


def _describe(hook: Webhook) -> WebhookOut:
    return WebhookOut(
        id=hook.pk,
        url=hook.url,
        secret=hook.secret,
        events=hook.events,
        is_for_every_job=hook.is_for_every_job,
        is_enabled=hook.is_enabled,
        disabled_reason=hook.disabled_reason,
        failing_since=hook.failing_since,
        created_at=hook.created_at,
    )


def _describe_delivery(delivery: WebhookDelivery) -> DeliveryOut:
    state: Any = delivery.state
    return DeliveryOut(
        id=delivery.pk,
        message_id=delivery.message_id,
        event=delivery.event,
        job_id=delivery.job_id,
        state=state,
        attempts=delivery.attempts,
        created_at=delivery.created_at,
        next_attempt_at=delivery.next_attempt_at,
        delivered_at=delivery.delivered_at,
        status_code=delivery.status_code,
        error=delivery.error,
        payload=delivery.payload,
    )
