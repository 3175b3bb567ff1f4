"""Showing once more who one is, for people without a password."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client

from accounts import confirming
from accounts.models import ApiKey, User
from tests.api.envelope import error_of
from tests.support.factories import make_team, make_user

pytestmark = pytest.mark.django_db
PAGE = "/accounts/reauthenticate/mail/"
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
KEY = {"name": "mine", "scopes": ["read"]}


@pytest.fixture
def guest(db: None) -> User:
    """Somebody without a password, as providers sign them in."""
    user = make_user("guest@example.com")
    user.set_unusable_password()
    user.save(update_fields=["password"])
    return user


@pytest.fixture
def client(guest: User) -> Client:
    client = Client()
    client.force_login(guest, backend=BACKEND)
    return client


@pytest.fixture
def ask(client: Client, mailoutbox: Any) -> Callable[[], str]:
    def send() -> str:
        client.post(PAGE, {"send": "1"})
        found = re.findall(r"^([A-Z0-9]{4}-[A-Z0-9]{4})$", mailoutbox[-1].body, re.MULTILINE)
        return str(found[0])

    return send


def enter(client: Client, code: str) -> Any:
    return client.post(PAGE, {"code": code})


def test_nothing_dangerous_is_done_before(guest: User, client: Client) -> None:
    team = make_team(guest)
    for path in ("/account/keys/", "/account/delete/", f"/account/workspaces/{team.public_id}/dissolve/"):
        assert client.post(path, KEY)["Location"].startswith(PAGE), path
    for path in ("/accounts/2fa/totp/activate/", "/accounts/2fa/webauthn/add/"):
        assert client.get(path)["Location"].startswith(PAGE), path
    refused = client.post("/api/v2/keys", KEY, content_type="application/json")
    error_of(refused, 403, "confirmation_required")
    assert not ApiKey.objects.exists()


def test_the_code_works_once_and_in_the_session_that_asked(guest: User, client: Client, ask: Callable[[], str]) -> None:
    code, other = ask(), Client()
    other.force_login(guest, backend=BACKEND)
    assert "wrong, or too old" in enter(other, code).content.decode()
    assert enter(client, code).status_code == 302
    assert client.post("/api/v2/keys", KEY, content_type="application/json").status_code == 201
    assert "wrong, or too old" in enter(client, code).content.decode()


def test_a_newer_code_replaces_the_older(client: Client, ask: Callable[[], str]) -> None:
    first, second = ask(), ask()
    assert enter(client, first).status_code == 200
    assert enter(client, second).status_code == 302


def test_an_old_code_is_refused(client: Client, ask: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "CODE_SECONDS", -1)
    assert "wrong, or too old" in enter(client, ask()).content.decode()


def test_tries_are_limited_and_a_new_code_gives_no_more(client: Client, ask: Callable[[], str]) -> None:
    ask()
    pages = [enter(client, "AAAA-AAAA").content.decode() for _ in range(6)]
    assert ["Too many attempts" in page for page in pages] == [False] * 5 + [True]
    assert "Too many attempts" in enter(client, ask()).content.decode()


def test_mails_are_limited(client: Client, mailoutbox: Any) -> None:
    answers = [client.post(PAGE, {"send": "1"}).status_code for _ in range(6)]
    assert answers == [302] * 5 + [429]
    assert len(mailoutbox) == 5


def test_the_code_is_nowhere_in_the_session(client: Client, ask: Callable[[], str]) -> None:
    code = ask()
    assert code.replace("-", "") not in str(dict(client.session))


def test_whoever_has_a_password_or_a_passkey_gets_no_code(
    owner: User, guest: User, client: Client, mailoutbox: Any
) -> None:
    with_password = Client()
    with_password.force_login(owner, backend=BACKEND)
    assert with_password.post(PAGE, {"send": "1"})["Location"] == "/accounts/reauthenticate/"
    Authenticator.objects.create(user=guest, type=Authenticator.Type.WEBAUTHN, data={"name": "k", "credential": {}})
    assert client.post("/account/keys/", KEY)["Location"].startswith("/accounts/2fa/webauthn/reauthenticate/")
    assert client.post(PAGE, {"send": "1"})["Location"] == "/accounts/2fa/webauthn/reauthenticate/"
    assert not mailoutbox


def test_nobody_else_sees_the_page() -> None:
    assert Client().get(PAGE)["Location"].startswith("/accounts/login/")
