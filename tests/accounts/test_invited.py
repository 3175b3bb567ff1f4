"""Who holds an invitation may sign up with the invited address, where that is switched on."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, RequestFactory

from accounts import invited
from accounts.models import User
from tests.accounts.guessing import PASSWORD

pytestmark = pytest.mark.django_db
FORM = {"email": "anna@example.com", "password1": PASSWORD, "password2": PASSWORD}


def holder(email: str) -> Client:
    """A browser that opened an invitation for this address."""
    client, request = Client(), RequestFactory().get("/")
    request.session = client.session
    invited.admit(request, email)
    request.session.save()
    return client


@pytest.fixture(autouse=True)
def by_invitation(settings: Any) -> None:
    settings.SIGNUP_OPEN, settings.SIGNUP_BY_INVITATION = False, True


def test_an_invited_person_signs_up(mailoutbox: Any) -> None:
    client = holder("Anna@Example.com")
    assert "Create an account" in client.get("/accounts/signup/").content.decode()
    assert client.post("/accounts/signup/", FORM).status_code == 302
    assert User.objects.get().email == "anna@example.com"
    assert mailoutbox[0].to == ["anna@example.com"]  # an invitation by link proves no address


def test_the_invitation_is_for_one_address() -> None:
    page = holder("ben@example.com").post("/accounts/signup/", FORM)
    assert "The invitation is for ben@example.com" in page.content.decode()
    assert not User.objects.exists()


def test_nobody_else_signs_up(settings: Any) -> None:
    assert "Sign-up is closed" in Client().post("/accounts/signup/", FORM).content.decode()
    settings.SIGNUP_BY_INVITATION = False
    assert "Sign-up is closed" in holder("anna@example.com").post("/accounts/signup/", FORM).content.decode()
    assert not User.objects.exists()


def test_where_sign_up_is_open_any_address_will_do(settings: Any) -> None:
    settings.SIGNUP_OPEN = True
    assert holder("ben@example.com").post("/accounts/signup/", FORM).status_code == 302
    assert User.objects.exists()


def test_a_used_invitation_is_forgotten() -> None:
    request = RequestFactory().get("/")
    request.session = holder("anna@example.com").session
    assert invited.address_of(request) == "anna@example.com"
    invited.forget(request)
    invited.forget(request)
    assert invited.address_of(request) is None
