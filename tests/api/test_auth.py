"""Who may call: keys, sessions, and what is said to everybody else."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import rates
from accounts.models import ApiKey, User
from tests.api.envelope import error_of
from tests.support.factories import make_key, make_template

JOB = uuid.UUID(int=77)
ADDRESSES = [
    ("GET", "/api/v2/templates"),
    ("GET", "/api/v2/templates/text-to-image"),
    ("POST", "/api/v2/templates/text-to-image/jobs"),
    ("GET", f"/api/v2/jobs/{JOB}"),
    ("POST", f"/api/v2/jobs/{JOB}/cancel"),
    ("GET", f"/api/v2/jobs/{JOB}/events"),
    ("POST", "/api/v2/assets"),
    ("GET", f"/api/v2/assets/{JOB}"),
    ("GET", f"/api/v2/assets/{JOB}/content"),
]


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
@pytest.mark.parametrize("authorization", ["", "Bearer csk_000000000000_wrong", "Bearer x", "Basic dTpw"])
def test_nobody_gets_in_without_a_valid_key(db: None, method: str, path: str, authorization: str) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    response = Client(headers=headers).generic(method, path, b"{}", content_type="application/json")
    error_of(response, 401, "unauthorized")
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_key_of_a_user_opens_the_api_and_notes_its_use(owner: Any) -> None:
    client = Client(headers={"Authorization": f"Bearer {make_key(owner)}"})
    assert client.get("/api/v2/templates").status_code == 200
    assert ApiKey.objects.get().last_used_at is not None


def test_revoked_key_is_refused(owner: Any) -> None:
    secret = make_key(owner)
    ApiKey.objects.update(revoked_at=timezone.now())
    error_of(_get_with(secret), 401, "unauthorized")


def test_expired_key_is_refused(owner: Any) -> None:
    secret = make_key(owner, expires_at=timezone.now() - timedelta(seconds=1))
    error_of(_get_with(secret), 401, "unauthorized")


def test_key_that_expires_later_still_works(owner: Any) -> None:
    assert _get_with(make_key(owner, expires_at=timezone.now() + timedelta(hours=1))).status_code == 200


def test_key_of_a_deactivated_user_is_refused(owner: Any) -> None:
    secret = make_key(owner)
    owner.is_active = False
    owner.save(update_fields=["is_active"])
    error_of(_get_with(secret), 401, "unauthorized")


def test_right_prefix_with_a_wrong_secret_is_refused(owner: Any) -> None:
    error_of(_get_with(make_key(owner)[:-1] + "!"), 401, "unauthorized")


def test_session_may_read(owner: Any, client_for: Any) -> None:
    assert client_for(owner).get("/api/v2/templates").status_code == 200


def test_wrong_key_is_not_made_good_by_a_session(owner: Any, client_for: Any) -> None:
    response = client_for(owner).get("/api/v2/templates", headers={"Authorization": "Bearer csk_bad_bad"})
    error_of(response, 401, "unauthorized")


@pytest.mark.usefixtures("known_server")
def test_session_needs_the_csrf_token_to_write(owner: Any) -> None:
    make_template()
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    path = "/api/v2/templates/text-to-image/jobs"
    error_of(client.post(path, {"inputs": {}}, content_type="application/json"), 403, "forbidden")

    client.get("/api/docs")
    token = client.cookies["csrftoken"].value
    response = client.post(path, {"inputs": {}}, content_type="application/json", headers={"X-CSRFToken": token})
    assert response.status_code == 201


@pytest.mark.usefixtures("known_server")
def test_key_needs_no_csrf_token(owner: Any) -> None:
    make_template()
    client = Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {make_key(owner)}"})
    response = client.post("/api/v2/templates/text-to-image/jobs", {"inputs": {}}, content_type="application/json")
    assert response.status_code == 201


def _get_with(secret: str) -> Any:
    return Client(headers={"Authorization": f"Bearer {secret}"}).get("/api/v2/templates")


def test_wrong_keys_from_one_address_cost_no_query_any_more(
    owner: User, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(rates, "WRONG_KEYS_PER_MINUTE", 3)
    wrong = {"Authorization": "Bearer csk_wrong_key"}
    right = {"Authorization": f"Bearer {make_key(owner)}"}
    assert Client().get("/api/v2/me", headers=right).status_code == 200
    for _ in range(3):
        error_of(Client().get("/api/v2/me", headers=wrong), 401, "unauthorized")
    with django_assert_num_queries(0):
        response = Client().get("/api/v2/me", headers=wrong)
    error_of(response, 429, "rate_limited")
    assert int(response["Retry-After"]) > 0
    error_of(Client().get("/api/v2/openapi.json", headers=wrong), 429, "rate_limited")
    # A key that works goes on working, whoever else is behind the same address.
    assert Client().get("/api/v2/me", headers=right).status_code == 200
    assert Client(REMOTE_ADDR="192.0.2.9").get("/api/v2/me", headers=wrong).status_code == 401


def test_right_keys_are_never_counted_as_wrong(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "WRONG_KEYS_PER_MINUTE", 2)
    for _ in range(5):
        assert Client(headers={"Authorization": f"Bearer {make_key(owner)}"}).get("/api/v2/me").status_code == 200
