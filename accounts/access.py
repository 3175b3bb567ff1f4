"""On whose behalf, and by what right, a connection was opened; whether that still holds, and how many there may be."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user
from django.core.cache import cache
from django.http import HttpRequest, parse_cookie

from accounts import limits
from accounts.models import ApiKey, Scope, User

PLACE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Access:
    """Either a key or a session of this user."""

    user_id: int
    key_id: int | None = None
    session_key: str | None = None

    @classmethod
    def by_key(cls, key: ApiKey) -> Access:
        """With an API key."""
        return cls(key.user_id, key_id=key.pk)

    def holds(self) -> bool:
        """False once the key is revoked or expired, the session ended, the password changed or the user deactivated."""
        if self.key_id is not None:
            return ApiKey.objects.usable().filter(pk=self.key_id, user=self.user_id).exists()
        user = _user_of_session(self.session_key)
        return user is not None and user.pk == self.user_id


def key_for_reading(authorization: str, address: str) -> ApiKey | None:
    """The key of an Authorization header, if it is one that may read. RateLimitedError: see `limits.key_for`."""
    key = _key_of(authorization, address)
    return key if key is not None and Scope.READ.value in key.scopes else None


def sender_of(headers: Mapping[bytes, bytes], address: str) -> User | None:
    """Who sends a request with these headers (names in small letters), before anything else of it is read.

    A request that brings a key is judged by its key alone, as the API does. RateLimitedError: see `limits.key_for`.
    """
    if authorization := headers.get(b"authorization", b"").decode("latin-1"):
        key = _key_of(authorization, address)
        return key.user if key is not None else None
    cookies = parse_cookie(headers.get(b"cookie", b"").decode("latin-1"))
    return _user_of_session(cookies.get(settings.SESSION_COOKIE_NAME))


def _key_of(authorization: str, address: str) -> ApiKey | None:
    kind, _, secret = authorization.partition(" ")
    return limits.key_for(secret.strip(), address) if kind.lower() == "bearer" else None


def _user_of_session(session_key: str | None) -> User | None:
    if not session_key:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return user if user.is_authenticated and user.is_active else None


def take_place(kind: str, user: User, *, most: int) -> str | None:
    """The cache key of one of the user's places for open connections of this kind; None when all are taken.

    Places are counted over all processes. One is lost after PLACE_SECONDS unless it is written again, and given back by
    deleting it.
    """
    # In any order: whoever has few connections open finds a free place at the first try.
    for number in random.sample(range(most), most):
        place = f"{kind}.{user.pk}.{number}"
        if cache.add(place, True, PLACE_SECONDS):
            return place
    return None
