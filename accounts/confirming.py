"""Showing once more who one is, before what is dangerous: what django-allauth leaves to us.

allauth asks for a password, an authenticator app or a passkey, and asks nothing of people who have none of these,
because they sign in with a provider. They get a code by mail.
"""

from __future__ import annotations

import time
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import get_authentication_records, record_authentication
from allauth.account.internal.flows.reauthentication import get_reauthentication_flows
from allauth.account.views import BaseReauthenticateView
from allauth.core.exceptions import ReauthenticationRequired
from allauth.core.internal import ratelimit
from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.crypto import constant_time_compare, get_random_string, salted_hmac
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache

from accounts.access import user_of
from accounts.models import User

KEY = "mailed_code"
CODE_SECONDS = 900
CODE_LENGTH = 8
CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ23456789"  # no words, and nothing that looks like something else


def is_confirmed(request: HttpRequest) -> bool:
    """Whether somebody showed in this session, a short time ago, once more who they are."""
    return any(each.get("reauthenticated") for each in _recent(request))


def has_just_signed_in(request: HttpRequest) -> bool:
    """Whether this session began, or was confirmed, a short time ago."""
    return bool(_recent(request))


def ensure(request: HttpRequest) -> None:
    """ReauthenticationRequired unless `is_confirmed`: allauth asks who it is, and then sends the request once more."""
    if not is_confirmed(request):
        raise ReauthenticationRequired


def needs_code(user: Any) -> bool:
    """Whether there is no other way to ask this person than a mail."""
    return bool(user.is_authenticated) and not get_reauthentication_flows(user)


class MailedCodeForm(forms.Form):
    """Asks for the code."""

    code = forms.CharField(
        max_length=40,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "autocapitalize": "characters", "spellcheck": "false"}
        ),
    )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request = request

    def clean_code(self) -> str:
        """ValidationError for a wrong or old one, and after too many tries. The right one is used up."""
        if not ratelimit.consume(self._request, app="allauth.account", action="code_tried"):
            msg = "Too many attempts. Try again later."
            raise forms.ValidationError(msg)
        typed = "".join(filter(str.isalnum, str(self.cleaned_data["code"]))).upper()
        known, until = self._request.session.get(KEY) or ("", 0.0)
        if time.time() > until or not constant_time_compare(known, _digest(user_of(self._request), typed)):
            msg = "The code is wrong, or too old. Enter the newest one that we sent you, or get another one."
            raise forms.ValidationError(msg)
        del self._request.session[KEY]
        return typed


@method_decorator([login_required, never_cache], name="dispatch")
class CodeByMail(BaseReauthenticateView):  # type: ignore[misc]  # allauth ships no types
    """Mails a code to whoever is signed in, and asks for it."""

    form_class = MailedCodeForm
    template_name = "account/reauthenticate_by_mail.html"

    def get_form_kwargs(self) -> dict[str, Any]:
        """With the request, whose session knows the code."""
        return {**super().get_form_kwargs(), "request": self.request}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With whether a code is on its way."""
        return {**super().get_context_data(**kwargs), "is_sent": _is_sent(self.request.session)}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Send a code, or look at the one that was entered."""
        if "send" not in request.POST:
            answer: HttpResponse = super().post(request, *args, **kwargs)
            return answer
        if not ratelimit.consume(request, app="allauth.account", action="code_sent"):
            form = self.form_class(request=request, data=None)
            context = self.get_context_data(form=form, refusal="You got several codes already. Try again later.")
            refused: HttpResponse = self.render_to_response(context, status=429)
            return refused
        _send(request)
        return HttpResponseRedirect(self.passthrough_next_url(request.path))

    def form_valid(self, form: MailedCodeForm) -> HttpResponse:
        """Note it, and go on with what was asked for."""
        record_authentication(self.request, self.request.user, method="mailed_code", reauthenticated=True)
        answer: HttpResponse = super().form_valid(form)
        return answer


def page() -> str:
    """Where a code is asked for."""
    return reverse("account_reauthenticate_by_mail")


def _recent(request: HttpRequest) -> list[dict[str, Any]]:
    since = time.time() - settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
    return [each for each in get_authentication_records(request, request.user) if each["at"] > since]


def _is_sent(session: SessionBase) -> bool:
    return KEY in session and session[KEY][1] > time.time()


def _send(request: HttpRequest) -> None:
    """A new code by mail; an earlier one no longer works. The session keeps what proves it, not the code."""
    user, code = user_of(request), get_random_string(CODE_LENGTH, CODE_LETTERS)
    request.session[KEY] = [_digest(user, code), time.time() + CODE_SECONDS]
    half = CODE_LENGTH // 2
    context = {"code": f"{code[:half]}-{code[half:]}", "minutes": CODE_SECONDS // 60}
    get_adapter().send_mail("account/email/mailed_code", user.email, context)


def _digest(user: User, code: str) -> str:
    return salted_hmac("accounts.confirming", f"{user.pk} {code}").hexdigest()
