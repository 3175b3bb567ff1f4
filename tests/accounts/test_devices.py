"""Browsers in which somebody signed in before are let in where others guess."""

from __future__ import annotations

import pytest
from django.core import signing
from django.test import Client

from accounts.models import User
from tests.accounts.guessing import PASSWORD, TOO_MANY, guess, sign_in

pytestmark = pytest.mark.django_db


def test_guesses_from_everywhere_are_limited_but_let_known_browsers_pass(owner: User, guesses_anywhere: int) -> None:
    known, other = Client(), Client()
    sign_in(known, owner.email, PASSWORD)
    known.post("/accounts/logout/")
    for number in range(guesses_anywhere):
        assert TOO_MANY not in guess(owner.email, 1, address=f"198.51.100.{number}")
    assert TOO_MANY in sign_in(other, owner.email, PASSWORD, "192.0.2.1").content.decode()
    assert sign_in(known, owner.email, PASSWORD, "192.0.2.1").status_code == 302


def test_a_known_browser_passes_where_others_guess_beside_it(owner: User) -> None:
    known = Client()
    sign_in(known, owner.email, PASSWORD)
    known.post("/accounts/logout/")
    guess(owner.email, 6, address="203.0.113.1")
    assert sign_in(known, owner.email, PASSWORD, "203.0.113.1").status_code == 302


def test_a_known_browser_guesses_no_more_often_than_others(owner: User) -> None:
    known = Client()
    sign_in(known, owner.email, PASSWORD)
    known.post("/accounts/logout/")
    assert TOO_MANY not in guess(owner.email, 5, client=known)
    assert TOO_MANY in guess(owner.email, 1, client=known, address="192.0.2.9")


@pytest.mark.parametrize(
    "value",
    ["", "x", "owner@example.com", signing.dumps(["owner@example.com", "x"], salt="other")],
    ids=["nothing", "a letter", "the address", "another signature"],
)
def test_nobody_makes_up_a_known_browser(owner: User, value: str) -> None:
    known = Client()
    sign_in(known, owner.email, PASSWORD)
    (name,) = [name for name in known.cookies if name.startswith("device_")]
    cookie = known.cookies[name]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert "owner" not in name
    forged = Client()
    forged.cookies[name] = value
    guess(owner.email, 5, client=forged)
    assert TOO_MANY in sign_in(forged, owner.email, PASSWORD, "198.51.100.7").content.decode()


def test_a_browser_of_somebody_else_is_not_known(owner: User, stranger: User) -> None:
    known = Client()
    sign_in(known, stranger.email, PASSWORD)
    known.post("/accounts/logout/")
    (name,) = [name for name in known.cookies if name.startswith("device_")]
    sign_in(other := Client(), owner.email, PASSWORD)
    (target,) = [name for name in other.cookies if name.startswith("device_")]
    known.cookies[target] = known.cookies[name].value
    guess(owner.email, 5, client=known)
    assert TOO_MANY in sign_in(known, owner.email, PASSWORD, "198.51.100.7").content.decode()
