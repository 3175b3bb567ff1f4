"""Users, keys, signing in and out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.test import Client
from django.urls import get_resolver

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


def account_pages() -> list[str]:
    """Every address below /accounts/, with something in place of its parts."""

    def walk(resolver: Any, before: str) -> Iterator[str]:
        for each in resolver.url_patterns:
            path = f"{before}{each.pattern}"
            yield from walk(each, path) if hasattr(each, "url_patterns") else [path]

    found = [path for path in walk(get_resolver(), "/") if path.startswith("/accounts/")]
    return sorted({re.sub(r"\(\?P<.*", "x/", re.sub(r"<int:\w+>", "1", path)).replace("^", "") for path in found})


def on_the_way(owner: User) -> Client:
    """A browser that knows the password of somebody with a second factor, and not that."""
    client = Client()
    client.post("/accounts/login/", {"login": owner.email, "password": "correct horse battery"})
    return client


@pytest.mark.parametrize("path", account_pages())
def test_every_account_page_looks_like_ours_to_everybody(
    owner: Any, stranger: Any, client_for: Any, settings: Any, path: str
) -> None:
    settings.SIGNUP_OPEN = True
    TOTP.activate(owner, generate_totp_secret())
    for client in (Client(), on_the_way(owner), client_for(owner), client_for(stranger)):
        for answer in (client.get(path), client.post(path)):
            assert answer.status_code < 500
            if "html" in answer.get("Content-Type", "") and answer.status_code not in {301, 302}:
                page = answer.content.decode()
                assert "css/site.css" in page
                assert "<h1" in page


def test_all_pages_of_allauth_are_asked() -> None:
    pages = account_pages()
    assert len(pages) > 35
    assert {"/accounts/2fa/totp/activate/", "/accounts/3rdparty/", "/accounts/sessions/"} <= set(pages)


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
