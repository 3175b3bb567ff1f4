"""Asking for one's account to be deleted, and keeping it after all."""

from __future__ import annotations

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.formats import date_format

from accounts import closing
from accounts.access import user_of
from accounts.methods import post_only


@login_required
@reauthentication_required(allow_get=True)  # type: ignore[untyped-decorator]  # allauth ships no types
@post_only("data")
def close(request: HttpRequest) -> HttpResponse:
    """Close the account, which is deleted later. `confirm` is its address, which shows that this is no slip."""
    person = user_of(request)
    if request.POST.get("confirm", "").strip().lower() != person.email.lower():
        messages.error(request, "Type the e-mail address of your account to confirm that it shall be deleted.")
        return redirect("data")
    try:
        after = closing.close(person)
    except closing.ClosingError as refusal:
        messages.error(request, str(refusal))
        return redirect("data")
    logout(request)
    day = date_format(timezone.localtime(after), "j F Y")
    messages.info(request, f"Your account is closed and will be deleted on {day}. To keep it, sign in before then.")
    return redirect("account_login")


@post_only("account_login")
def keep(request: HttpRequest) -> HttpResponse:
    """Open the account again. `pass` shows that whoever asks proved a moment ago to be its owner."""
    person = closing.holder_of(request.POST.get("pass", ""))
    if person is not None and closing.keep(person):
        messages.info(request, "Your account stays. Sign in to go on.")
    else:
        messages.error(request, "That took too long. Sign in once more to keep your account.")
    return redirect("account_login")
