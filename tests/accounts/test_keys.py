"""Keys that make keys, and how many there may be."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey, User
from tests.api.envelope import error_of
from tests.support.factories import make_key


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
