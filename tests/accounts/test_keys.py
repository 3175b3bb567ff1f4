"""Keys that make keys, and how many there may be."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import MAX_KEYS, ApiKey, KeyRefusedError, TooManyKeysError, User
from generations.models import Webhook
from generations.webhooks import outbox
from tests.api.envelope import error_of
from tests.support.factories import make_key, make_user
from tests.support.threads import AT_ONCE, at_once


def ask(secret: str, **body: Any) -> Any:
    """POST /keys with that key."""
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    return client.post("/api/v2/keys", json.dumps({"name": "n", **body}), content_type="application/json")


@pytest.mark.parametrize("wanted", [0, 1, 5, 1000])
def test_a_limited_key_makes_no_keys_at_all(owner: User, wanted: int) -> None:
    limited = make_key(owner, scopes=["read", "manage"], requests_per_minute=5)
    refused = error_of(ask(limited, scopes=["read"], requests_per_minute=wanted), 403, "forbidden")
    assert "own request limit cannot make keys" in refused["message"]
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("wanted", [0, 5])
def test_an_unlimited_key_makes_limited_and_unlimited_ones(owner: User, wanted: int) -> None:
    made = ask(make_key(owner, scopes=["read", "manage"]), scopes=["read"], requests_per_minute=wanted)
    assert (made.status_code, made.json()["requests_per_minute"]) == (201, wanted)


@pytest.mark.parametrize("scope", ["run", "raw"])
def test_a_key_gives_no_scope_that_it_lacks(owner: User, scope: str) -> None:
    error_of(ask(make_key(owner, scopes=["read", "manage"]), scopes=["read", scope]), 403, "forbidden")


@pytest.mark.parametrize(("own", "wanted", "expected"), [(2, 30, 2), (2, None, 2), (30, 2, 2), (None, 2, 2)])
def test_a_key_never_outlives_the_one_that_made_it(
    owner: User, own: int | None, wanted: int | None, expected: int
) -> None:
    expires_at = timezone.now() + timedelta(days=own) if own else None
    manager = make_key(owner, scopes=["read", "manage"], expires_at=expires_at)
    body = {"expires_in_days": wanted} if wanted else {}
    made = ask(manager, scopes=["read"], **body)
    found = ApiKey.objects.get(prefix=made.json()["id"]).expires_at
    assert found is not None
    assert abs(found - timezone.now() - timedelta(days=expected)) < timedelta(minutes=5)


def test_the_rule_holds_for_whoever_issues(owner: User) -> None:
    weak, _ = ApiKey.objects.issue(user=owner, name="weak", scopes=["read"])
    with pytest.raises(KeyRefusedError):
        ApiKey.objects.issue(user=owner, name="strong", by=weak)


@pytest.mark.django_db(transaction=True)
def test_keys_that_are_made_at_once_stay_within_the_limit() -> None:
    user = make_user()
    for _ in range(MAX_KEYS - 1):
        make_key(user)
    outcomes = at_once(lambda: make_key(user))
    assert [type(each) for each in outcomes].count(TooManyKeysError) == AT_ONCE - 1, outcomes
    assert ApiKey.objects.filter(user=user).count() == MAX_KEYS


@pytest.mark.django_db(transaction=True)
def test_webhooks_that_are_made_at_once_stay_within_the_limit() -> None:
    user = make_user()
    for _ in range(outbox.MAX_WEBHOOKS - 1):
        Webhook.objects.create(user=user, url="https://example.com/")
    outcomes = at_once(lambda: outbox.save(Webhook(user=user, url="https://example.com/")))
    assert [type(each) for each in outcomes].count(outbox.TooManyWebhooksError) == AT_ONCE - 1, outcomes
    assert Webhook.objects.filter(user=user).count() == outbox.MAX_WEBHOOKS
