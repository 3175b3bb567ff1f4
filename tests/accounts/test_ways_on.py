"""Each page of the way in has a way on, in words of ours."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from generations.scheduling.queue import QueueFullError
from tests.accounts.guessing import PASSWORD

pytestmark = pytest.mark.django_db
LOGIN, RESET = 'href="/accounts/login/"', 'href="/accounts/password/reset/"'


def page(path: str) -> str:
    """With the header of the site, and nothing of allauth's own words."""
    html = Client().get(path, follow=True).content.decode()
    assert 'class="brand"' in html
    assert "contact us" not in html
    return html


@pytest.mark.parametrize("is_open", [True, False])
def test_the_sign_in_offers_to_sign_up_when_that_is_open(settings: Any, is_open: bool) -> None:
    settings.SIGNUP_OPEN = is_open
    html = page("/accounts/login/?next=/generations/")
    assert ("No account yet?" in html) == is_open
    assert ('href="/accounts/signup/?next=%2Fgenerations%2F"' in html) == is_open


@pytest.mark.parametrize(
    ("path", "words", "way"),
    [
        ("/accounts/confirm-email/", "sign in to get another one", LOGIN),
        ("/accounts/confirm-email/nonsense/", "This link no longer works", LOGIN),
        ("/accounts/password/reset/", "Send the link", LOGIN),
        ("/accounts/password/reset/done/", "ask for another link", RESET),
        ("/accounts/password/reset/key/1-nonsense/", "Ask for another link", RESET),
        ("/accounts/password/reset/key/done/", "Your password is changed", LOGIN),
    ],
)
def test_whoever_is_stuck_reads_what_to_do(path: str, words: str, way: str) -> None:
    html = page(path)
    assert words in html
    assert way in html.partition("<main")[2]


@pytest.mark.parametrize(
    "elsewhere", ["http://localhost/x", "http://127.0.0.1/x", "http://[::1]/x", "//other.example/x"]
)
def test_nobody_is_sent_to_another_site(owner: User, settings: Any, elsewhere: str) -> None:
    settings.ALLOWED_HOSTS = ["studio.example.com", "127.0.0.1", "localhost", "[::1]", "testserver"]
    client = Client()
    data = {"login": owner.email, "password": PASSWORD, "next": elsewhere}
    assert client.post("/accounts/login/", data)["Location"] == "/"
    assert client.get("/accounts/login/", {"next": elsewhere})["Location"] == "/"
    assert client.post("/accounts/logout/", {"next": elsewhere})["Location"] == "/"
    data["next"] = "http://testserver/generations/"
    assert client.post("/accounts/login/", data)["Location"] == data["next"]


def test_whoever_lost_the_mail_gets_another_by_signing_in(settings: Any, mailoutbox: Any) -> None:
    settings.SIGNUP_OPEN = True
    settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, "confirm_email": "10/m/key"}
    password = "a long enough one"
    Client().post("/accounts/signup/", {"email": "n@example.com", "password1": password, "password2": password})
    Client().post("/accounts/login/", {"login": "n@example.com", "password": password})
    assert len(mailoutbox) == 2
    link = re.search(r"/accounts/confirm-email/\S+/", mailoutbox[-1].body)
    assert link is not None
    html = page(link[0])
    assert "If n@example.com is your address, confirm it" in html
    assert re.search(r'<button class="primary"[^>]*>Confirm', html)


def test_main_actions_of_allauths_own_pages_are_primary(owner: User, client_for: Any, settings: Any) -> None:
    settings.SIGNUP_OPEN = True
    assert re.search(r'<button\s+class="primary"', Client().get("/accounts/signup/").content.decode())
    html = client_for(owner).get("/accounts/password/change/").content.decode()
    assert re.search(r'<button\s+class="primary"', html)


def test_one_generation_is_not_several(settings: Any) -> None:
    assert "already have 1 generation waiting" in str(QueueFullError(1))
    assert "already have 2 generations waiting" in str(QueueFullError(2))
    settings.ANONYMOUS_PAGES_PER_MINUTE = 1
    Client().get("/accounts/login/")
    assert "You may open 1 page a minute." in Client().get("/accounts/login/").content.decode()
