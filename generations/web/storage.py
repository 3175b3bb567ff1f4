"""The account's storage page: how much is used, and uploads to delete."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET

from accounts.access import user_of
from accounts.current import chosen_membership, chosen_workspace, ensure_may_change
from accounts.methods import post_only
from accounts.workspaces import NotAllowedError
from generations.files import assets
from generations.models import Asset, StorageUsage

if TYPE_CHECKING:
    from generations.models.asset import AssetQuerySet

SHOWN = 100


@login_required
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """How much is stored, and the largest uploads."""
    me = chosen_membership(request)
    workspace = me.workspace
    uploads = list(_uploads(request).select_related("user").order_by("-size_bytes", "-created_at")[:SHOWN])
    in_use = set(_uploads(request).filter(pk__in=[each.pk for each in uploads]).in_use().values_list("pk", flat=True))
    context = {
        "workspace": workspace,
        "uploads": [(each, each.pk in in_use, me.is_admin or each.user_id == me.user_id) for each in uploads],
        "is_cut": len(uploads) == SHOWN,
        "stored": StorageUsage.objects.stored_in(workspace),
        "limit": workspace.limits.max_storage_bytes,
    }
    return render(request, "account/storage.html", context)


@login_required
@post_only("storage")
def delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Delete one upload."""
    found = get_object_or_404(_uploads(request), pk=pk)
    try:
        ensure_may_change(request, found)
        assets.delete(found)
    except NotAllowedError as refusal:
        messages.error(request, str(refusal))
    except assets.AssetInUseError:
        messages.error(request, "An unfinished generation needs this file. Cancel it, or wait until it is done.")
    else:
        messages.info(request, "The file was deleted.")
    return redirect("storage")


@login_required
@post_only("storage")
def delete_all(request: HttpRequest) -> HttpResponse:
    """Delete one's own uploads that no unfinished generation needs, as many as one request should delete."""
    number = assets.delete_uploads(user_of(request), chosen_workspace(request))
    messages.info(request, f"Deleted {number} file{'s' * (number != 1)}.")
    return redirect("storage")


def _uploads(request: HttpRequest) -> AssetQuerySet:
    return Asset.objects.in_workspace(chosen_workspace(request)).filter(output=None)
