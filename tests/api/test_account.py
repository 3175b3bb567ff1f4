"""GET /me, GET /usage, keys, rate limits, CORS, and the pages about keys and webhooks."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts import rates
from accounts.models import MAX_KEYS, ApiKey, Plan, User
from generations.models import DataExport, Status, StorageUsage, Webhook, WebhookDelivery
from tests.accounts.guessing import PASSWORD
from tests.api.envelope import error_of
from tests.support.factories import (
    make_asset,
    make_generation,
    make_key,
    make_output,
    make_team,
    make_user,
    own,
)


def program(secret: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {secret}"})


def test_me_says_who_and_how_much(owner: User) -> None:
    owner.plan = Plan.objects.create(name="Studio", max_queued=7)
    owner.save()
    body = program(make_key(owner, scopes=["read"])).get("/api/v2/me").json()
    assert (body["email"], body["is_staff"], body["may_submit_workflows"]) == ("owner@example.com", False, False)
    assert (body["limits"]["plan"], body["limits"]["max_queued"]) == ("Studio", 7)
    assert body["key"]["scopes"] == ["read"]
    assert "secret" not in body["key"]


def test_usage_counts_what_was_made_and_stores_once_what_is_shared(api: Client, owner: User, stranger: User) -> None:
    now = timezone.now()
    done = make_generation(
        owner, status=Status.SUCCEEDED, started_at=now - timedelta(seconds=10), executed_at=now - timedelta(seconds=4)
    )
    make_output(done)
    make_generation(owner, status=Status.FAILED, created_at=now - timedelta(days=40))
    make_generation(owner)
    make_generation(stranger)
    asset = make_asset(owner)
    twin = make_asset(owner)
    twin.key = asset.key
    twin.save()
    StorageUsage.objects.recount(own(owner).pk)
    body = api.get("/api/v2/usage").json()
    assert body["jobs"] == {"queued": 1, "running": 0, "succeeded": 1, "failed": 0, "canceled": 0}
    assert body["execution_seconds"] == pytest.approx(6)
    assert [day["jobs"] for day in body["days"]] == [2]
    assert body["files"] == 3
    assert body["storage_bytes"] == asset.size_bytes * 2
    assert api.get("/api/v2/usage?days=60").json()["jobs"]["failed"] == 1
    error_of(api.get("/api/v2/usage?days=91"), 422, "invalid_request")


# ---------------------------------------------------------------------------------------------- keys
def test_a_key_makes_keys_that_may_do_no_more_than_itself(owner: User) -> None:
    manager = program(make_key(owner, scopes=["read", "manage"]))
    made = manager.post("/api/v2/keys", json.dumps({"name": "n", "scopes": ["read"]}), content_type="application/json")
    assert made.status_code == 201
    secret = made.json()["secret"]
    assert program(secret).get("/api/v2/jobs").status_code == 200
    more = manager.post("/api/v2/keys", json.dumps({"name": "n", "scopes": ["run"]}), content_type="application/json")
    error_of(more, 403, "forbidden")
    listed = manager.get("/api/v2/keys").json()["keys"]
    assert len(listed) == 2
    assert secret not in json.dumps(listed)
    assert manager.delete(f"/api/v2/keys/{made.json()['id']}").status_code == 204
    error_of(program(secret).get("/api/v2/jobs"), 401, "unauthorized")


def test_a_key_that_expires_makes_none_that_lives_longer(owner: User) -> None:
    expires_at = timezone.now() + timedelta(days=2)
    manager = program(make_key(owner, scopes=["read", "manage"], expires_at=expires_at))
    body = json.dumps({"name": "n", "scopes": ["read"], "expires_in_days": 30})
    made = manager.post("/api/v2/keys", body, content_type="application/json").json()
    assert ApiKey.objects.get(prefix=made["id"]).expires_at == expires_at


def test_keys_are_limited_in_number(api: Client, owner: User) -> None:
    for _ in range(MAX_KEYS - 1):
        make_key(owner)
    body = json.dumps({"name": "one more"})
    error_of(api.post("/api/v2/keys", body, content_type="application/json"), 409, "too_many_keys")


def test_only_a_hash_of_the_secret_is_kept(owner: User) -> None:
    secret = make_key(owner)
    row = ApiKey.objects.filter(user=owner).values().get()
    assert secret.split("_", 2)[2] not in str(row)  # which may have a “_” itself


# ---------------------------------------------------------------------------------------------- rate limits
def test_requests_are_counted_over_all_keys_of_a_workspace(owner: User, stranger: User) -> None:
    owner.plan = stranger.plan = Plan.objects.create(name="slow", requests_per_minute=3)
    owner.save()
    stranger.save()
    one, two = program(make_key(owner)), program(make_key(owner))
    remaining = [client.get("/api/v2/jobs")["RateLimit-Remaining"] for client in (one, two, one)]
    assert remaining == ["2", "1", "0"]
    refused = two.get("/api/v2/jobs")
    error_of(refused, 429, "rate_limited")
    assert 1 <= int(refused["Retry-After"]) <= 120
    assert (refused["RateLimit-Limit"], refused["RateLimit-Policy"]) == ("3", "3;w=60")
    assert program(make_key(stranger)).get("/api/v2/jobs").status_code == 200


def test_a_key_may_have_a_limit_of_its_own(owner: User) -> None:
    tight, free = program(make_key(owner, requests_per_minute=1)), program(make_key(owner))
    assert tight.get("/api/v2/jobs")["RateLimit-Limit"] == "1"
    error_of(tight.get("/api/v2/jobs"), 429, "rate_limited")
    assert free.get("/api/v2/jobs").status_code == 200


def test_sessions_are_counted_too(owner: User, client_for: Any) -> None:
    owner.plan = Plan.objects.create(name="slow", requests_per_minute=1)
    owner.save()
    browser = client_for(owner)
    assert browser.get("/api/v2/jobs").status_code == 200
    error_of(browser.get("/api/v2/jobs"), 429, "rate_limited")


def test_there_is_room_again_when_time_has_passed(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_020.0]  # a third into a window
    monkeypatch.setattr(rates.time, "time", lambda: now[0])
    workspace = own(owner)
    workspace.plan = Plan(requests_per_minute=60)
    for _ in range(60):
        rates.count(workspace, None)
    with pytest.raises(rates.RateLimitedError) as caught:
        rates.count(workspace, None)
    now[0] += caught.value.allowance.reset_seconds
    assert rates.count(workspace, None) is not None
    now[0] += 120
    fresh = rates.count(workspace, None)
    assert fresh is not None
    assert fresh.remaining == 59


def test_a_cache_that_is_away_does_not_take_the_api_down(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(cache, "get", away)
    assert api.get("/api/v2/jobs").status_code == 200


# ---------------------------------------------------------------------------------------------- CORS
def test_other_sites_are_not_let_in_unless_they_are_listed(api: Client, settings: Any) -> None:
    origin = {"Origin": "https://app.example.com"}
    assert "Access-Control-Allow-Origin" not in api.get("/api/v2/jobs", headers=origin)
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    allowed = api.get("/api/v2/jobs", headers=origin)
    assert allowed["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "Access-Control-Allow-Credentials" not in allowed
    ask = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = Client().options("/api/v2/jobs", headers=ask)
    assert preflight.status_code == 200
    assert "authorization" in preflight["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in Client().get("/accounts/login/", headers=origin)
    assert "Access-Control-Allow-Origin" not in api.get("/api/v2/jobs", headers={"Origin": "https://evil.example.com"})


# ---------------------------------------------------------------------------------------------- document


# ---------------------------------------------------------------------------------------------- pages
def test_the_page_makes_a_key_and_shows_it_once(owner: User, client_for: Any) -> None:
    browser = client_for(owner)
    page = browser.post("/account/keys/", {"name": "Phone", "scopes": ["read"], "lifetime": "30"})
    secret = re.search(r"csk_[0-9a-f]{12}_[\w-]{20,}", page.content.decode())
    assert page.status_code == 201
    assert secret is not None
    assert program(secret[0]).get("/api/v2/me").json()["key"]["scopes"] == ["read"]
    again = browser.get("/account/keys/").content.decode()
    assert "Phone" in again
    assert secret[0] not in again
    key = ApiKey.objects.get()
    assert key.expires_at is not None
    assert browser.post(f"/account/keys/{key.prefix}/revoke/").status_code == 302
    error_of(program(secret[0]).get("/api/v2/me"), 401, "unauthorized")


@pytest.mark.parametrize(
    "data", [{}, {"name": "x"}, {"name": "x", "scopes": ["all"]}, {"name": "", "scopes": ["read"]}]
)
def test_a_form_that_is_wrong_makes_no_key(owner: User, client_for: Any, data: dict[str, Any]) -> None:
    assert client_for(owner).post("/account/keys/", data).status_code == 422
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("path", ["/account/keys/", "/account/webhooks/"])
def test_pages_are_for_people_who_are_signed_in(db: None, path: str) -> None:
    assert Client().get(path).status_code == 302


def test_things_of_others_are_not_found(owner: User, stranger: User, client_for: Any) -> None:
    key, _ = ApiKey.objects.issue(user=stranger, name="theirs")
    hook = Webhook.objects.create(user=stranger, url="https://example.com/")
    delivery = WebhookDelivery.objects.create(webhook=hook, event="webhook.test", payload={})
    browser = client_for(owner)
    assert browser.get(f"/account/webhooks/{hook.pk}/").status_code == 404
    assert browser.get(f"/account/webhooks/{hook.pk}/log/").status_code == 404
    paths = [f"webhooks/{hook.pk}/{rest}/" for rest in ("switch", "delete", "test", f"{delivery.pk}/again")]
    for path in (f"keys/{key.prefix}/revoke/", *paths):
        assert browser.post(f"/account/{path}").status_code == 404, path
    key.refresh_from_db()
    assert key.revoked_at is None


def test_name_and_time_zone_are_changed_by_whoever_may_manage(owner: User) -> None:
    api = program(make_key(owner))
    changed = api.patch("/api/v2/me", {"name": " Ada ", "time_zone": "Europe/Berlin"}, content_type="application/json")
    assert (changed.json()["name"], changed.json()["time_zone"]) == ("Ada", "Europe/Berlin")
    assert api.patch("/api/v2/me", {"time_zone": ""}, content_type="application/json").json()["name"] == "Ada"
    for bad in ({"time_zone": "Nowhere"}, {"name": "a\u202eb"}, {"name": "x" * 101}, {"email": "new@example.com"}):
        assert api.patch("/api/v2/me", bad, content_type="application/json").status_code == 422
    reader = program(make_key(owner, scopes=["read", "run"]))
    assert reader.patch("/api/v2/me", {"name": "B"}, content_type="application/json").status_code == 403
    assert reader.get("/api/v2/me").json()["name"] == "Ada"


def test_a_session_confirms_who_it_is_before_it_becomes_more(owner: User) -> None:
    team, client = make_team(owner, member=make_user("other@example.com")), Client()
    client.force_login(owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    other = team.memberships.get(user__email="other@example.com")
    key = json.dumps({"name": "mine", "scopes": ["read"]})
    for path, body in (
        ("/keys", key),
        ("/me/export", ""),
        (f"/workspaces/{team.public_id}/members/{other.pk}/transfer", ""),
        (f"/workspaces/{team.public_id}/dissolve", ""),
    ):
        refused = client.post(f"/api/v2{path}", body, content_type="application/json")
        assert "/accounts/reauthenticate/" in error_of(refused, 403, "confirmation_required")["message"]
    assert not ApiKey.objects.exists()
    assert not DataExport.objects.exists()
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert client.post("/api/v2/keys", key, content_type="application/json").status_code == 201


def test_an_export_is_asked_for_once_and_described(
    owner: User, stranger: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generations.lifecycle.exporting.ask", lambda *_: None)
    client = program(make_key(owner))
    asked = client.post("/api/v2/me/export")
    assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
    refused = client.post("/api/v2/me/export")
    error_of(refused, 409, "export_under_way")
    assert [each["id"] for each in client.get("/api/v2/me/export").json()["exports"]] == [asked.json()["id"]]
    assert program(make_key(stranger)).get("/api/v2/me/export").json() == {"exports": []}
    DataExport.objects.update(state="ready")
    refused = client.post("/api/v2/me/export")
    error_of(refused, 429, "rate_limited")
    assert int(refused["Retry-After"]) > 80_000
