"""The page about one's data: take it along, or have the account deleted."""

from __future__ import annotations

import uuid

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_safe

from accounts import confirming
from accounts.access import user_of
from accounts.methods import post_only
from accounts.models.workspace import GRACE
from accounts.workspace_pages import membership
from accounts.workspaces import NotAllowedError
from generations.files import delivery
from generations.lifecycle import exporting
from generations.models import DataExport

SHOWN = 10


def _is_to_be_asked(request: HttpRequest) -> bool:
    return not confirming.has_just_signed_in(request)


@login_required
@never_cache
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Exports, and the form that deletes the account."""
    exports = list(DataExport.objects.of(user_of(request)).select_related("workspace")[:SHOWN])
    is_under_way = any(each.state == DataExport.State.WAITING for each in exports)
    context = {"exports": exports, "is_under_way": is_under_way, "grace_days": GRACE.days}
    return render(request, "account/data.html", context)


@login_required
@reauthentication_required(allow_get=True, enabled=_is_to_be_asked)  # type: ignore[untyped-decorator]  # allauth ships no types
@post_only("data")
def export(request: HttpRequest) -> HttpResponse:
    """Have an export made. The archive has everything, so whoever signed in long ago shows once more who they are."""
    try:
        exporting.request(user_of(request))
    except exporting.ExportRefusedError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.info(request, "We make the archive now, and send you a mail when it is ready.")
    return redirect("data")


@login_required
@reauthentication_required(allow_get=True, enabled=_is_to_be_asked)  # type: ignore[untyped-decorator]  # allauth ships no types
@post_only("workspace", "public_id")
def export_team(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Have an export of a team made, for an owner of it. It appears on the page of that owner's data."""
    try:
        exporting.request_team(membership(request, public_id))
    except NotAllowedError as refusal:
        raise PermissionDenied(str(refusal)) from refusal
    except exporting.ExportRefusedError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.info(request, "We make the archive of the team now, and send you a mail when it is ready.")
    return redirect("data")


@login_required
@require_safe
def download(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """The archive, for the person whose it is, while it is kept."""
    found = get_object_or_404(DataExport.objects.of(user_of(request)), pk=pk)
    if not found.is_ready:
        raise Http404
    name = f"export-{found.created_at:%Y-%m-%d}.zip"
    return delivery.serve_archive(request, found.key, found.size_bytes, name=name)
