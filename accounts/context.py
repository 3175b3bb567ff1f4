"""What page templates know about accounts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def sign_up(request: HttpRequest) -> dict[str, Any]:
    """`is_signup_open`: whether anybody may create an account."""
    return {"is_signup_open": settings.SIGNUP_OPEN}
