"""Which webhooks hear of what, and whose messages are sent when."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from accounts.models import User
from generations.models import Webhook, WebhookDelivery
from generations.models.webhook import RETRY_SECONDS, new_secret
from tests.support.factories import own


def make_hook(user: User, **fields: Any) -> Webhook:
    return Webhook.objects.create(user=user, url="https://example.com/hook", **fields)


def make_delivery(hook: Webhook, *, due_seconds: float | None = -1.0, **fields: Any) -> WebhookDelivery:
    """`due_seconds` from now; None: over."""
    at = None if due_seconds is None else timezone.now() + timedelta(seconds=due_seconds)
    return WebhookDelivery.objects.create(
        webhook=hook, event="job.failed", payload={"text": "größe"}, next_attempt_at=at, **fields
    )


def test_a_secret_has_the_form_of_standard_webhooks_and_is_never_the_same() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert first.startswith("whsec_") and len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) == 32


def test_pauses_grow_until_a_message_is_given_up() -> None:
    delivery, now = WebhookDelivery(), timezone.now()
    pauses = [delivery.delay_after(attempts) for attempts in range(1, len(RETRY_SECONDS) + 1)]
    assert pauses == sorted(RETRY_SECONDS)
    delivery.attempts = 1
    assert delivery.retry_at(now) == now + timedelta(seconds=RETRY_SECONDS[0])
    delivery.attempts = len(RETRY_SECONDS) + 1
    assert delivery.delay_after(delivery.attempts) is None
    assert delivery.retry_at(now) is None


def test_a_message_is_waiting_delivered_or_failed_and_keeps_its_id() -> None:
    now = timezone.now()
    delivery = WebhookDelivery(next_attempt_at=now, payload={"text": "größe", "a": [1]})
    assert delivery.state == "waiting"
    delivery.next_attempt_at = None
    assert delivery.state == "failed"
    delivery.delivered_at = now
    assert delivery.state == "delivered"
    assert delivery.message_id == f"msg_{delivery.pk.hex}"
    assert "größe" in delivery.pretty_payload and json.loads(delivery.pretty_payload) == delivery.payload


@pytest.mark.django_db
def test_a_job_concerns_the_webhooks_for_every_job_and_the_one_that_it_names(owner: User, stranger: User) -> None:
    every, named, other = make_hook(owner), make_hook(owner, is_for_every_job=False), make_hook(stranger)
    make_hook(owner, is_enabled=False)
    assert set(Webhook.objects.concerned(own(owner).pk, named=None)) == {every}
    assert set(Webhook.objects.concerned(own(owner).pk, named=named.pk)) == {every, named}
    assert set(Webhook.objects.concerned(own(owner).pk, named=other.pk)) == {every}  # nobody names another's
    assert set(Webhook.objects.for_member(owner)) >= {every, named} and other not in Webhook.objects.for_member(owner)
    assert not Webhook.objects.for_member(AnonymousUser()).exists()


@pytest.mark.django_db
def test_what_is_switched_off_says_why_and_what_was_off_keeps_its_own_reason(owner: User, stranger: User) -> None:
    make_hook(owner)
    broken = make_hook(owner, is_enabled=False, disabled_reason="It failed for days.")
    theirs = make_hook(stranger)
    assert Webhook.objects.switch_off(owner.pk, reason="There is a new password.") == 1
    assert set(Webhook.objects.filter(user=owner).values_list("is_enabled", "disabled_reason")) == {
        (False, "There is a new password."), (False, broken.disabled_reason)
    }  # fmt: skip
    theirs.refresh_from_db()
    assert theirs.is_enabled


@pytest.mark.django_db
def test_each_webhook_has_its_turn_before_any_has_a_second(owner: User, stranger: User) -> None:
    busy, quiet, off = make_hook(owner), make_hook(stranger), make_hook(owner, is_enabled=False)
    many = [make_delivery(busy, due_seconds=-100.0 + number) for number in range(4)]
    late = make_delivery(quiet, due_seconds=-1.0)
    for hook, due in ((busy, 1000.0), (busy, None), (off, -500.0)):
        make_delivery(hook, due_seconds=due)
    turns = [row[0] for row in WebhookDelivery.objects.in_turn(each=3)]
    assert turns == [many[0].pk, late.pk, many[1].pk, many[2].pk]
    assert [row[1:4] for row in WebhookDelivery.objects.in_turn(each=1)] == [
        (busy.pk, owner.pk, busy.url), (quiet.pk, stranger.pk, quiet.url)
    ]  # fmt: skip


@pytest.mark.django_db
def test_a_message_is_claimed_by_one_sender_for_a_while(owner: User) -> None:
    delivery = make_delivery(make_hook(owner))
    assert WebhookDelivery.objects.claim(delivery.pk, seconds=60) == 1
    assert WebhookDelivery.objects.claim(delivery.pk, seconds=60) == 0
    assert WebhookDelivery.objects.claim(uuid.uuid4(), seconds=60) == 0
    delivery.refresh_from_db()
    assert delivery.attempts == 1
    assert not WebhookDelivery.objects.due().exists()
