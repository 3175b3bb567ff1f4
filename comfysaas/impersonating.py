"""While staff impersonate somebody: what is open to them, and that everything is logged with both identities.

What is not listed here is closed: a page that somebody adds must not hand out a person's account by being forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin
from django_htmx.http import HttpResponseClientRedirect

from accounts import audit, impersonation, standing
from accounts.access import user_of
from accounts.impersonation import Impersonation
from accounts.methods import post_only
from accounts.models import SuspendedError, User
from comfysaas.bodies import Refusal
from comfysaas.mount import below_root
from comfysaas.refusing import refuse

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# To look at: work and results, and pages that show settings without secrets.
OPEN = frozenset({
    "gallery", "template", "template-cover", "history", "generation", "generation-panel", "asset", "asset-thumbnail",
    "storage", "avatar", "workspaces", "workspace", "api-docs", "api-openapi", "healthz", "readyz", "favicon",
    "api:listTemplates", "api:getTemplate", "api:listJobs", "api:getJob", "api:getJobWorkflow", "api:getJobEvents",
    "api:headAssetByHash", "api:getAsset", "api:getAssetContent", "api:getMe", "api:getUsage", "api:listWorkspaces",
    "api:getWorkspace", "api:listMembers",
})  # fmt: skip
# To do: what helps to see what that person sees. Nothing that deletes, and nothing about the account.
DOABLE = frozenset({
    "template", "open-result", "generation-cancel", "generation-rerun", "workspace-switch", "impersonation-end",
    "account_logout",
})  # fmt: skip
# Fetched by pages that are logged themselves, again and again.
QUIET = frozenset({
    "generation-panel", "asset-thumbnail", "template-cover", "avatar", "api-openapi", "healthz", "readyz", "favicon",
    "impersonation-end",    "account_logout",
})  # fmt: skip
CLOSED = (
    "This is closed while you impersonate somebody: nothing about the account can be seen or changed, and nothing is "
    "deleted. End the impersonation first."
)
ENDED = "You are yourself again: {}."


class Impersonating(MiddlewareMixin):
    """Knows who really sends a request, ends impersonations, and refuses what is closed to them.

    Also the last line against suspended people, whose sessions ended: it finds them in what is loaded already.
    """

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:
        """Set `request.impersonator`; or the answer to a session that does not hold any more."""
        request.impersonator = None  # type: ignore[attr-defined]  # read by `accounts.audit`
        is_api = below_root(request.path_info).startswith("/api/v2/")
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or (is_api and "Authorization" in request.headers):
            return None  # the API judges a request with a key by the key alone; pages do not look at that header
        # Before anybody asks for the user: Django throws away a session whose user does not fit any more.
        found = Impersonation.of(request.session)
        if found is None:
            return _refuse_suspended(request)
        why, staff, _person = impersonation.why_over(found, request.session)
        if why:
            return _end(request, why, staff)
        request.impersonator = staff  # type: ignore[attr-defined]
        return None

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        """Log it, and refuse what is closed."""
        if getattr(request, "impersonator", None) is None or request.resolver_match is None:
            return None
        name = request.resolver_match.view_name or ""
        is_open = _is_open(name, request.method or "GET")
        if name not in QUIET or not is_open:
            details: dict[str, Any] = {"method": request.method, "path": request.path}
            if not is_open:
                details["refused"] = True
            audit.note(request, audit.IMPERSONATED, user_of(request), **details)
        return None if is_open else refuse(request, Refusal(403, "impersonating", CLOSED))

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A page's answer to somebody who was suspended while they sent it."""
        return _suspended(request) if isinstance(exception, SuspendedError) else None


def _is_open(name: str, method: str) -> bool:
    return name in (OPEN if method in SAFE else DOABLE)


def _end(request: HttpRequest, why: str, staff: User | None) -> HttpResponseBase:
    found = impersonation.end(request, why=why)
    if staff is None:  # nobody to give the session back to
        logout(request)
    if below_root(request.path_info).startswith("/api/"):
        return refuse(request, Refusal(403, "impersonation_ended", ENDED.format(why)))
    target = after(found) if staff is not None else reverse("account_login")
    if staff is not None:
        messages.info(request, ENDED.format(why))
    return HttpResponseClientRedirect(target) if request.headers.get("HX-Request") else HttpResponseRedirect(target)


def after(found: Impersonation | None) -> str:
    """Where staff go on: the page of that person in the admin."""
    return reverse("admin:person", args=[found.person_id]) if found else reverse("admin:index")


def _refuse_suspended(request: HttpRequest) -> HttpResponse | None:
    if below_root(request.path_info).startswith("/api/") or not request.user.is_authenticated:
        return None  # the API looks for itself
    if not request.user.is_suspended:
        return None
    answer = _suspended(request)
    logout(request)
    return answer


def _suspended(request: HttpRequest) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return refuse(request, Refusal(403, "account_suspended", standing.notice(request.user)))
    return render(request, "account/suspended.html", {"notice": standing.notice(request.user)}, status=403)


@login_required
@post_only("gallery")
def end(request: HttpRequest) -> HttpResponse:
    """The banner's button."""
    found = impersonation.end(request, why=impersonation.ASKED)
    if found is None:
        return HttpResponseRedirect(reverse("gallery"))
    messages.info(request, "You are yourself again.")
    return HttpResponseRedirect(after(found))
