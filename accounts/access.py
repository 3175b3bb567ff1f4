"""On whose behalf, and by what right, somebody calls; whether that still holds; how many connections may be open."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import NamedTuple, cast

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import cache
from django.http import HttpRequest, parse_cookie

from accounts import impersonation, rates
from accounts.models import ApiKey, Membership, Scope, SuspendedError, User, Workspace

SLOT_SECONDS = 60
KNOWN_KEYS = 10_000
_known: OrderedDict[bytes, None] = OrderedDict()  # hashes of keys that were right in this process


@dataclass(frozen=True, slots=True)
class Access:
    """Either a key or a session of this user."""

    user_id: int
    key_id: int | None = None
    session_key: str | None = None
    workspace_id: int | None = None  # the one that a key is for, or that a session follows

    @classmethod
    def by_key(cls, key: ApiKey) -> Access:
        """With an API key."""
        return cls(key.user_id, key_id=key.pk, workspace_id=key.workspace_id)

    def holds(self) -> bool:
        """False once the key is revoked or expired, the session ended, the password changed, the user is suspended
        or not active, or no member of the workspace any more.
        """
        if self.workspace_id is not None:
            mine = Membership.objects.filter(user=self.user_id, workspace=self.workspace_id)
            if not mine.filter(workspace__dissolve_after=None).exists():
                return False
        if self.key_id is not None:
            return ApiKey.objects.usable().filter(pk=self.key_id, user=self.user_id).exists()
        sender = _sender_of_session(self.session_key)
        return sender is not None and sender.user.pk == self.user_id


class Sender(NamedTuple):
    """Who sends a request that nobody has read yet, with either a key or a session."""

    user: User
    key: ApiKey | None
    session: SessionBase | None


def user_of(request: HttpRequest) -> User:
    """The user of a request that login_required or the API's authentication has let through."""
    return cast("User", request.user)


def key_for(secret: str, address: str) -> ApiKey | None:
    """The valid key with this secret; RateLimitedError when too many wrong ones came from this address.

    Its user may be suspended: the caller looks, and refuses.

    Each wrong key costs a query, so the error comes before that. It spares keys that were right in this process: their
    owners may share the address with whoever guesses.
    """
    mark = hashlib.sha256(secret.encode()).digest()
    if mark not in _known:
        rates.refuse_wrong_keys(address)
    key = ApiKey.objects.authenticate(secret)
    if key is None:
        _known.pop(mark, None)
        rates.count_wrong_key(address)
        return None
    _known[mark] = None
    with contextlib.suppress(KeyError):  # another thread was faster
        while len(_known) > KNOWN_KEYS:
            _known.popitem(last=False)
    return key


def key_for_reading(authorization: str, address: str) -> ApiKey | None:
    """The key of an Authorization header, if it has the scope “read”. Errors: see `sender_of`."""
    key = _key_of(authorization, address)
    return key if key is not None and Scope.READ.value in key.scopes else None


def sender_of(headers: Mapping[bytes, bytes], address: str) -> Sender | None:
    """Who sends a request with these headers (names in small letters), before anything else of it is read.

    A request that brings a key is judged by its key alone, as the API does. RateLimitedError: see `key_for`;
    SuspendedError: the right key of somebody who is suspended. (Their sessions ended.)
    """
    if authorization := headers.get(b"authorization", b"").decode("latin-1"):
        key = _key_of(authorization, address)
        return Sender(key.user, key, None) if key is not None else None
    cookies = parse_cookie(headers.get(b"cookie", b"").decode("latin-1"))
    return _sender_of_session(cookies.get(settings.SESSION_COOKIE_NAME))


def _key_of(authorization: str, address: str) -> ApiKey | None:
    kind, _, secret = authorization.partition(" ")
    key = key_for(secret.strip(), address) if kind.lower() == "bearer" else None
    if key is not None and key.user.is_suspended:
        raise SuspendedError(key.user)
    return key


def _sender_of_session(session_key: str | None) -> Sender | None:
    if not session_key:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    if not impersonation.holds(request.session):
        return None
    user = get_user(request)
    is_let_in = user.is_authenticated and user.is_active and not user.is_suspended
    return Sender(cast("User", user), None, request.session) if is_let_in else None


def take_slot(kind: str, workspace: Workspace, *, most: int) -> str | None:
    """The cache key of a free slot for one more open connection of this kind; None when the workspace has `most` open.

    Slots are counted over all processes. Write the key again within SLOT_SECONDS to keep a slot; delete it to
    give the slot back.
    """
    # In any order: whoever has few connections open finds a free slot at the first try.
    for number in random.sample(range(most), most):
        slot = f"{kind}.workspace.{workspace.pk}.{number}"
        if cache.add(slot, True, SLOT_SECONDS):
            return slot
    return None
