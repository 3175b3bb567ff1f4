"""The page about oneself, and pictures of people."""

from __future__ import annotations

import tempfile
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from accounts import profile, time_zones
from accounts.access import user_of
from accounts.concurrency import aside
from accounts.current import chosen_workspace
from accounts.methods import post_only
from accounts.models import Avatar, User, Workspace
from accounts.rates import RateLimitedError, count_upload
from generations import database
from generations.comfy import decoders, pictures
from generations.files import delivery, spooling

MAX_MEGABYTES = 5
TOO_LARGE = f"The picture is larger than {MAX_MEGABYTES} MB. Choose a smaller one."
NO_PICTURE = "This file cannot be read as a picture. Use a PNG, JPEG or WebP."


class PictureError(Exception):
    """The file does not become a picture of a person; `str()` says why."""


NOTIFY = [
    ("", "Never"),
    *((str(each), f"If it took {each} minute{'s' if each > 1 else ''} or longer") for each in profile.NOTIFY_MINUTES),
]


class ProfileForm(forms.Form):
    """Name, time zone, and which e-mails to get."""

    name = forms.CharField(
        required=False,
        max_length=profile.NAME_LENGTH,
        help_text="What other members of your teams call you. Without a name they see your e-mail address.",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    time_zone = forms.ChoiceField(required=False, help_text="Dates and times on all pages are shown in it.")

    notify = forms.ChoiceField(
        choices=NOTIFY,
        required=False,
        label="E-mail me when a run is done or has failed",
        help_text="Waiting counts, too. E-mails about your account and invitations come in any case.",
    )

    def __init__(self, user: User, data: Any = None) -> None:
        super().__init__(
            data,
            initial={"name": user.get_full_name(), "time_zone": user.time_zone, "notify": user.notify_after_minutes},
        )
        chosen, offered = user.time_zone, time_zones.choices()
        # Programs may have set one by another of its names.
        kept = [] if chosen in dict(offered) else [(chosen, chosen)]
        self.fields["time_zone"].choices = [*offered, *kept]  # type: ignore[attr-defined]  # a ChoiceField's

    def clean_name(self) -> str:
        """As `profile.checked_name`."""
        try:
            return profile.checked_name(self.cleaned_data["name"])
        except profile.ProfileError as error:
            raise forms.ValidationError(str(error)) from error


@login_required
@require_http_methods(["GET", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """Name, picture, time zone, and which e-mails to get."""
    user = user_of(request)
    form = ProfileForm(user, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        data = form.cleaned_data
        with transaction.atomic():
            profile.change(user, name=data["name"], time_zone=data["time_zone"])
            profile.notify(user, after_minutes=int(data["notify"]) if data["notify"] else None)
        messages.info(request, "Your profile was saved.")
        return redirect("profile")
    return render(request, "account/profile.html", {"form": form}, status=422 if form.is_bound else 200)


@login_required
@post_only("profile")
def picture(request: HttpRequest) -> HttpResponse:
    """Show the picture that was sent, or the first letter again when `remove` is."""
    user = user_of(request)
    if "remove" in request.POST:
        profile.remove_avatar(user)
        messages.info(request, "Your picture was removed.")
        return redirect("profile")
    try:
        profile.set_avatar(user, _encoded(chosen_workspace(request), request.FILES.get("picture")))
    except (PictureError, RateLimitedError, decoders.BusyError) as error:
        messages.error(request, str(error))
    else:
        messages.info(request, "Your picture was saved.")
    return redirect("profile")


@login_required
@require_safe
def avatar(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The picture of somebody with whom the user shares a workspace."""
    found = Avatar.objects.for_member(request.user).filter(pk=pk).first()
    if found is None:
        raise Http404
    return delivery.serve_bytes(bytes(found.picture), "image/webp")


def _encoded(workspace: Workspace, file: object) -> bytes:
    """The picture as a small WebP, without anything else that is in the file.

    PictureError, RateLimitedError, BusyError.
    """
    if not isinstance(file, UploadedFile):
        raise PictureError("Choose a picture first.")
    if (file.size or 0) > MAX_MEGABYTES * 1024 * 1024:
        raise PictureError(TOO_LARGE)
    count_upload(workspace)
    with tempfile.TemporaryFile() as spooled, tempfile.TemporaryFile() as output:
        for chunk in file.chunks():
            spooled.write(chunk)
        kind = pictures.FORMATS.get(spooling.sniff(spooled))
        if kind is None:
            raise PictureError(NO_PICTURE)
        database.release()
        try:
            with aside():
                decoders.ask("thumbnail", kind, spooled, output)
        except decoders.UnusableError as error:
            raise PictureError(str(error)) from error
        except decoders.UndecodableError as error:
            raise PictureError(NO_PICTURE) from error
        return output.read()
