"""Who calls: a program with an API key, or a browser with its session."""

from __future__ import annotations

from django.http import HttpRequest
from ninja.errors import HttpError
from ninja.security import HttpBearer
from ninja.security.session import SessionAuth as NinjaSessionAuth
from ninja.utils import check_csrf

from accounts.models import ApiKey, User


class ApiKeyAuth(HttpBearer):
    """`Authorization: Bearer csk_…`."""

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        """The key's user, who is also the request's from here on."""
        key = ApiKey.objects.authenticate(token)
        if key is None:
            return None
        request.user = key.user
        return key.user


class SessionAuth(NinjaSessionAuth):
    """The browser's session. The CSRF token is asked for after the user: without a session it is a 401, no 403."""

    def __init__(self) -> None:
        super().__init__(csrf=False)

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        """The session's user. HttpError 403 when an unsafe method lacks the token.

        A request that brings a key is judged by its key alone: a wrong one must not go unnoticed.
        """
        user = request.user
        if not user.is_authenticated or "Authorization" in request.headers:
            return None
        if check_csrf(request):
            raise HttpError(403, "The CSRF token is missing or wrong.")
        return user
