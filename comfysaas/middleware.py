"""What a part of the site needs beyond Django's own middleware."""

from __future__ import annotations

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin
from django_htmx.http import reswap, retarget

from accounts import limits
from accounts.limits import RateLimitedError
from comfysaas.bodies import SCOPE_KEY, Refusal
from comfysaas.mount import below_root
from generations.api import envelope

ADMIN_POLICY = {
    "script-src": [SELF, UNSAFE_INLINE, UNSAFE_EVAL],
    "style-src": [SELF, UNSAFE_INLINE],
    "frame-src": [SELF],
}


_PROBES = {"/healthz", "/readyz"}
_API = "/api/v2/"


class AdminContentSecurityPolicy(MiddlewareMixin):
    """The admin's theme evaluates expressions in attributes (Alpine): a looser policy there, and only there.

    Knows both worlds (MiddlewareMixin), so that the async views behind it stay async.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Tell django-csp, which adds the header, what to replace."""
        if request.path.startswith(reverse("admin:index")):
            own = getattr(response, "_csp_replace", {})  # what the view itself asked for
            response._csp_replace = {**ADMIN_POLICY, **own}  # type: ignore[attr-defined]  # read by csp.middleware
        return response


class Refusals(MiddlewareMixin):
    """Answers requests whose bodies were not read (see `comfysaas.bodies`), as the API or as a page."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """The refusal; None for a request that goes on."""
        refusal: Refusal | None = getattr(request, "scope", {}).get(SCOPE_KEY)
        if refusal is None:
            return None
        return _answer(request, refusal)


class PageLimits(MiddlewareMixin):
    """How many pages somebody may open; the API counts for itself. Static files are served before they come here."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """429; None for a request that goes on."""
        path = below_root(request.path_info)
        if path in _PROBES or (path.startswith(_API) and path != f"{_API}openapi.json"):
            return None
        try:
            limits.count_page(request.user if request.user.is_authenticated else None, limits.address_of(request))
        except RateLimitedError as error:
            refusal = Refusal(429, "rate_limited", str(error), error.allowance.reset_seconds)
            return _answer(request, refusal)
        return None


def _answer(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """As the API, as a part of a page, or as a page."""
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    if below_root(request.path_info).startswith("/api/"):
        if refusal.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="comfysaas"'
        return envelope(request, refusal.status, refusal.code, refusal.message, headers=headers)
    is_part = getattr(request, "htmx", False)
    template = "_refused.html" if is_part else "refused.html"
    response = render(request, template, {"refusal": refusal}, status=refusal.status)
    for name, value in headers.items():
        response[name] = value
    return reswap(retarget(response, "#notices"), "innerHTML") if is_part else response
