"""Signing in with Google, GitHub or a server that speaks OpenID Connect (SIGN_IN_PROVIDERS).

An address that a provider names never opens an account that is there already: whoever signs in with it gets a mail at
that address instead, and connects the provider after signing in as usual.
"""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin
from requests import RequestException

from accounts import claims, invited

logger = logging.getLogger(__name__)


class ProvidersAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """Who may create an account through a provider, and what is said when it does not work."""

    error_messages = DefaultSocialAccountAdapter.error_messages | {
        "no_password": "Set a password first. Otherwise you could not sign in any more.",
        "disconnect_last": "This is your only way to sign in. Connect another one first.",
        "connected_other": "Another account here is connected with it.",
    }

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Addresses that the provider verified are free of others' claims.

        Some providers write “false”, which is true in Python.
        """
        for address in sociallogin.email_addresses:
            address.verified = str(address.verified).lower() == "true"
        if not sociallogin.is_existing:
            for address in sociallogin.email_addresses:
                if address.verified:
                    claims.drop(address.email)

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """True when anybody may, when this provider's people may, or when its address was invited."""
        chosen = {each.id or each.provider: each for each in settings.SIGN_IN_PROVIDERS}
        provider = chosen.get(sociallogin.provider.sub_id)
        if settings.SIGNUP_OPEN or (provider is not None and provider.signup):
            return True
        verified = {each.email.lower() for each in sociallogin.email_addresses if each.verified}
        return invited.address_of(request) in verified

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        """The log says why; people learn only that it did not work."""
        logger.warning("Signing in with %s failed: %s %s", provider.sub_id, error or "", exception or "")


class LeaveByPage(MiddlewareMixin):
    """Sends people to a provider by a page, and says so when it does not answer.

    The content security policy lets forms go to this site alone, and browsers apply that to where a form's answer
    redirects, too. The form keeps other sites from signing somebody in without a click.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """A page that goes on to the provider by itself, instead of a redirect; other answers as they are."""
        target = response.get("Location", "")
        if request.method != "POST" or response.status_code != 302 or not urlsplit(target).netloc:
            return response
        if not _is_about_a_provider(request) or urlsplit(target).netloc == request.get_host():
            return response
        page = render(request, "socialaccount/leaving.html", {"target": target, "host": urlsplit(target).hostname})
        page["Cache-Control"] = "no-store"
        return page

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """503 when a provider does not answer, or not as its protocol says."""
        if not isinstance(exception, RequestException | LookupError | ValueError) or not _is_about_a_provider(request):
            return None
        logger.warning("A provider does not answer as it should: %r", exception)
        return render(request, "socialaccount/authentication_error.html", status=503)


def _is_about_a_provider(request: HttpRequest) -> bool:
    match = request.resolver_match
    name = (match.url_name or "") if match else ""
    return name.endswith(("_login", "_callback")) and name not in {"account_login", "mfa_login"}
