"""Users, keys, signing in and out."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import User

pytestmark = pytest.mark.django_db


def test_signing_in_and_out(owner: Any) -> None:
    client = Client()
    page = client.get("/accounts/login/")
    assert "Sign in" in page.content.decode()
    bad = client.post("/accounts/login/", {"login": owner.email, "password": "wrong"})
    assert bad.status_code == 200
    assert "errorlist" in bad.content.decode()
    good = client.post("/accounts/login/", {"login": owner.email.upper(), "password": "correct horse battery"})
    assert (good.status_code, good["Location"]) == (302, "/")
    assert client.get("/").status_code == 200
    client.get("/accounts/logout/")
    assert client.get("/").status_code == 200  # leaving needs a POST
    client.post("/accounts/logout/")
    assert client.get("/").status_code == 302


def test_nobody_is_sent_to_another_site_after_signing_in(owner: Any) -> None:
    data = {"login": owner.email, "password": "correct horse battery", "next": "https://evil.example/"}
    assert Client().post("/accounts/login/", data)["Location"] == "/"


def test_sign_up_is_closed_unless_it_is_opened(settings: Any) -> None:
    data = {"email": "new@example.com", "password1": "a long enough one", "password2": "a long enough one"}
    Client().post("/accounts/signup/", data)
    assert not User.objects.exists()
    settings.SIGNUP_OPEN = True
    Client().post("/accounts/signup/", data)
    assert User.objects.get().email == "new@example.com"


@pytest.mark.parametrize("path", ["password/change/", "password/reset/", "logout/", "signup/"])
def test_every_account_page_looks_like_ours(owner: Any, client_for: Any, path: str) -> None:
    client = client_for(owner) if path in {"password/change/", "logout/"} else Client()
    assert "css/site.css" in client.get(f"/accounts/{path}").content.decode()


def test_a_forgotten_password_is_reset_by_mail(owner: Any, mailoutbox: Any) -> None:
    assert Client().post("/accounts/password/reset/", {"email": owner.email}).status_code == 302
    (mail,) = mailoutbox
    assert mail.to == [owner.email]
    assert "http://127.0.0.1:8000/accounts/password/reset/key/" in mail.body


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("password/reset/", {"email": "owner@example.com"}),
        ("password/reset/", {"email": "nobody@example.com"}),
        ("signup/", {"email": "new@example.com"}),
    ],
)
def test_links_in_mails_follow_public_url_whatever_host_was_asked(
    owner: Any, mailoutbox: Any, settings: Any, path: str, data: dict[str, str]
) -> None:
    settings.SIGNUP_OPEN, settings.PUBLIC_URL = True, "https://studio.example.com"
    passwords = {"password1": "a long enough one", "password2": "a long enough one"} if path == "signup/" else {}
    Client().post(f"/accounts/{path}", {**data, **passwords}, headers={"host": "localhost:1234"})
    (mail,) = mailoutbox
    assert "https://studio.example.com/accounts/" in mail.body
    assert "localhost" not in f"{mail.subject} {mail.body}"
