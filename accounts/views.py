"""The account's pages: API keys."""

from __future__ import annotations

from allauth.account.decorators import reauthentication_required
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.access import user_of
from accounts.current import chosen_workspace
from accounts.forms import KeyForm
from accounts.methods import post_only
from accounts.models import MAX_KEYS, ApiKey, KeyRefusedError, TooManyKeysError, User, Workspace


@login_required
@reauthentication_required(allow_get=True)  # type: ignore[untyped-decorator]  # allauth ships no types
@never_cache
@require_http_methods(["GET", "POST"])
def keys(request: HttpRequest) -> HttpResponse:
    """The user's keys, and a form for another one. Only the answer to the form shows a new secret.

    Whoever asks for one shows once more who they are: a key outlives the session that it was made in.
    """
    user = user_of(request)
    form = KeyForm(request.POST if request.method == "POST" else None)
    secret, status = "", 200
    if request.method == "POST":
        secret = _issue(user, form, chosen_workspace(request))
        status = 201 if secret else 422
        form = KeyForm() if secret else form
    context = {
        "keys": ApiKey.objects.for_member(user).in_workspace(chosen_workspace(request)).select_related("workspace"),
        "form": form,
        "secret": secret,
        "site": settings.PUBLIC_URL,
    }
    return render(request, "account/keys.html", context, status=status)


def _issue(user: User, form: KeyForm, workspace: Workspace) -> str:
    """The new key's secret; empty when the form says why there is none."""
    if not form.is_valid():
        return ""
    data = form.cleaned_data
    try:
        _key, secret = ApiKey.objects.issue(
            user=user, workspace=workspace, name=data["name"], scopes=data["scopes"], expires_at=form.expires_at()
        )
    except TooManyKeysError:
        form.add_error(None, f"You already have {MAX_KEYS} keys, the most that is possible. Revoke one first.")
        return ""
    except KeyRefusedError as error:
        form.add_error(None, str(error))
        return ""
    return secret


@login_required
@post_only("api-keys")
def revoke_key(request: HttpRequest, prefix: str) -> HttpResponse:
    """Revoke the key, which stops working at once."""
    mine = ApiKey.objects.for_member(request.user)
    found = get_object_or_404(mine, prefix=prefix)
    mine.filter(pk=found.pk).revoke()
    messages.info(request, f"The key “{found.name}” was revoked, and its connections were closed.")
    return redirect("api-keys")
