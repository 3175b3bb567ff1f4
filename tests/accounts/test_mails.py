"""Mails: every one that allauth may send has a template of ours, with text and HTML that say the same."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import allauth
import pytest
from django.utils import timezone

from accounts.adapter import AccountAdapter
from accounts.models import User

# By code, which nothing here asks for.
UNUSED = {"account/email/login_code", "account/email/password_reset_code", "account/email/phone"}
TEMPLATES = Path(allauth.__file__).parent / "templates"
PREFIXES = sorted(
    str(path.relative_to(TEMPLATES)).removesuffix("_subject.txt")
    for app in ("account", "mfa", "socialaccount")
    for path in (TEMPLATES / app / "email").glob("*_subject.txt")
)
URL = "http://127.0.0.1:8000/somewhere/?a=1&b=2"


def mail(prefix: str, **context: Any) -> Any:
    known = {
        "activate_url": URL, "password_reset_url": URL, "signup_url": URL, "email": "anna@example.com",
        "from_email": "old@example.com", "to_email": "new@example.com", "deleted_email": "old@example.com",
        "provider": SimpleNamespace(name="Acme"), "ip": "192.0.2.1", "user_agent": "Mozilla/5.0 (Linux) Firefox/130.0",
        "timestamp": timezone.now(), "user": User(email="anna@example.com"),
    }  # fmt: skip
    return AccountAdapter().render_mail(prefix, "anna@example.com", {**known, **context})


@pytest.mark.parametrize("prefix", [each for each in PREFIXES if each not in UNUSED])
def test_every_mail_has_text_and_html_of_ours(prefix: str) -> None:
    message = mail(prefix)
    ((html, kind),) = message.alternatives
    assert kind == "text/html"
    assert message.subject.startswith("[127.0.0.1] ")
    assert "\n" not in message.subject
    assert message.body.rstrip().endswith("--\n127.0.0.1:8000\nhttp://127.0.0.1:8000/")
    assert "<h1" in html
    assert "#5b3df5" in html or "accounts/password/reset" in html or prefix.endswith("unknown_account")
    for text in (message.body, html):
        assert "{{" not in text
        assert "{%" not in text
        assert "None" not in text


def test_links_are_whole_in_text_and_escaped_in_html() -> None:
    message = mail("account/email/password_reset_key")
    assert f"\n{URL}\n" in message.body
    html = message.alternatives[0][0]
    assert f'href="{URL.replace("&", "&amp;")}"' in html


def test_what_strangers_typed_is_escaped_in_html_and_as_it_was_in_text() -> None:
    message = mail("account/email/email_confirmation_signup", email="<b>&'\"@example.com")
    assert "<b>&'\"@example.com" in message.body
    assert "<b>" not in message.alternatives[0][0]
    assert "&lt;b&gt;" in message.alternatives[0][0]


def test_a_notification_says_where_the_change_came_from() -> None:
    body = " ".join(mail("account/email/password_changed").body.split())
    assert "The change came from 192.0.2.1 (Firefox on Linux) on" in body


@pytest.mark.parametrize("is_open", [True, False])
def test_people_without_an_account_hear_of_sign_up_where_it_is_open(settings: Any, is_open: bool) -> None:
    settings.SIGNUP_OPEN = is_open
    assert (URL in mail("account/email/unknown_account").body) is is_open
