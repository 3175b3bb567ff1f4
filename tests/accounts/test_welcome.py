"""People whom staff invite: they alone can sign in, with the link in the mail."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from accounts import audit, standing, welcome
from accounts.models import AuditEntry, Plan, User

PASSWORD = "a horse of another colour"


def link() -> str:
    """Of the newest mail, below the site."""
    found = re.search(r"https?://[^/]+(/accounts/password/reset/key/\S+)", str(mail.outbox[-1].body))
    assert found is not None
    return found[1]


def choose_password(address: str) -> Any:
    browser = Client()
    page = browser.get(address, follow=True)
    form = page.redirect_chain[-1][0] if page.redirect_chain else address
    browser.post(form, {"password1": PASSWORD, "password2": PASSWORD})
    return page


def sign_in(email: str) -> int:
    return int(Client().post("/accounts/login/", {"login": email, "password": PASSWORD}).status_code)


def test_the_link_sets_a_password_and_lets_them_in(staff: User) -> None:
    plan = Plan.objects.create(name="Studio")
    person = welcome.invite(" New@Example.com ", by=staff, plan=plan, address="192.0.2.1")
    assert (person.email, person.plan, person.has_usable_password()) == ("new@example.com", plan, False)
    assert mail.outbox[0].to == ["new@example.com"]
    assert welcome.is_waiting(person)
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.actor, entry.person, entry.address) == (audit.INVITED, staff, person, "192.0.2.1")
    address = link()
    choose_password(address)
    assert sign_in("new@example.com") == 302
    person.refresh_from_db()
    assert not welcome.is_waiting(person)
    assert not welcome.remind(person, by=staff)
    assert "token" not in choose_password(address).context or choose_password(address).context.get("token_fail")


@pytest.mark.parametrize("email", ["owner@example.com", "OWNER@example.com"])
def test_an_address_is_invited_once(owner: User, staff: User, email: str) -> None:
    with pytest.raises(welcome.KnownAddressError):
        welcome.invite(email, by=staff)
    assert not mail.outbox
    assert not AuditEntry.objects.exists()


def test_a_reminder_has_a_link_that_works(staff: User) -> None:
    person = welcome.invite("new@example.com", by=staff)
    assert welcome.remind(person, by=staff)
    assert len(mail.outbox) == 2
    choose_password(link())
    assert sign_in("new@example.com") == 302


def test_suspended_people_are_not_reminded(staff: User) -> None:
    person = welcome.invite("new@example.com", by=staff)
    standing.suspend(person, by=staff, reason="a mistake")
    assert not welcome.remind(person, by=staff)


def test_without_a_mail_there_is_no_account(staff: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError

    monkeypatch.setattr("accounts.adapter.AccountAdapter.send_mail", fail)
    with pytest.raises(OSError):
        welcome.invite("new@example.com", by=staff)
    assert not User.objects.filter(email="new@example.com").exists()
