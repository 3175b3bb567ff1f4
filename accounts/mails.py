"""Mails in our look, as text and HTML. Each is one template that says its parts; `mail/message.*` lay them out."""

from __future__ import annotations

import textwrap
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.template.loader import render_to_string

WIDTH = 76


class Rendered(NamedTuple):
    """What a mail says: its subject in one line, and its body twice."""

    subject: str
    text: str
    html: str


def render(prefix: str, context: dict[str, Any], request: HttpRequest | None = None) -> Rendered:
    """The mail of the template `PREFIX.mail.txt`, which extends `mail/parts.txt`.

    Its blocks: `subject`; `text`, paragraphs with empty lines between them; `action` and `url`, a button and where it
    leads; `after`, further paragraphs.
    """

    def part(name: str) -> str:
        return render_to_string(f"{prefix}.mail.txt", {**context, "part": name}, request).strip()

    subject = " ".join(part("subject").split())
    said = {
        "subject": subject,
        "text": _paragraphs(part("text")),
        "action": part("action"),
        "url": part("url"),
        "after": _paragraphs(part("after")),
        "site": urlsplit(settings.PUBLIC_URL).netloc,
        "site_url": settings.PUBLIC_URL,
    }
    wrapped = {name: [_wrapped(each) for each in said[name]] for name in ("text", "after")}
    text = render_to_string("mail/message.txt", {**said, **wrapped}).strip()
    return Rendered(subject, f"{text}\n", render_to_string("mail/message.html", said).strip())


def _paragraphs(text: str) -> list[str]:
    return [" ".join(each.split()) for each in text.split("\n\n") if each.strip()]


def _wrapped(paragraph: str) -> str:
    """In lines; addresses stay whole."""
    return textwrap.fill(paragraph, WIDTH, break_long_words=False, break_on_hyphens=False)
