"""Browsers in which somebody signed in before: guesses from elsewhere do not lock them out (OWASP: device cookies)."""

from __future__ import annotations

import hashlib
import secrets

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

KNOWN_SECONDS = 180 * 24 * 3600
_SALT = "accounts.devices"


def remember(response: HttpResponse, email: str) -> None:
    """Set the cookie of a browser that has just signed in with this address."""
    value = signing.dumps([email.lower(), secrets.token_hex(8)], salt=_SALT)
    response.set_cookie(
        _name(email), value, max_age=KNOWN_SECONDS, path=settings.SESSION_COOKIE_PATH, httponly=True, samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )  # fmt: skip


def known(request: HttpRequest, email: str) -> str | None:
    """The id of a browser that signed in with this address before; None for others."""
    try:
        owner, device = signing.loads(request.COOKIES.get(_name(email), ""), salt=_SALT, max_age=KNOWN_SECONDS)
    except (signing.BadSignature, ValueError):
        return None
    return str(device) if owner == email.lower() else None


def _name(email: str) -> str:
    """A cookie of its own for each address, which does not show it: several people may share a browser."""
    return f"device_{hashlib.sha256(email.lower().encode()).hexdigest()[:16]}"
