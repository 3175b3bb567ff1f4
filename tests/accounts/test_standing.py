"""Suspending, reinstating and signing out: what ends at once, what stays, and what the person reads."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts import audit, standing
from accounts.access import Access
from accounts.models import ApiKey, AuditEntry, KeyRefusedError, User, access_changed
from tests.api.envelope import error_of
from tests.support.factories import make_key, make_user

PASSWORD = "correct horse battery"


@pytest.fixture
def helper(db: None) -> User:
    """Staff, but no superuser."""
    return make_user("helper@example.com", is_staff=True)


def suspend(person: User, by: User, **fields: Any) -> bool:
    return standing.suspend(person, by=by, reason="spam", **fields)


def sign_in(email: str) -> Any:
    client = Client()
    response = client.post("/accounts/login/", {"login": email, "password": PASSWORD})
    return client, response


def test_suspending_ends_sessions_and_reinstating_does_not_bring_them_back(
    owner: User, helper: User, client_for: Any
) -> None:
    client = client_for(owner)
    assert client.get("/").status_code == 200
    suspend(owner, helper)
    assert client.get("/")["Location"].startswith("/accounts/login/")
    standing.reinstate(owner, by=helper)
    assert client.get("/").status_code == 302
    client, response = sign_in(owner.email)
    assert response.status_code == 302
    assert client.get("/").status_code == 200


def test_keys_answer_403_with_a_code_and_work_again_afterwards(owner: User, helper: User, settings: Any) -> None:
    settings.APPEAL_EMAIL = "appeal@example.com"
    client = Client(headers={"Authorization": f"Bearer {make_key(owner)}"})
    assert client.get("/api/v2/me").status_code == 200
    suspend(owner, helper)
    refused = error_of(client.get("/api/v2/me"), 403, "account_suspended")
    assert "appeal@example.com" in refused["message"]
    assert "spam" not in refused["message"]
    standing.reinstate(owner, by=helper)
    assert client.get("/api/v2/me").status_code == 200


def test_the_check_costs_no_statement(owner: User, django_assert_num_queries: Any) -> None:
    client = Client(headers={"Authorization": f"Bearer {make_key(owner)}"})
    client.get("/api/v2/keys")
    with django_assert_num_queries(2):  # the key with its user, and the keys
        client.get("/api/v2/keys")


@pytest.mark.parametrize("by_key", [True, False])
def test_open_connections_lose_their_right_and_are_told(
    owner: User, helper: User, client_for: Any, by_key: bool
) -> None:
    key, _secret = ApiKey.objects.issue(user=owner, name="k")
    access = Access.by_key(key) if by_key else Access(owner.pk, session_key=client_for(owner).session.session_key)
    assert access.holds()
    heard: list[int] = []

    def hear(user_id: int, **_: Any) -> None:
        heard.append(user_id)

    access_changed.connect(hear)
    try:
        suspend(owner, helper)
    finally:
        access_changed.disconnect(hear)
    assert not access.holds()
    assert heard == [owner.pk]


def test_signing_in_says_so_and_only_to_who_has_the_password(owner: User, helper: User, settings: Any) -> None:
    settings.APPEAL_EMAIL = "appeal@example.com"
    suspend(owner, helper)
    client, response = sign_in(owner.email)
    page = response.content.decode()
    assert response.status_code == 403
    assert "Your account is suspended" in page
    assert "appeal@example.com" in page
    assert client.get("/").status_code == 302
    wrong = Client().post("/accounts/login/", {"login": owner.email, "password": "wrong"}).content.decode()
    assert "suspended" not in wrong


def test_without_an_address_none_is_named(settings: Any) -> None:
    settings.APPEAL_EMAIL = ""
    assert "write to" not in standing.notice()


def test_a_session_made_in_the_moment_of_suspension_does_not_hold(owner: User, helper: User, client_for: Any) -> None:
    before = User.objects.get(pk=owner.pk)  # as a sign-in loaded it
    suspend(owner, helper)
    client = client_for(before)
    assert client.get("/").status_code == 302


def test_a_stale_copy_of_the_row_does_not_reinstate(owner: User, helper: User) -> None:
    stale = User.objects.get(pk=owner.pk)
    partly = User.objects.only("email").get(pk=owner.pk)
    suspend(owner, helper)
    stale.first_name = "New"
    stale.save()
    partly.email = "renamed@example.com"
    partly.save()
    owner.refresh_from_db()
    assert owner.is_suspended
    assert (owner.first_name, owner.email, owner.session_epoch) == ("New", "renamed@example.com", 1)


def test_a_suspended_person_gets_no_new_keys(owner: User, helper: User) -> None:
    suspend(owner, helper)
    with pytest.raises(KeyRefusedError):
        ApiKey.objects.issue(user=owner, name="k")


def test_only_the_first_of_two_suspends_and_is_logged(owner: User, helper: User, staff: User) -> None:
    assert suspend(owner, helper)
    assert not suspend(owner, staff)
    assert owner.suspended_by == helper
    assert AuditEntry.objects.get().actor == helper
    assert standing.reinstate(owner, by=staff)
    assert not standing.reinstate(owner, by=helper)
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True)) == [audit.SUSPENDED, audit.REINSTATED]


@pytest.mark.parametrize("power", ["is_staff", "is_superuser"])
def test_only_superusers_reach_accounts_with_powers(helper: User, staff: User, power: str) -> None:
    above = make_user("above@example.com", **{power: True})
    for act in (suspend, lambda person, by: standing.sign_out_everywhere(person, by=by)):
        with pytest.raises(standing.OutOfReachError):
            act(above, helper)
    assert suspend(above, staff)
    with pytest.raises(standing.OutOfReachError):
        suspend(staff, staff)


def test_signing_out_ends_sessions_and_no_keys(owner: User, helper: User, client_for: Any) -> None:
    client, secret = client_for(owner), make_key(owner)
    standing.sign_out_everywhere(owner, by=helper)
    assert client.get("/").status_code == 302
    assert Client(headers={"Authorization": f"Bearer {secret}"}).get("/api/v2/me").status_code == 200
    assert sign_in(owner.email)[1].status_code == 302


def test_sessions_from_before_the_upgrade_go_on(owner: User) -> None:
    from django.contrib.auth.models import AbstractUser

    assert owner.get_session_auth_hash() == AbstractUser.get_session_auth_hash(owner)
    owner.session_epoch = 1
    old = User(password=owner.password)
    assert owner.get_session_auth_hash() != old.get_session_auth_hash()


def test_what_cannot_be_logged_does_not_happen(owner: User, helper: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(AuditEntry.objects, "create", fail)
    with pytest.raises(RuntimeError), transaction.atomic():
        suspend(owner, helper)
    owner.refresh_from_db()
    assert not owner.is_suspended


def test_a_large_upload_of_a_suspended_key_is_refused_before_it_is_read(owner: User, helper: User) -> None:
    from comfysaas.bodies import _judge_sender

    secret = make_key(owner)
    suspend(owner, helper)
    refusal = _judge_sender({b"authorization": f"Bearer {secret}".encode()}, "127.0.0.1", 10**6, True)
    assert refusal is not None
    assert (refusal.status, refusal.code) == (403, "account_suspended")


def test_the_moment_is_kept(owner: User, helper: User) -> None:
    suspend(owner, helper)
    assert owner.suspended_at is not None
    assert timezone.now() - owner.suspended_at < timedelta(minutes=5)
    assert owner.suspension_reason == "spam"
