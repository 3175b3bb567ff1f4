"""What page templates know about accounts."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from accounts import invited
from accounts.current import memberships_of, shown_membership

INVITATION_COOKIE = "invitation"


def sign_up(request: HttpRequest) -> dict[str, Any]:
    """`is_signup_open`: whether whoever asks may create an account. `has_providers`: whether others sign people in.
    `has_outbox`: whether there is a page with sent mails.
    """
    return {
        "is_signup_open": settings.SIGNUP_OPEN or invited.address_of(request) is not None,
        "has_providers": bool(settings.SIGN_IN_PROVIDERS),
        "has_outbox": not settings.IS_CLUSTER and not settings.EMAIL_HOST,
    }


def workspaces(request: HttpRequest) -> dict[str, Any]:
    """For people who are signed in: `current_membership`, `memberships`, and `invitation_token`, which they came with.

    The first two are functions, which ask the database (once for both) on pages that show them.
    """
    user = getattr(request, "user", None)  # nobody's, when the request was refused before anybody asked who sends it
    if user is None or not user.is_authenticated:
        return {}
    return {
        "current_membership": partial(shown_membership, request),
        "memberships": partial(memberships_of, request),
        "invitation_token": request.COOKIES.get(INVITATION_COOKIE, ""),
    }


def impersonation(request: HttpRequest) -> dict[str, Any]:
    """`impersonator`: the member of staff who is at work as `user`; None usually."""
    return {"impersonator": getattr(request, "impersonator", None)}
