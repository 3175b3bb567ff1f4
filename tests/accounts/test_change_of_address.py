"""Confirming addresses and changing them, and what links in mails are good for."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.utils import timezone

from accounts.models import User
from tests.accounts.guessing import PASSWORD, confirm, sign_in

pytestmark = pytest.mark.django_db
PAGE, NEW = "/accounts/email/", "new@example.com"


@pytest.fixture(autouse=True)
def open_sign_up(settings: Any) -> None:
    settings.SIGNUP_OPEN = True


def signed_in(user: User) -> Client:
    client = Client()
    sign_in(client, user.email, PASSWORD)
    confirm(client)
    return client


def change(client: Client, email: str = NEW) -> Any:
    return client.post(PAGE, {"action_add": "", "email": email}, follow=True)


def link_in(mail: Any) -> str:
    found = re.search(r"/accounts/confirm-email/\S+/", mail.body)
    assert found is not None
    return found[0]


def sign_up(email: str) -> Client:
    client = Client()
    client.post("/accounts/signup/", {"email": email, "password1": PASSWORD, "password2": PASSWORD})
    return client


def test_the_old_address_stays_until_the_new_one_is_confirmed(owner: User, mailoutbox: Any) -> None:
    client = signed_in(owner)
    page = change(client)
    assert f"{NEW} takes its place" in page.content.decode()
    owner.refresh_from_db()
    assert owner.email == "owner@example.com"
    assert sign_in(Client(), NEW, PASSWORD)["Location"] != "/"
    assert mailoutbox[-1].to == [NEW]
    client.post(link_in(mailoutbox[-1]))
    owner.refresh_from_db()
    assert owner.email == NEW
    assert [row.email for row in EmailAddress.objects.filter(user=owner)] == [NEW]
    assert mailoutbox[-1].to == ["owner@example.com"]
    assert "was changed" in mailoutbox[-1].subject
    assert sign_in(Client(), "owner@example.com", PASSWORD).status_code == 200
    assert sign_in(Client(), NEW, PASSWORD).status_code == 302


def test_changing_it_takes_a_confirmation(owner: User, mailoutbox: Any) -> None:
    client = Client()
    sign_in(client, owner.email, PASSWORD)
    assert client.post(PAGE, {"action_add": "", "email": NEW})["Location"].startswith("/accounts/reauthenticate/")
    assert mailoutbox == []


def test_the_change_can_be_given_up(owner: User, mailoutbox: Any) -> None:
    client = signed_in(owner)
    change(client)
    client.post(PAGE, {"action_remove": "", "email": NEW})
    Client().post(link_in(mailoutbox[0]))
    owner.refresh_from_db()
    assert owner.email == "owner@example.com"


def test_nobody_learns_by_changing_an_address_who_has_an_account(owner: User, stranger: User, mailoutbox: Any) -> None:
    pages = [change(signed_in(owner), email) for email in (NEW, stranger.email)]
    shown = [
        re.sub(r'(csrf\w*"[^>]*value=|data-csrf=)"[^"]*"', "", page.content.decode()).replace(email, "")
        for page, email in zip(pages, (NEW, stranger.email), strict=True)
    ]
    assert shown[0] == shown[1]
    assert [mail.to for mail in mailoutbox][:2] == [[NEW], [stranger.email]]


def test_an_address_that_another_account_has_cannot_be_confirmed(owner: User, stranger: User, mailoutbox: Any) -> None:
    client = signed_in(owner)
    change(client, stranger.email)
    links = [link for mail in mailoutbox for link in re.findall(r"/accounts/confirm-email/\S+/", mail.body)]
    for link in links:
        client.post(link)
    owner.refresh_from_db()
    assert owner.email == "owner@example.com"
    assert sign_in(Client(), stranger.email, PASSWORD)["Location"] == "/"


def test_an_address_that_somebody_only_claims_is_free_for_its_owner(owner: User, mailoutbox: Any) -> None:
    change(signed_in(owner))
    sign_up(NEW)
    newcomer = User.objects.filter(email=NEW).first()
    assert newcomer is not None, "whoever types an address first must not keep its owner out"
    theirs, its_owners = link_in(mailoutbox[-2]), link_in(mailoutbox[-1])
    refused = Client().post(theirs, follow=True)
    assert "belongs to another account" in refused.content.decode()
    Client().post(its_owners)
    assert sign_in(Client(), NEW, PASSWORD)["Location"] == "/"
    owner.refresh_from_db()
    assert owner.email == "owner@example.com"


def test_a_reset_goes_to_confirmed_addresses_alone(owner: User, mailoutbox: Any) -> None:
    change(signed_in(owner))
    mailoutbox.clear()
    Client().post("/accounts/password/reset/", {"email": NEW})
    assert "/password/reset/key/" not in mailoutbox[0].body


@pytest.mark.parametrize("days", [2, 4])
def test_a_link_works_for_three_days(owner: User, mailoutbox: Any, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    import time

    sign_up(NEW)
    now = time.time()
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + timedelta(days=days).total_seconds())
    Client().post(link_in(mailoutbox[0]))
    assert EmailAddress.objects.get(email=NEW).verified is (days == 2)


def test_a_link_that_was_used_signs_nobody_in(mailoutbox: Any) -> None:
    first = sign_up(NEW)
    link = link_in(mailoutbox[0])
    other = Client()
    other.post(link)
    assert other.get("/account/keys/").status_code == 302  # it confirms, and signs in nobody who has only the link
    assert "no longer works" in other.get(link).content.decode()
    first.post(link)
    assert Client().post(link).status_code in {302, 404}


@pytest.mark.parametrize("key", ["x", "Mw:1xWw5w:forged", "../x"])
def test_a_made_up_link_is_said_so(key: str) -> None:
    answer = Client().get(f"/accounts/confirm-email/{key}/")
    assert answer.status_code == 404 or "no longer works" in answer.content.decode()


def test_a_link_for_a_password_works_once_and_for_three_days(
    owner: User, mailoutbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Client().post("/accounts/password/reset/", {"email": owner.email})
    found = re.search(r"/accounts/password/reset/key/\S+/", mailoutbox[0].body)
    assert found is not None
    data = {"password1": "another horse battery", "password2": "another horse battery"}
    first, second = Client(), Client()
    forms = [client.get(found[0], follow=True).redirect_chain[-1][0] for client in (first, second)]
    first.post(forms[0], data)
    refused = second.post(forms[1], {"password1": "a third horse battery", "password2": "a third horse battery"})
    assert "no longer works" in refused.content.decode()
    owner.refresh_from_db()
    assert owner.check_password("another horse battery")
    Client().post("/accounts/password/reset/", {"email": owner.email})
    late = re.search(r"/accounts/password/reset/key/\S+/", mailoutbox[-1].body)
    assert late is not None
    tomorrow = timezone.now().replace(tzinfo=None) + timedelta(hours=73)
    monkeypatch.setattr("django.contrib.auth.tokens.PasswordResetTokenGenerator._now", lambda self: tomorrow)
    assert "no longer works" in Client().get(late[0], follow=True).content.decode()


def test_links_do_not_leak_in_a_referrer(owner: User, mailoutbox: Any) -> None:
    Client().post("/accounts/password/reset/", {"email": owner.email})
    found = re.search(r"/accounts/password/reset/key/\S+/", mailoutbox[0].body)
    assert found is not None
    page = Client().get(found[0], follow=True)
    assert found[0].rsplit("-", 1)[1] not in page.redirect_chain[-1][0]
    assert page["Referrer-Policy"] == "same-origin"


def test_mails_to_one_address_are_limited(owner: User, mailoutbox: Any) -> None:
    answers = [Client().post("/accounts/password/reset/", {"email": owner.email}).status_code for _ in range(8)]
    assert len(mailoutbox) == 5
    assert answers[-1] == 429
    assert "Too many requests" in Client().post("/accounts/password/reset/", {"email": owner.email}).content.decode()


def test_mails_to_many_spellings_of_one_mailbox_are_limited(
    patient_guesses: Callable[[int], None], mailoutbox: Any
) -> None:
    patient_guesses(1)

    def ask(number: int) -> int:
        return Client().post("/accounts/password/reset/", {"email": f"victim+{number}@example.com"}).status_code

    assert [ask(number) for number in range(103)] == [302] * 100 + [429] * 3
    assert len(mailoutbox) == 100


def test_sign_ups_from_one_address_are_limited(settings: Any) -> None:
    answers = []
    for number in range(25):
        data = {"email": f"new{number}@example.com", "password1": PASSWORD, "password2": PASSWORD}
        answers.append(Client().post("/accounts/signup/", data).status_code)
    assert answers.count(302) == 20
    assert answers[-1] == 429
