"""The cache of a cluster: numbers are counted in Redis, and everything else is JSON."""

from __future__ import annotations

import contextvars
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.core.cache import cache, caches
from django.test import Client
from redis.exceptions import RedisError

from accounts.models import User
from comfysaas.cache import JsonSerializer
from tests.accounts.guessing import PASSWORD, sign_in


@pytest.fixture
def redis_cache(redis_url: str, settings: Any) -> Iterator[Any]:
    """The cache of a cluster, in place of the one in memory."""
    prefix = f"tests-{uuid.uuid4().hex}"
    settings.CACHES = {
        "default": {
            "BACKEND": "comfysaas.cache.SharedRedisCache",
            "LOCATION": redis_url,
            "KEY_PREFIX": prefix,
            "OPTIONS": {"serializer": "comfysaas.cache.JsonSerializer"},
        }
    }
    yield cache
    client = redis.Redis.from_url(redis_url)
    for key in client.scan_iter(f"{prefix}*"):
        client.delete(key)
    client.close()


@pytest.mark.redis
@pytest.mark.parametrize("value", [0, -1, 2**63 - 1, True, None, 1.5, "text", "12", "ünï", [1.0, 2.0], {"a": [None]}])
def test_values_come_back_as_they_were(redis_cache: Any, value: Any) -> None:
    redis_cache.set("value", value, 30)
    found = redis_cache.get("value")
    assert (type(found), found) == (type(value), value)


@pytest.mark.redis
def test_redis_counts_with_what_was_stored(redis_cache: Any) -> None:
    assert redis_cache.add("number", 1, 30)
    assert not redis_cache.add("number", 1, 30)
    assert (redis_cache.incr("number"), redis_cache.decr("number"), redis_cache.get("number")) == (2, 1, 1)


@pytest.mark.redis
def test_requests_share_connections(redis_cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    connect = redis.Connection._connect
    monkeypatch.setattr(redis.Connection, "_connect", lambda self: opened.append(self) or connect(self))
    for number in range(5):
        contextvars.Context().run(lambda number=number: caches["default"].set("value", number, 30))  # as a request has
    assert redis_cache.get("value") == 4
    assert len(opened) <= 1  # none, when another test has used this server before


@pytest.mark.django_db
def test_people_sign_in_while_redis_is_away(settings: Any, owner: User) -> None:
    before = settings.CACHES
    settings.CACHES = {
        "default": {
            "BACKEND": "comfysaas.cache.SharedRedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",  # nobody answers there
            "OPTIONS": {"serializer": "comfysaas.cache.JsonSerializer"},
        }
    }
    client = Client()
    assert client.post("/accounts/password/reset/", {"email": owner.email}).status_code == 302
    assert sign_in(client, owner.email, "wrong").status_code == 200
    assert sign_in(client, owner.email, PASSWORD)["Location"] == "/"
    assert client.get("/accounts/sessions/").status_code == 200
    with pytest.raises(RedisError):
        cache.get("ours.counter")
    settings.CACHES = before  # for what cleans up after each test


def test_what_json_cannot_express_is_refused() -> None:
    with pytest.raises(TypeError, match="no JSON"):
        JsonSerializer().dumps({1, 2})


@pytest.mark.redis
def test_pages_that_use_the_cache_work_with_it(redis_cache: Any, staff: User, client_for: Any) -> None:
    wrong = {"login": staff.email, "password": "wrong"}
    pages = [Client().post("/accounts/login/", wrong).content.decode() for _ in range(7)]
    assert "Too many failed login attempts" in pages[-1]
    admin = client_for(staff)
    for _ in range(2):  # the second answer comes from the cache
        assert "/admin/generations/comfyserver/" in admin.get("/admin/search/?s=server").content.decode()
    assert admin.get("/readyz").status_code == 200
    assert admin.get("/api/v2/jobs")["RateLimit-Remaining"] == "1199"
    assert admin.get("/api/v2/jobs")["RateLimit-Remaining"] == "1198"
