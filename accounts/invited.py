"""People who hold an invitation: with SIGNUP_BY_INVITATION they may sign up, with the address that was invited."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from accounts.models import Invitation

_ADDRESS = "accounts.invited"


def admit(request: HttpRequest, email: str) -> None:
    """Remember in this browser's session that this address was invited. Call it for an invitation that still holds."""
    request.session[_ADDRESS] = email.lower()


def forget(request: HttpRequest) -> None:
    """The invitation was used, or holds no longer."""
    request.session.pop(_ADDRESS, None)


def suggestion(request: HttpRequest) -> str:
    """The address that an invitation brought this browser here with, whoever may sign up; "" for none."""
    session = getattr(request, "session", None)  # none when the request was refused before it was read
    return str(session.get(_ADDRESS, "")) if session is not None else ""


def address_of(request: HttpRequest) -> str | None:
    """The address, in lower case, that may sign up in this browser's session; None if there is none.

    An invitation that was used, taken back or expired meanwhile counts no longer.
    """
    found = suggestion(request) if settings.SIGNUP_BY_INVITATION else ""
    return found if found and Invitation.objects.usable().filter(email=found).exists() else None
