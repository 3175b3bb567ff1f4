"""Webhooks: what is told whom, signed how, and what happens when nobody listens."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from accounts import standing
from accounts.models import User
from generations import outbound, tasks
from generations.lifecycle import services
from generations.lifecycle.transitions import transition
from generations.models import Generation, Status, Webhook, WebhookDelivery
from generations.models.generation import Failure
from generations.models.webhook import DISABLED_AFTER, RETRY_SECONDS
from generations.webhooks import outbox, sending
from tests.support.factories import make_generation, make_output, make_user
from tests.support.receiver import Receiver, receiver
from tests.support.threads import AT_ONCE, at_once
from tests.support.waiting import patient


@pytest.fixture
def other(settings: Any) -> Iterator[Receiver]:
    settings.OUTBOUND_ALLOWED_NETWORKS = [ipaddress.ip_network("127.0.0.0/8")]
    with receiver() as found:
        yield found


@pytest.fixture
def hook(owner: User, other: Receiver) -> Webhook:
    return Webhook.objects.create(user=owner, url=f"{other.url}/hook")


def fail(generation: Generation) -> None:
    transition(lambda: Generation.objects.fail(generation.pk, Failure("broken", "It broke.")), pk=generation.pk)


def is_due() -> None:
    """Time passes."""
    WebhookDelivery.objects.exclude(next_attempt_at=None).update(next_attempt_at=timezone.now() - timedelta(seconds=1))


def test_an_end_is_told_signed_and_once(hook: Webhook, owner: User, other: Receiver) -> None:
    generation = make_generation(owner, status=Status.RUNNING, metadata={"order": "7"})
    make_output(generation)
    fail(generation)
    assert sending.deliver_webhooks() == 1
    ((path, headers, body),) = other.received
    assert (path, headers["content-type"]) == ("/hook", "application/json")
    message = Verifier(hook.secret).verify(body, headers)
    assert message["type"] == "job.failed"
    assert message["data"]["id"] == str(generation.pk)
    assert (message["data"]["status"], message["data"]["error"]["code"]) == ("failed", "broken")
    assert message["data"]["metadata"] == {"order": "7"}
    assert message["data"]["outputs"][0]["url"].startswith("http")
    with pytest.raises(WebhookVerificationError):
        Verifier(hook.secret).verify(body.replace(b"failed", b"succee"), headers)
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.status_code) == ("delivered", 1, 200)
    assert sending.deliver_webhooks() == 0


def test_messages_of_suspended_people_wait(hook: Webhook, owner: User, staff: User, other: Receiver) -> None:
    services.cancel(make_generation(owner))
    standing.suspend(owner, by=staff, reason="spam")
    assert sending.deliver_webhooks() == 0
    standing.reinstate(owner, by=staff)
    assert sending.deliver_webhooks() == 1
    assert len(other.received) == 1


def test_only_what_was_asked_for_is_told(hook: Webhook, owner: User, stranger: User) -> None:
    hook.events = ["job.canceled"]
    hook.save()
    fail(make_generation(owner, status=Status.RUNNING))
    fail(make_generation(stranger, status=Status.RUNNING))
    services.cancel(make_generation(stranger))
    assert not WebhookDelivery.objects.exists()
    services.cancel(make_generation(owner))
    assert WebhookDelivery.objects.get().event == "job.canceled"


def test_a_start_is_told_when_asked_for(hook: Webhook, owner: User) -> None:
    hook.events = ["job.started"]
    hook.save()
    generation = make_generation(owner, status=Status.SUBMITTED)
    transition(lambda: Generation.objects.start(generation.prompt_id), pk=generation.pk)
    assert WebhookDelivery.objects.get().payload["data"]["status"] == "running"


def test_a_webhook_for_some_jobs_hears_of_those_that_name_it(hook: Webhook, owner: User) -> None:
    hook.is_for_every_job = False
    hook.save()
    fail(make_generation(owner, status=Status.RUNNING))
    assert not WebhookDelivery.objects.exists()
    named = make_generation(owner, status=Status.RUNNING, webhook=hook)
    fail(named)
    assert WebhookDelivery.objects.get().job_id == named.pk


def test_nothing_is_told_of_what_is_rolled_back(hook: Webhook, owner: User) -> None:
    from django.db import transaction

    generation = make_generation(owner, status=Status.RUNNING)
    with pytest.raises(RuntimeError), transaction.atomic():
        fail(generation)
        raise RuntimeError
    assert not WebhookDelivery.objects.exists()


def test_it_is_tried_again_with_the_same_id_until_it_arrives(hook: Webhook, other: Receiver) -> None:
    other.statuses = [500, 302, 200]
    outbox.test(hook)
    begin = timezone.now()
    sending.deliver_webhooks()
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.error) == ("waiting", "The answer was 500.")
    assert delivery.next_attempt_at is not None
    assert begin <= delivery.next_attempt_at - timedelta(seconds=RETRY_SECONDS[0]) <= timezone.now()
    hook.refresh_from_db()
    assert hook.failing_since is not None
    assert sending.deliver_webhooks() == 0
    for _ in range(2):
        is_due()
        sending.deliver_webhooks()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("delivered", 3)
    assert len({headers["webhook-id"] for _path, headers, _body in other.received}) == 1
    hook.refresh_from_db()
    assert hook.failing_since is None


def test_after_a_day_a_message_is_given_up_and_can_be_sent_again(hook: Webhook, other: Receiver) -> None:
    other.statuses = [503]
    outbox.test(hook)
    for _ in range(len(RETRY_SECONDS) + 1):
        is_due()
        sending.deliver_webhooks()
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts) == ("failed", len(RETRY_SECONDS) + 1)
    assert timedelta(hours=23) < timedelta(seconds=sum(RETRY_SECONDS)) < timedelta(hours=26)
    other.statuses = [200]
    outbox.redeliver(delivery)
    sending.deliver_webhooks()
    delivery.refresh_from_db()
    assert delivery.state == "delivered"


def test_what_fails_for_days_is_switched_off_and_a_fresh_start_is_possible(hook: Webhook, other: Receiver) -> None:
    other.statuses = [500]
    Webhook.objects.update(failing_since=timezone.now() - DISABLED_AFTER - timedelta(minutes=1))
    outbox.test(hook)
    sending.deliver_webhooks()
    hook.refresh_from_db()
    assert not hook.is_enabled
    assert "Nothing arrived for 3 days" in hook.disabled_reason
    assert WebhookDelivery.objects.get().state == "failed"
    hook.is_enabled = True
    outbox.save(hook)
    hook.refresh_from_db()
    assert (hook.is_enabled, hook.disabled_reason, hook.failing_since) == (True, "", None)


def test_gone_means_gone(hook: Webhook, owner: User, other: Receiver) -> None:
    other.statuses = [410]
    outbox.test(hook)
    sending.deliver_webhooks()
    hook.refresh_from_db()
    assert not hook.is_enabled
    fail(make_generation(owner, status=Status.RUNNING))
    assert WebhookDelivery.objects.count() == 1


def test_a_private_address_gets_nothing(owner: User) -> None:
    hook = Webhook.objects.create(user=owner, url="https://localhost/hook")
    outbox.test(hook)
    sending.deliver_webhooks()
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.status_code) == ("waiting", None)
    assert delivery.error == outbound.UNREACHABLE


def test_a_slow_server_holds_up_nobody(hook: Webhook, owner: User, other: Receiver, monkeypatch: Any) -> None:
    monkeypatch.setattr(sending, "ATTEMPT_SECONDS", patient(0.3))
    with receiver() as fast:
        quick = Webhook.objects.create(user=owner, url=fast.url)
        other.gate.clear()
        for each in (hook, quick):
            outbox.test(each)
        sending.deliver_webhooks()
        assert len(fast.received) == 1
    assert WebhookDelivery.objects.get(webhook=hook).state == "waiting"
    other.gate.set()


def test_only_so_many_workers_send(hook: Webhook, other: Receiver) -> None:
    from django.core.cache import cache

    outbox.test(hook)
    for slot in sending.slots():
        cache.set(slot, True, 60)
    assert sending.deliver_webhooks() == 0
    cache.delete(sending.slots()[0])
    assert sending.deliver_webhooks() == 1


def test_what_a_worker_that_died_had_claimed_is_sent_by_another(hook: Webhook, other: Receiver) -> None:
    delivery = outbox.test(hook)
    assert WebhookDelivery.objects.claim(delivery.pk, seconds=60) == 1
    assert WebhookDelivery.objects.claim(delivery.pk, seconds=60) == 0
    assert sending.deliver_webhooks() == 0
    is_due()
    tasks.sweep()
    assert sending.deliver_webhooks() == 1


def test_the_log_is_kept_for_a_month(hook: Webhook, other: Receiver) -> None:
    outbox.test(hook)
    sending.deliver_webhooks()
    tasks.expire()
    assert WebhookDelivery.objects.count() == 1
    WebhookDelivery.objects.update(created_at=timezone.now() - timedelta(days=31))
    tasks.expire()
    assert not WebhookDelivery.objects.exists()


def test_the_secret_is_encrypted_at_rest(hook: Webhook) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM generations_webhook")
        (stored,) = cursor.fetchone()
    assert hook.secret.startswith("whsec_")
    assert hook.secret not in stored


def test_payloads_are_json_all_the_way(hook: Webhook, owner: User) -> None:
    fail(make_generation(owner, status=Status.RUNNING))
    assert json.loads(WebhookDelivery.objects.get().pretty_payload)["type"] == "job.failed"


@pytest.mark.django_db(transaction=True)
def test_webhooks_that_are_made_at_once_stay_within_the_limit() -> None:
    user = make_user()
    for _ in range(outbox.MAX_WEBHOOKS - 1):
        Webhook.objects.create(user=user, url="https://example.com/")
    outcomes = at_once(lambda: outbox.save(Webhook(user=user, url="https://example.com/")))
    assert [type(each) for each in outcomes].count(outbox.TooManyWebhooksError) == AT_ONCE - 1, outcomes
    assert Webhook.objects.filter(user=user).count() == outbox.MAX_WEBHOOKS
