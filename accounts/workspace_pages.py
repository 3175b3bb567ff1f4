"""The pages about workspaces: one's own, a team's members, and what becomes of a team."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts import workspaces
from accounts.access import user_of
from accounts.current import choose
from accounts.methods import post_only
from accounts.models import Invitation, Membership, Role, Workspace, usage_asked
from accounts.workspace_forms import MemberForm, NameForm
from accounts.workspaces import NotAllowedError, WorkspaceError

PAGE_SIZE = 50


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """All workspaces of this person, invitations to them, and a form for a new team."""
    user, form = user_of(request), NameForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            team = workspaces.create_team(acting=user, name=form.cleaned_data["name"])
        except WorkspaceError as error:
            form.add_error(None, str(error))
        else:
            choose(request, team)
            messages.info(request, f"“{team.name}” was created. Invite the people you work with.")
            return redirect("workspace", public_id=team.public_id)
    mine = Membership.objects.of(user).select_related("workspace")
    context = {
        "mine": sorted(mine, key=lambda each: (not each.workspace.is_personal, each.workspace.name.casefold())),
        "invitations": Invitation.objects.addressed_to(user).select_related("workspace", "invited_by"),
        "form": form,
    }
    return render(request, "account/workspaces.html", context, status=422 if form.errors else 200)


@login_required
@never_cache
@require_GET
def detail(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """A workspace and a page of its members, which `q` searches."""
    mine = membership(request, public_id)
    q = request.GET.get("q", "").replace("\x00", "").strip()[:100]
    everybody = Membership.objects.for_member(request.user).filter(workspace=mine.workspace)
    members, after = everybody.mentioning(q).page(PAGE_SIZE, after=request.GET.get("after", "").replace("\x00", ""))
    context = {
        "mine": mine,
        "workspace": mine.workspace,
        "members": _with_usage(mine, members),
        "number": everybody.count(),
        "q": q,
        "after": after,
        "form": NameForm(instance=mine.workspace),
    }
    return render(request, "account/workspace.html", context)


def _with_usage(mine: Membership, members: list[Membership]) -> list[tuple[Membership, Any]]:
    """Each with what they use in this workspace, for admins; for others, with None."""
    if not mine.is_admin:
        return [(each, None) for each in members]
    ids = [each.user_id for each in members]
    answers: Any = usage_asked.send(sender=Workspace, workspace=mine.workspace, user_ids=ids)
    usage = {user: used for _receiver, found in answers for user, used in found.items()}
    return [(each, usage.get(each.user_id)) for each in members]


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def member(request: HttpRequest, public_id: uuid.UUID, pk: int) -> HttpResponse:
    """A member's role and limits, for admins."""
    mine, target = _member(request, public_id, pk)
    if not mine.is_admin:
        raise PermissionDenied
    may_touch = mine.is_owner or not target.is_owner
    data = request.POST if request.method == "POST" else None
    form = MemberForm(data, instance=copy(target), may_make_owners=mine.is_owner)
    if request.method == "POST" and form.is_valid():
        user, cleaned = user_of(request), form.cleaned_data
        try:
            with refusals():
                workspaces.change_role(
                    acting=user, member=target, role=Role(cleaned["role"]), seen=Role(cleaned["seen"])
                )
                # Whoever gave up their own rights cannot set limits any more, and has none to set.
                if target.user_id != user.pk:
                    workspaces.set_caps(acting=user, member=target, caps=form.caps())
        except WorkspaceError as error:
            form.add_error(None, str(error))
        else:
            messages.info(request, f"Saved for {target.user}.")
            return redirect("workspace", public_id=public_id)
    context = {
        "mine": mine,
        "workspace": mine.workspace,
        "member": target,
        "form": form,
        "may_touch": may_touch,
        "is_self": target.user_id == mine.user_id,
    }
    return render(request, "account/member.html", context, status=422 if form.errors else 200)


@login_required
@post_only("workspace-member", "public_id", "pk")
def remove(request: HttpRequest, public_id: uuid.UUID, pk: int) -> HttpResponse:
    """End somebody's membership."""
    _mine, target = _member(request, public_id, pk)
    with told(request):
        workspaces.remove_member(acting=user_of(request), member=target)
        messages.info(request, f"{target.user} is not a member any more. Their keys for this workspace were revoked.")
    return redirect("workspace", public_id=public_id)


@login_required
@reauthentication_required(allow_get=True)  # type: ignore[untyped-decorator]  # allauth ships no types
@post_only("workspace-member", "public_id", "pk")
def transfer(request: HttpRequest, public_id: uuid.UUID, pk: int) -> HttpResponse:
    """Make a member the owner in one's own place. Whoever does it shows once more who they are."""
    _mine, target = _member(request, public_id, pk)
    with told(request):
        workspaces.transfer(acting=user_of(request), to=target)
        messages.info(request, f"{target.user} is the owner now, and you are an admin.")
    return redirect("workspace", public_id=public_id)


@login_required
@post_only("workspaces")
def switch(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Work in this workspace from now on."""
    workspace = membership(request, public_id).workspace
    if workspace.is_dissolving:
        messages.error(request, workspaces.DissolvingError.text)
        return redirect("workspaces")
    choose(request, workspace)
    return redirect("gallery")


@login_required
@post_only("workspace", "public_id")
def rename(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Name the team anew."""
    workspace = membership(request, public_id).workspace
    form = NameForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Enter a name of at most 80 characters.")
        return redirect("workspace", public_id=public_id)
    with told(request):
        workspaces.rename(acting=user_of(request), workspace=workspace, name=form.cleaned_data["name"])
    return redirect("workspace", public_id=public_id)


@login_required
@post_only("workspace", "public_id")
def leave(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """End one's own membership."""
    workspace = membership(request, public_id).workspace
    with told(request):
        workspaces.leave(acting=user_of(request), workspace=workspace)
        messages.info(request, f"You left “{workspace}”. Your keys for it were revoked.")
        return redirect("workspaces")
    return redirect("workspace", public_id=public_id)


@login_required
@reauthentication_required(allow_get=True)  # type: ignore[untyped-decorator]  # allauth ships no types
@post_only("workspace", "public_id")
def dissolve(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Close the team; it is deleted later. Whoever does it shows once more who they are."""
    workspace = membership(request, public_id).workspace
    with told(request):
        workspaces.dissolve(acting=user_of(request), workspace=workspace)
    return redirect("workspace", public_id=public_id)


@login_required
@post_only("workspace", "public_id")
def keep(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Open a team again that was being dissolved."""
    workspace = membership(request, public_id).workspace
    with told(request):
        workspaces.keep(acting=user_of(request), workspace=workspace)
        messages.info(request, f"“{workspace}” stays.")
    return redirect("workspace", public_id=public_id)


def membership(request: HttpRequest, public_id: uuid.UUID) -> Membership:
    """This person's membership of the workspace, with its workspace. Http404."""
    rows = Membership.objects.of(request.user).select_related("workspace")
    return get_object_or_404(rows, workspace__public_id=public_id)


@contextmanager
def refusals() -> Iterator[None]:
    """Refusals that have pages of their own: Http404 and PermissionDenied."""
    try:
        yield
    except NotAllowedError as error:
        raise PermissionDenied from error
    except WorkspaceError as error:
        if error.status == 404:
            raise Http404 from error
        raise


@contextmanager
def told(request: HttpRequest) -> Iterator[None]:
    """What else is refused is said on the next page. Http404, PermissionDenied."""
    try:
        with refusals():
            yield
    except WorkspaceError as error:
        messages.error(request, str(error))


def _member(request: HttpRequest, public_id: uuid.UUID, pk: int) -> tuple[Membership, Membership]:
    """This person's membership, and the other one of the same workspace. Http404."""
    mine = membership(request, public_id)
    rows = Membership.objects.for_member(request.user).select_related("user", "workspace")
    return mine, get_object_or_404(rows, pk=pk, workspace=mine.workspace)
