"""What page templates know about accounts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from accounts import invited


def sign_up(request: HttpRequest) -> dict[str, Any]:
    """`is_signup_open`: whether whoever asks may create an account. `has_providers`: whether others sign people in.
    `has_outbox`: whether there is a page with sent mails.
    """
    return {
        "is_signup_open": settings.SIGNUP_OPEN or invited.address_of(request) is not None,
        "has_providers": bool(settings.SIGN_IN_PROVIDERS),
        "has_outbox": not settings.IS_CLUSTER,
    }
