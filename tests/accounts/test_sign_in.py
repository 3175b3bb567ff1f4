"""Guessing passwords, signing up, and what a new password shuts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.management import call_command
from django.test import Client

from accounts.models import ApiKey, KeyRefusedError, User
from generations.models import Webhook
from tests.accounts.guessing import PASSWORD, TOO_MANY, guess, sign_in
from tests.support.factories import make_user

pytestmark = pytest.mark.django_db
NEW = "another horse battery"


@pytest.fixture(autouse=True)
def open_sign_up(settings: Any) -> None:
    settings.SIGNUP_OPEN = True


@pytest.mark.parametrize("path", ["login", "signup", "password/reset"])
def test_forms_spell_email_as_pages_do(path: str) -> None:
    asked = Client().get(f"/accounts/{path}/").content.decode()
    refused = Client().post(f"/accounts/{path}/", {"login": "nobody", "email": "nobody"}).content.decode()
    assert 'placeholder="E-mail address"' in asked
    assert "Enter a valid e-mail address." in refused


def test_a_wrong_password_is_said_in_our_words(owner: User) -> None:
    assert "The e-mail address or the password is wrong." in guess(owner.email, 1)


# ------------------------------------------------------------------------------------------- guessing
def test_wrong_passwords_from_elsewhere_do_not_lock_the_owner_out(owner: User) -> None:
    assert TOO_MANY in guess(owner.email, 6)
    assert sign_in(Client(), owner.email, PASSWORD).status_code == 302


def test_wrong_passwords_from_one_address_are_limited_for_each_account(owner: User, stranger: User) -> None:
    assert TOO_MANY not in guess(owner.email, 5)
    assert TOO_MANY in guess(owner.email, 1)
    refused = sign_in(Client(), owner.email, PASSWORD, "198.51.100.7")
    assert TOO_MANY in refused.content.decode()
    assert sign_in(Client(), stranger.email, PASSWORD, "198.51.100.7").status_code == 302


def test_no_host_header_gives_further_attempts(owner: User) -> None:
    guess(owner.email, 5)
    data = {"login": owner.email, "password": PASSWORD}
    page = Client().post("/accounts/login/", data, REMOTE_ADDR="198.51.100.7", headers={"host": "localhost"})
    assert TOO_MANY in page.content.decode()


def test_a_reset_by_mail_works_after_any_number_of_guesses(owner: User, mailoutbox: Any, guesses_anywhere: int) -> None:
    for number in range(guesses_anywhere + 1):
        guess(owner.email, 1, address=f"198.51.100.{number}")
    reset(owner, mailoutbox)
    assert sign_in(Client(), owner.email, NEW, "192.0.2.1").status_code == 302


# ------------------------------------------------------------------------------------------- who is registered
def sign_up(email: str) -> Any:
    data = {"email": email, "password1": "a long enough one", "password2": "a long enough one"}
    return Client().post("/accounts/signup/", data)


def told(response: Any) -> tuple[Any, ...]:
    """All that whoever asked can see."""
    body = re.sub(r'(csrf\w*"[^>]*value=|nonce=|data-csrf=)"[^"]*"', "", response.content.decode())
    return response.status_code, sorted(response.headers), response.get("Location"), sorted(response.cookies), body


@pytest.mark.parametrize("is_active", [True, False])
def test_signing_up_tells_nobody_who_is_registered(owner: User, mailoutbox: Any, is_active: bool) -> None:
    User.objects.update(is_active=is_active)
    new, taken = sign_up("new@example.com"), sign_up(owner.email.upper())
    assert told(new) == told(taken)
    assert (new.status_code, new["Location"]) == (302, "/accounts/confirm-email/")
    assert [mail.to for mail in mailoutbox] == [["new@example.com"], [owner.email]]
    assert "an account with this address already" in " ".join(mailoutbox[1].body.split())
    owner.refresh_from_db()
    assert owner.check_password(PASSWORD)


def test_signing_up_hashes_a_password_either_way(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(User, "set_password", lambda self, password: hashed.append(password))
    for email in ("new@example.com", owner.email):
        sign_up(email)
    assert hashed == ["a long enough one"] * 2


@pytest.mark.parametrize(
    "ask",
    [
        lambda email: Client().post("/accounts/password/reset/", {"email": email}),
        lambda email: sign_in(Client(), email, "wrong"),
    ],
)
def test_other_forms_tell_nobody_either(owner: User, mailoutbox: Any, ask: Callable[[str], Any]) -> None:
    # The sign-in repeats the address that was typed.
    answers = [told(ask(email)) for email in (owner.email, "nobody@example.com")]
    answers = [(*each[:4], each[4].replace(owner.email, "").replace("nobody@example.com", "")) for each in answers]
    assert answers[0] == answers[1]
    assert len(mailoutbox) in {0, 2}


# ------------------------------------------------------------------------------------------- verification
def test_whoever_signs_up_confirms_the_address_before_anything_else(mailoutbox: Any) -> None:
    sign_up("new@example.com")
    user = User.objects.get()
    client = Client()
    assert sign_in(client, user.email, "a long enough one")["Location"] == "/accounts/confirm-email/"
    assert client.get("/account/keys/").status_code == 302
    with pytest.raises(KeyRefusedError, match="Confirm your e-mail address"):
        ApiKey.objects.issue(user=user, name="k")
    link = re.search(r"/accounts/confirm-email/\S+/", mailoutbox[0].body)
    assert link is not None
    assert client.post(link[0]).status_code == 302
    assert sign_in(client, user.email, "a long enough one")["Location"] == "/"
    data = {"name": "k", "scopes": ["read"], "lifetime": ""}
    assert client.post("/account/keys/", data)["Location"] == "/accounts/reauthenticate/?next=%2Faccount%2Fkeys%2F"
    assert not ApiKey.objects.exists()
    page = client.post("/accounts/reauthenticate/", {"password": "a long enough one", "next": "/account/keys/"})
    assert page.status_code == 201  # the form that was sent goes on
    assert "csk_" in page.content.decode()


def test_the_page_says_why_there_is_no_key(client_for: Any) -> None:
    user = make_user("new@example.com")
    EmailAddress.objects.update(verified=False)
    page = client_for(user).post("/account/keys/", {"name": "k", "scopes": ["read"], "lifetime": ""})
    assert page.status_code == 422
    assert "Confirm your e-mail address first" in page.content.decode()


def test_whoever_runs_the_site_vouches_for_those_they_make(staff: User, client_for: Any) -> None:
    admin = client_for(staff)
    data = {"email": "made@example.com", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    admin.post("/admin/accounts/user/add/", data)
    call_command("createsuperuser", email="root@example.com", interactive=False)
    assert {user.email: user.is_verified for user in User.objects.exclude(pk=staff.pk)} == {
        "made@example.com": True,
        "root@example.com": True,
    }
    assert sign_in(Client(), "made@example.com", PASSWORD)["Location"] == "/"


def test_staff_cannot_give_an_address_that_another_account_confirmed(staff: User, owner: User, client_for: Any) -> None:
    EmailAddress.objects.create(user=owner, email="second@example.com", verified=True)
    data = {"email": "Second@example.com", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    page = client_for(staff).post("/admin/accounts/user/add/", data)
    assert page.context["adminform"].form.errors["email"] == ["Another account uses this address."]


# ------------------------------------------------------------------------------------------- a new password
def reset(user: User, mailoutbox: Any, **fields: str) -> Any:
    """By the link in a mail."""
    client = Client()
    client.post("/accounts/password/reset/", {"email": user.email})
    link = re.search(r"/accounts/password/reset/key/\S+/", mailoutbox[-1].body)
    assert link is not None
    form = client.get(link[0], follow=True)
    path = form.redirect_chain[-1][0]
    assert 'name="revoke_access"' in form.content.decode()
    assert re.search(r'<input[^>]*name="revoke_access"[^>]*checked', form.content.decode())
    return client.post(path, {"password1": NEW, "password2": NEW, **fields})


def change(user: User, mailoutbox: Any, **fields: str) -> Any:
    """By whoever is signed in."""
    client = Client()
    sign_in(client, user.email, PASSWORD)
    page = client.get("/accounts/password/change/").content.decode()
    assert re.search(r'<input[^>]*name="revoke_access"[^>]*checked', page)
    data = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW, **fields}
    return client.post("/accounts/password/change/", data)


@pytest.mark.parametrize("way", [reset, change])
@pytest.mark.parametrize("is_revoked", [True, False])
def test_a_new_password_shuts_what_the_old_one_opened(
    owner: User, mailoutbox: Any, client_for: Any, way: Any, is_revoked: bool
) -> None:
    stranger = make_user("stranger@example.com")
    secrets = [ApiKey.objects.issue(user=user, name="k")[1] for user in (owner, stranger)]
    hooks = [Webhook.objects.create(user=user, url="https://example.com/") for user in (owner, stranger)]
    session = client_for(owner)
    assert way(owner, mailoutbox, **({"revoke_access": "on"} if is_revoked else {})).status_code == 302
    owner.refresh_from_db()
    assert owner.check_password(NEW)
    assert [ApiKey.objects.authenticate(secret) is None for secret in secrets] == [is_revoked, False]
    states = [Webhook.objects.get(pk=hook.pk) for hook in hooks]
    assert [state.is_enabled for state in states] == [not is_revoked, True]
    assert ("Switched off with a new password" in states[0].disabled_reason) == is_revoked
    assert session.get("/").status_code == 302  # other sessions end in any case


def test_a_wrong_form_revokes_nothing(owner: User, client_for: Any) -> None:
    _, secret = ApiKey.objects.issue(user=owner, name="k")
    data = {"oldpassword": "wrong", "password1": NEW, "password2": NEW, "revoke_access": "on"}
    assert client_for(owner).post("/accounts/password/change/", data).status_code == 200
    assert ApiKey.objects.authenticate(secret) is not None


def test_no_key_is_made_by_what_a_new_password_ended(owner: User) -> None:
    before = User.objects.get(pk=owner.pk)
    key, _ = ApiKey.objects.issue(user=owner, name="k")
    owner.set_password(NEW)
    owner.save()
    with pytest.raises(KeyRefusedError, match="Sign in again"):
        ApiKey.objects.issue(user=before, name="late")
    owner.revoke_access()
    with pytest.raises(KeyRefusedError, match="Sign in again"):
        ApiKey.objects.issue(user=owner, name="late", by=key)


@pytest.mark.parametrize("way", ["password", "is_active"])
def test_what_is_open_hears_of_it_at_once(owner: User, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    told_about: list[int] = []
    monkeypatch.setattr("generations.live.publisher.announce_access", told_about.append)
    owner.last_login = owner.date_joined
    owner.save(update_fields=["last_login"])
    assert told_about == []
    if way == "password":
        owner.set_password(NEW)
    else:
        owner.is_active = False
    owner.save()
    assert told_about == [owner.pk]
