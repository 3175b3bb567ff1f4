"""On whose behalf, and by what right, a connection that stays open was opened; and whether that still holds."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from accounts.models import ApiKey, Scope


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
        if self.session_key is None:
            return False
        request = HttpRequest()
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(self.session_key)
        user = get_user(request)
        return user.is_authenticated and user.is_active and user.pk == self.user_id


def key_for_reading(authorization: str) -> ApiKey | None:
    """The key of an Authorization header, if it is one that may read."""
    kind, _, secret = authorization.partition(" ")
    key = ApiKey.objects.authenticate(secret.strip()) if kind.lower() == "bearer" else None
    return key if key is not None and Scope.READ.value in key.scopes else None
