"""How django-allauth behaves here."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal import ratelimit
from django.conf import settings
from django.contrib import messages
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme

from accounts import closing, confirming, devices, invited, mails, standing, time_zones
from accounts.addresses import address_of
from accounts.models import User
from accounts.sessions import browser_of

UNKNOWN_ADDRESS = "0.0.0.0"  # noqa: S104  (nothing listens there)


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """Sign-up is closed unless SIGNUP_OPEN or SIGNUP_BY_INVITATION says otherwise."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": "The e-mail address or the password is wrong.",
        "email_taken": "A user with this e-mail address exists already.",
    }

    def get_client_ip(self, request: HttpRequest) -> str:
        """Where the request comes from, as everywhere here; allauth fails for one that passed fewer proxies."""
        seen = address_of(request).partition("/")[0]
        try:
            ip_address(seen)
        except ValueError:
            return UNKNOWN_ADDRESS
        return seen

    def is_safe_url(self, url: str | None) -> bool:
        """Whether somebody may be sent there afterwards: to a page of the site as this browser sees it.

        allauth takes all of ALLOWED_HOSTS, such as localhost, which is somebody else's in somebody else's browser.
        """
        request = context.request
        hosts = {request.get_host(), urlsplit(settings.PUBLIC_URL).netloc}
        return url_has_allowed_host_and_scheme(url, hosts, require_https=request.is_secure())

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """True when anybody may create an account, or when this browser holds an invitation."""
        return bool(settings.SIGNUP_OPEN) or invited.address_of(request) is not None

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """How this person can show once more who they are; a code by mail where there is no other way."""
        found: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        if not found and confirming.needs_code(user):
            return [{"id": "mailed_code", "description": "Get a code by mail", "url": confirming.page()}]
        return found

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Whether `app` asks. ReauthenticationRequired for people whom allauth would ask nothing."""
        required = bool(super().is_reauthentication_required(app=app, **kwargs))
        if required and confirming.needs_code(context.request.user):
            confirming.ensure(context.request)
        return required

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """ValidationError after too many wrong passwords: for this account from this address, and for this account from
        everywhere. A browser that signed in before has attempts of its own, which nobody else can use up.
        """
        email = _email(credentials)
        device = devices.known(request, email)
        used = []
        for action, key in _attempts(request, email, device):
            usage = ratelimit.consume(request, app="allauth.account", action=action, key=key)
            if not usage:
                raise self.validation_error("too_many_login_attempts")
            used += usage.usage
        self._login_failed_rl_usage = ratelimit.RateLimitUsage(used)  # given back when the password was right

    def _delete_login_attempts_cached_email(self, request: HttpRequest, **credentials: Any) -> None:
        """After a reset by mail the new password works at once, whatever was guessed before, and so does the second
        factor: whoever knew the old password can no longer use up its attempts.
        """
        email = _email(credentials)
        owners = User.objects.filter(email=email).values_list("pk", flat=True)
        second = [("login_failed", f"mfa-auth-user-{pk}") for pk in owners]  # as allauth's mfa counts them
        for action, key in [*_attempts(request, email, None), *second]:
            ratelimit.clear(request, app="allauth.account", action=action, key=key)

    def pre_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse | None:
        """Whoever proved to be a suspended person reads that they are; nobody else learns it."""
        response: HttpResponse | None = super().pre_login(request, user, **kwargs)
        is_out = (
            user.is_suspended and not user.may_keep
        )  # others go on: `login` asks once they have proved who they are
        return response or (_suspended(request, user) if is_out else None)

    def login(self, request: HttpRequest, user: User) -> None:
        """ImmediateHttpResponse for somebody who was suspended between the steps of the sign-in, and for the owner of a
        closed account, who is asked whether to keep it.
        """
        if user.may_keep:
            context = {"person": user, "pass": closing.pass_for(user)}
            raise ImmediateHttpResponse(render(request, "account/closed.html", context))
        if user.is_suspended:
            raise ImmediateHttpResponse(_suspended(request, user))
        super().login(request, user)

    def post_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse:
        """Remembers the browser."""
        response: HttpResponse = super().post_login(request, user, **kwargs)
        devices.remember(response, user.email)
        return response

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """False, with a message, when another account has this address by now. All or nothing."""
        try:
            with transaction.atomic():
                return bool(super().confirm_email(request, email_address))
        except IntegrityError:  # the user's own address is unique, confirmed or not
            template = "account/messages/email_confirmation_failed.txt"
            self.add_message(request, messages.ERROR, template, {"email": email_address.email})
            return False

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """With links to PUBLIC_URL: allauth makes them of the Host header, which whoever asks for a mail chooses.

        Needs no request, so that workers can send mails, too. Moments are in the recipient's time zone, `zone`.
        """
        links = {name: _public(value) for name, value in context.items() if name.endswith("_url")}
        name = User.objects.filter(email=email.lower()).values_list("time_zone", flat=True).first() or ""
        with time_zones.reading_in(name) as zone:
            self.render_mail(template_prefix, email, {"email": email, "zone": zone, **context, **links}).send()

    def render_mail(
        self,
        template_prefix: str,
        email: str | list[str],
        context: dict[str, Any],
        headers: dict[str, str] | None = None,
    ) -> EmailMessage:
        """In our look: `accounts.mails` says what a template is."""
        known = {
            "site": urlsplit(settings.PUBLIC_URL).netloc,
            "site_url": settings.PUBLIC_URL,
            "is_signup_open": settings.SIGNUP_OPEN,
            "browser": browser_of(str(context.get("user_agent") or "")),
            "when": context.get("timestamp"),
        }
        mail = mails.render(template_prefix, {**known, **context})
        to = [email] if isinstance(email, str) else email
        subject = self.format_email_subject(mail.subject)
        message = EmailMultiAlternatives(subject, mail.text, self.get_from_email(), to, headers=headers)
        message.attach_alternative(mail.html, "text/html")
        return message


def _suspended(request: HttpRequest, user: User) -> HttpResponse:
    return render(request, "account/suspended.html", {"notice": standing.notice(user)}, status=403)


def _email(credentials: dict[str, Any]) -> str:
    return str(credentials.get("email") or "").lower()


def _attempts(request: HttpRequest, email: str, device: str | None) -> list[tuple[str, str]]:
    """(limit in ACCOUNT_RATE_LIMITS, what it counts)."""
    if device:
        return [("login_failed_device", f"{email} {device}")]
    return [("login_failed", f"{email} {ratelimit.get_ip(request)}"), ("login_failed_anywhere", email)]


def _public(url: str) -> str:
    """The same path on the public host."""
    public = urlsplit(settings.PUBLIC_URL)
    return urlsplit(url)._replace(scheme=public.scheme, netloc=public.netloc).geturl()
