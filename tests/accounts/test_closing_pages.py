"""The forms that close and keep an account: for its owner, who shows once more who they are."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from tests.support.factories import make_team

pytestmark = pytest.mark.django_db
CLOSE = "/account/delete/"


def test_it_is_for_people_who_are_signed_in(owner: User) -> None:
    assert Client().post(CLOSE, {"confirm": owner.email})["Location"].startswith("/accounts/login/")
    assert not User.objects.get(pk=owner.pk).is_closed


def test_it_asks_once_more_who_they_are(owner: User, client_for: Any) -> None:
    client = client_for(owner)
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": 1.0}]
    session.save()
    assert "reauthenticate" in client.post(CLOSE, {"confirm": owner.email})["Location"]
    assert not User.objects.get(pk=owner.pk).is_closed


@pytest.mark.parametrize("confirm", ["", "stranger@example.com"])
def test_a_slip_closes_nothing(owner: User, client_for: Any, confirm: str) -> None:
    page = client_for(owner).post(CLOSE, {"confirm": confirm}, follow=True).content.decode()
    assert "Type the e-mail address" in page
    assert not User.objects.get(pk=owner.pk).is_closed


def test_the_owner_closes_it_and_is_signed_out(owner: User, client_for: Any) -> None:
    client = client_for(owner)
    page = client.post(CLOSE, {"confirm": " Owner@example.com "}, follow=True).content.decode()
    assert "will be deleted on" in page
    assert User.objects.get(pk=owner.pk).is_closed
    assert client.get("/generations/").status_code == 302


def test_a_last_owner_reads_what_to_do(owner: User, stranger: User, client_for: Any) -> None:
    make_team(owner, member=stranger, name="Film crew")
    page = client_for(owner).post(CLOSE, {"confirm": owner.email}, follow=True).content.decode()
    assert "Make one of them an owner or dissolve the team first" in page


@pytest.mark.parametrize("token", ["", "nonsense"])
def test_keeping_needs_a_pass(token: str) -> None:
    page = Client().post("/account/keep/", {"pass": token}, follow=True).content.decode()
    assert "Sign in once more" in page


@pytest.mark.parametrize("path", [CLOSE, "/account/keep/"])
def test_opening_the_address_leads_to_a_page(path: str, owner: User, client_for: Any) -> None:
    assert client_for(owner).get(path).status_code == 302
