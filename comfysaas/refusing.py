"""Answers everything that is refused before a view runs: as the API, as part of a page, or as a page."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url
from django.utils.http import urlencode
from django_htmx.http import reswap, retarget

from comfysaas.bodies import Refusal
from comfysaas.mount import below_root
from generations.api.envelope import envelope

_HEADINGS = {
    400: "The form did not arrive completely",
    401: "Sign in first",
    403: "You may not do this",
    405: "This page cannot be opened",
    413: "The request is too large",
    429: "Too many requests",
}
_HEADINGS_OF_CODES = {"csrf_failed": "Reload the page", "storage_full": "Your storage is full"}
SIGNED_OUT = "You are signed out."
CSRF = "The page was open too long, or your browser blocks cookies. Reload the page and try again."
METHOD = "This address only accepts a form. Open the page with that form and send it from there."


def refuse(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """The answer with the refusal's status. For htmx a notice, which site.js lets through."""
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    if below_root(request.path_info).startswith("/api/"):
        if refusal.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="comfysaas"'
        return envelope(request, refusal.status, refusal.code, refusal.message, headers=headers)
    # Bodies are refused before htmx's middleware has looked at the request.
    is_part = request.headers.get("HX-Request") == "true"
    is_signed_out = refusal.status == 401
    context = {
        "refusal": refusal,
        "heading": _HEADINGS_OF_CODES.get(refusal.code) or _HEADINGS.get(refusal.status, "That did not work"),
        "message": SIGNED_OUT if is_signed_out else refusal.message,
        "sign_in": sign_in_address(request) if is_signed_out else "",
    }
    template = "_refused.html" if is_part else "refused.html"
    response = render(request, template, context, status=refusal.status)
    for name, value in headers.items():
        response[name] = value
    return reswap(retarget(response, "#notices"), "innerHTML") if is_part else response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form whose CSRF token is missing or wrong; Django's reason is for its log."""
    return refuse(request, Refusal(403, "csrf_failed", CSRF))


def sign_in_address(request: HttpRequest) -> str:
    """The sign-in page, which leads back to the page whose script sent the request."""
    query = urlencode({REDIRECT_FIELD_NAME: _page_of(request) or settings.ROOT_PATH})
    return f"{resolve_url(settings.LOGIN_URL)}?{query}"


def _page_of(request: HttpRequest) -> str:
    """Path and query of the page, if it is one of this site; else ""."""
    try:
        page = urlsplit(request.headers.get("HX-Current-URL", ""))
    except ValueError:
        return ""
    ours = {settings.PUBLIC_ORIGIN, f"{request.scheme}://{request.get_host()}"}
    is_ours = f"{page.scheme}://{page.netloc}" in ours and not page.path.startswith("//")
    return page._replace(scheme="", netloc="", fragment="").geturl() if is_ours else ""
