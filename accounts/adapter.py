"""How django-allauth behaves here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """Sign-up is closed unless SIGNUP_OPEN says otherwise."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """True when anybody may create an account."""
        return bool(settings.SIGNUP_OPEN)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """With links to PUBLIC_URL: allauth makes them of the Host header, which whoever asks for a mail chooses."""
        links = {name: _public(value) for name, value in context.items() if name.endswith("_url")}
        host = urlsplit(settings.PUBLIC_URL).netloc
        site = SimpleNamespace(name=host, domain=host)
        super().send_mail(template_prefix, email, {**context, **links, "current_site": site})


def _public(url: str) -> str:
    """The same path on the public host."""
    public = urlsplit(settings.PUBLIC_URL)
    return urlsplit(url)._replace(scheme=public.scheme, netloc=public.netloc).geturl()
