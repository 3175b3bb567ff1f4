"""What a part of the site needs beyond Django's own middleware."""

from __future__ import annotations

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin

from comfysaas.bodies import SCOPE_KEY, Refusal
from comfysaas.mount import below_root
from generations.api import envelope

ADMIN_POLICY = {
    "script-src": [SELF, UNSAFE_INLINE, UNSAFE_EVAL],
    "style-src": [SELF, UNSAFE_INLINE],
    "frame-src": [SELF],
}


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
        if below_root(request.path_info).startswith("/api/"):
            headers = {"WWW-Authenticate": 'Bearer realm="comfysaas"'} if refusal.status == 401 else {}
            return envelope(request, refusal.status, refusal.code, refusal.message, headers=headers)
        return render(request, "refused.html", {"refusal": refusal}, status=refusal.status)
