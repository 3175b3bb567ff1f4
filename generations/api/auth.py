"""Who calls, a program with an API key or a browser with its session, and how often they may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from ninja.errors import HttpError
from ninja.security import HttpBearer
from ninja.security.session import SessionAuth as NinjaSessionAuth
from ninja.utils import check_csrf

from accounts import confirming, current, rates
from accounts.access import key_for, user_of
from accounts.addresses import address_of
from accounts.models import ApiKey, Scope, SuspendedError, User
from accounts.workspaces import DissolvingError, NotAllowedError, WorkspaceError

if TYPE_CHECKING:
    from ninja.security.base import AuthBase


class NotConfirmedError(Exception):
    """Whoever is signed in has to show once more who they are; `str()` says where."""

    def __init__(self) -> None:
        page = f"{settings.PUBLIC_ORIGIN}{reverse('account_reauthenticate')}"
        super().__init__(f"Open {page} in this browser, confirm that it is you, then try again. Or use an API key.")


class ApiKeyAuth(HttpBearer):
    """`Authorization: Bearer csk_…`, with a key that has this scope."""

    openapi_description = "An API key of your account, `csk_…`."

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        """The key's user, who becomes the request's; None for a wrong key. HttpError 403 when the key lacks the scope.

        RateLimitedError: too many requests of this key or workspace, or too many wrong keys from this address.
        SuspendedError: the key's user is suspended. DissolvingError: the key's team is closed.
        """
        key = key_for(token, address_of(request))
        if key is None:
            if ApiKey.objects.is_of_dissolving(token):
                raise DissolvingError
            return None
        request.user = key.user
        remember(request, key)
        _count(request, key)
        if key.user.is_suspended:
            raise SuspendedError
        need(request, self.scope)
        _check_workspace(request)
        return key.user


class SessionAuth(NinjaSessionAuth):
    """The browser's session. The CSRF token is checked after the user: without a session the answer is 401, not 403."""

    openapi_description = "The session of a browser that is signed in. Unsafe methods need the header `X-CSRFToken`."

    def __init__(self) -> None:
        super().__init__(csrf=False)

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        """The session's user. HttpError 403 when an unsafe method lacks the token; SuspendedError.

        A request that brings a key is judged by its key alone: a wrong one must not go unnoticed.
        """
        user = request.user
        if not user.is_authenticated or "Authorization" in request.headers:
            return None
        _count(request, None)
        if user.is_suspended:
            raise SuspendedError
        if check_csrf(request):
            raise HttpError(403, "The header X-CSRFToken is missing or wrong. Reload the page and try again.")
        _check_workspace(request)
        return user


def allowed(scope: Scope) -> list[AuthBase]:
    """Sessions, and keys with this scope."""
    return [ApiKeyAuth(scope), SessionAuth()]


def need(request: HttpRequest, scope: Scope) -> None:
    """HttpError 403 when the request has a key that lacks this scope."""
    key = key_of(request)
    if key is not None and scope.value not in key.scopes:
        raise HttpError(403, f"This key lacks the scope “{scope.value}”. Use a key that has it.")


def remember(request: HttpRequest, key: ApiKey) -> None:
    """Note which key the request was authenticated with."""
    cast("Any", request).api_key = key


def key_of(request: HttpRequest) -> ApiKey | None:
    """The key that the request was authenticated with; None for a session."""
    return getattr(request, "api_key", None)


def refuse_team_keys(request: HttpRequest) -> None:
    """NotAllowedError for a key of a team: whoever leaks it must not open more than that team."""
    if key_of(request) and not current.workspace_of(request).is_personal:
        msg = "This key works in a team. Use a session, or a key of your personal workspace."
        raise NotAllowedError(msg)


def confirm(request: HttpRequest, *, is_sign_in_enough: bool = False) -> None:
    """NotConfirmedError for a session in which nobody has shown lately who they are. Keys were given their scopes.

    For whatever the pages ask a confirmation for, too: a session that somebody left open must not become a key.
    """
    is_known = confirming.has_just_signed_in if is_sign_in_enough else confirming.is_confirmed
    if key_of(request) is None and not is_known(request):
        raise NotConfirmedError


def staff(request: HttpRequest, permission: str) -> User:
    """The caller, who is staff and has this permission; else HttpError 403."""
    user = user_of(request)
    if not (user.is_staff and user.has_perm(permission)):
        raise HttpError(403, "Only staff with the right permission can do this.")
    return user


def _check_workspace(request: HttpRequest) -> None:
    """NotAMemberError or NotAllowedError when the header names a workspace that the caller does not work in."""
    if current.HEADER in request.headers:
        current.workspace_of(request)


def _count(request: HttpRequest, key: ApiKey | None) -> None:
    """A header that names nobody's workspace is refused after it is counted."""
    try:
        workspace = current.workspace_of(request)
    except WorkspaceError:
        workspace = current.workspace_of_key(key) if key is not None else current.session_membership(request).workspace
    cast("Any", request).allowance = rates.count(workspace, key)
