"""Who holds an invitation may sign up with the invited address, where that is switched on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Invitation, User
from tests.accounts.guessing import PASSWORD
from tests.accounts.inviting import BOSS, holder

pytestmark = pytest.mark.django_db
FORM = {"email": "anna@example.com", "password1": PASSWORD, "password2": PASSWORD}
CLOSED = "Sign-up is closed"


@pytest.fixture(autouse=True)
def by_invitation(settings: Any) -> None:
    settings.SIGNUP_OPEN, settings.SIGNUP_BY_INVITATION = False, True


def sign_up(client: Client) -> str:
    """The page after the form was sent."""
    return client.post("/accounts/signup/", FORM, follow=True).content.decode()


def newcomers() -> list[str]:
    return [user.email for user in User.objects.exclude(email=BOSS)]


def test_an_invited_person_signs_up_and_still_confirms_the_address(mailoutbox: Any) -> None:
    client = holder("Anna@Example.com")
    assert "Create an account" in client.get("/accounts/signup/").content.decode()
    sign_up(client)
    assert newcomers() == ["anna@example.com"]
    assert mailoutbox[-1].to == ["anna@example.com"]
    assert "Confirm your e-mail address" in mailoutbox[-1].subject  # whoever invited somebody has the link, too


@pytest.mark.parametrize("is_open", [False, True])
def test_the_form_begins_with_the_invited_address(is_open: bool, settings: Any) -> None:
    settings.SIGNUP_OPEN, settings.SIGNUP_BY_INVITATION = is_open, not is_open
    assert 'value="anna@example.com"' in holder("Anna@Example.com").get("/accounts/signup/").content.decode()
    assert 'name="email" value' not in Client().get("/accounts/signup/").content.decode()


def test_the_invitation_is_for_one_address() -> None:
    assert "The invitation is for ben@example.com" in sign_up(holder("ben@example.com"))
    assert newcomers() == []


def test_nobody_else_signs_up(settings: Any) -> None:
    assert CLOSED in sign_up(Client())
    settings.SIGNUP_BY_INVITATION = False
    assert CLOSED in sign_up(holder("anna@example.com"))
    assert newcomers() == []


@pytest.mark.parametrize(
    "change",
    [{"revoked_at": timezone.now()}, {"accepted_at": timezone.now()}, {"expires_at": timezone.now() - timedelta(1)}],
)
def test_an_invitation_that_holds_no_longer_lets_nobody_in(change: dict[str, Any]) -> None:
    client = holder("anna@example.com")
    Invitation.objects.update(**change)
    assert CLOSED in sign_up(client)
    assert newcomers() == []


def test_where_sign_up_is_open_any_address_will_do(settings: Any) -> None:
    settings.SIGNUP_OPEN = True
    sign_up(holder("ben@example.com"))
    assert newcomers() == ["anna@example.com"]


def test_a_request_that_is_refused_unread_is_answered_as_ever() -> None:
    """It has neither a session nor a user when its page is made."""
    from django.test import RequestFactory

    from accounts.context import sign_up as context
    from accounts.context import workspaces

    request = RequestFactory().get("/")
    assert context(request)["is_signup_open"] is False
    assert workspaces(request) == {}
