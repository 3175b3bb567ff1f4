"""Middleware: refusals, rates of pages, sign-in for htmx, messages, and the content security policy."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from urllib.parse import urlsplit

from csp.constants import HEADER, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware
from csp.utils import build_policy
from django.conf import settings
from django.contrib.messages.middleware import MessageMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin
from django_htmx.http import HttpResponseClientRedirect

from accounts import rates
from accounts.addresses import address_of
from accounts.rates import RateLimitedError
from comfysaas.bodies import SCOPE_KEY, Refusal
from comfysaas.mount import below_root
from comfysaas.refusing import METHOD, refuse, sign_in_address

ADMIN_POLICY = {
    "script-src": [SELF, UNSAFE_INLINE, UNSAFE_EVAL],
    "style-src": [SELF, UNSAFE_INLINE],
    "frame-src": [SELF],
}
_OWN_POLICY = {"_csp_config", "_csp_exempt", "_csp_replace", "_csp_update"}  # attributes of a response, for django-csp

# Not pages: probes, and what browsers fetch beside a page by themselves.
_UNCOUNTED = {"/healthz", "/readyz", "/favicon.ico"}
_STATIC = "/static/"
_API = "/api/v2/"


def _is_for_programs(path: str) -> bool:
    """Whether this path, below the site's own, is asked by programs and probes, which read no pages."""
    return path in _UNCOUNTED or (path.startswith(_API) and path != f"{_API}openapi.json")


class ContentSecurityPolicy(CSPMiddleware):
    """django-csp's, which puts each header together anew: the usual one is made once.

    The admin's theme evaluates expressions in attributes (Alpine): a looser policy there, and only there.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)
        self._usual = build_policy()

    @cached_property
    def _admin(self) -> str:
        return reverse("admin:index")

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The response with its policy, unless the view has set that header itself."""
        if request.path.startswith(self._admin):
            own = getattr(response, "_csp_replace", {})  # what the view itself asked for
            response._csp_replace = {**ADMIN_POLICY, **own}  # type: ignore[attr-defined]  # read by django-csp
        is_usual = not hasattr(request, "_csp_nonce") and _OWN_POLICY.isdisjoint(vars(response))
        if settings.DEBUG or not is_usual:
            return super().process_response(request, response)
        response.headers.setdefault(HEADER, self._usual)
        return response


class Messages(MessageMiddleware):
    """Django's, for pages alone: answers to programs carry no messages, so none are looked up for them."""

    def process_request(self, request: HttpRequest) -> None:
        """Read those that wait, when somebody may see them."""
        if not _is_for_programs(below_root(request.path_info)):
            super().process_request(request)


class Refusals(MiddlewareMixin):
    """Answers requests whose bodies were not read (see `comfysaas.bodies`), as the API or as a page."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """The refusal; None for a request that goes on."""
        refusal: Refusal | None = getattr(request, "scope", {}).get(SCOPE_KEY)
        if refusal is None:
            return None
        return refuse(request, refusal)


class PageLimits(MiddlewareMixin):
    """Limits how many pages somebody opens. The API counts for itself; static files never come here."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """429; None for a request that goes on."""
        path = below_root(request.path_info)
        if _is_for_programs(path) or path.startswith(_STATIC):
            return None
        try:
            rates.count_page(request.user if request.user.is_authenticated else None, address_of(request))
        except RateLimitedError as error:
            refusal = Refusal(429, "rate_limited", str(error), error.allowance.reset_seconds)
            return refuse(request, refusal)
        return None


class SignInAgain(MiddlewareMixin):
    """Sends the whole page to the sign-in when htmx asks for a part; otherwise htmx shows the sign-in page in it."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """401 and where to go, for requests of pages' scripts; other answers as they are."""
        target = urlsplit(response.get("Location", "")).path
        if (
            response.status_code != 302
            or not getattr(request, "htmx", False)
            or target not in {resolve_url(settings.LOGIN_URL), reverse("admin:login")}
            or request.user.is_authenticated
        ):
            return response
        again = HttpResponseClientRedirect(sign_in_address(request))
        again.status_code = 401
        return again


class MethodPage(MiddlewareMixin):
    """Django's answer to an unknown method is an empty page: this gives it words."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """A page for 405 with the same `Allow`; other answers as they are."""
        if response.status_code != 405 or response.streaming or getattr(response, "content", None):
            return response
        page = refuse(request, Refusal(405, "method_not_allowed", METHOD))
        page["Allow"] = response.get("Allow", "")
        return page
