"""The pages about invitations: those of a team, and the one that a link leads to."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import invitations, invited
from accounts.access import user_of
from accounts.context import INVITATION_COOKIE
from accounts.current import choose
from accounts.methods import post_only
from accounts.models import Invitation, Membership, Role
from accounts.models.invitation import LIFETIME
from accounts.workspace_forms import InvitationForm
from accounts.workspace_pages import PAGE_SIZE, membership, refusals, told
from accounts.workspaces import WorkspaceError


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def index(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """A team's open invitations, and a form for another one. Only the answer to the form shows a new link."""
    mine = _admin(request, public_id)
    form, link, invitation = InvitationForm(request.POST if request.method == "POST" else None), "", None
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            with refusals():
                invitation, link = invitations.invite(
                    acting=user_of(request), workspace=mine.workspace, role=Role(data["role"]), email=data["email"]
                )
        except WorkspaceError as error:
            form.add_error(None, str(error))
        else:
            form = InvitationForm()
    return _page(request, mine, form, link=link, invitation=invitation)


@login_required
@never_cache
@post_only("workspace-invitations", "public_id")
def renew(request: HttpRequest, public_id: uuid.UUID, pk: int) -> HttpResponse:
    """Send the mail again, or show a new link."""
    mine = _admin(request, public_id)
    found = _invitation(request, mine, pk)
    with told(request):
        invitation, link = invitations.renew(acting=user_of(request), invitation=found)
        return _page(request, mine, InvitationForm(), link=link, invitation=invitation)
    return redirect("workspace-invitations", public_id=public_id)


@login_required
@post_only("workspace-invitations", "public_id")
def revoke(request: HttpRequest, public_id: uuid.UUID, pk: int) -> HttpResponse:
    """Take an invitation back."""
    found = _invitation(request, _admin(request, public_id), pk)
    with told(request):
        invitations.revoke(acting=user_of(request), invitation=found)
        messages.info(request, "The invitation was taken back. Its link no longer works.")
    return redirect("workspace-invitations", public_id=public_id)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: HttpRequest, token: str) -> HttpResponse:
    """Where an invitation's link leads: who invites to what, and the button that accepts it.

    The browser remembers the link, so that somebody who signs up first finds the way back.
    """
    if request.method == "POST" and not request.user.is_authenticated:
        return redirect_to_login(request.path)
    found = Invitation.objects.with_token(token)
    try:
        if found is None:
            raise invitations.InvitationNotFoundError
        if request.method == "POST":
            return _joined(request, invitations.accept(acting=user_of(request), token=token))
        invitations.check(found, found.workspace)
        if request.user.is_authenticated and not found.is_for(user_of(request)):
            raise invitations.WrongAddressError(found.email)
    except WorkspaceError as error:
        context = {"error": str(error), "is_for_another": isinstance(error, invitations.WrongAddressError)}
        response = render(request, "account/invitation.html", context, status=error.status)
        if not context["is_for_another"]:
            response.delete_cookie(INVITATION_COOKIE)
        return response
    if not request.user.is_authenticated and found.email:
        invited.admit(request, found.email)
    response = render(request, "account/invitation.html", {"invitation": found, "workspace": found.workspace})
    if not request.user.is_authenticated:
        is_secure = request.is_secure()
        response.set_cookie(INVITATION_COOKIE, token, max_age=LIFETIME, httponly=True, samesite="Lax", secure=is_secure)
    return response


@login_required
@post_only("workspaces")
def accept_addressed(request: HttpRequest, pk: int) -> HttpResponse:
    """Accept an invitation to an address that this person confirmed."""
    with told(request):
        return _joined(request, invitations.accept_addressed(acting=user_of(request), invitation_id=pk))
    return redirect("workspaces")


def _joined(request: HttpRequest, joined: Membership) -> HttpResponse:
    choose(request, joined.workspace)
    invited.forget(request)
    messages.info(request, f"Welcome to “{joined.workspace}”. You work there now; the page header switches.")
    response = redirect("gallery")
    response.delete_cookie(INVITATION_COOKIE)
    return response


def _page(
    request: HttpRequest, mine: Membership, form: InvitationForm, *, link: str, invitation: Invitation | None
) -> HttpResponse:
    rows = Invitation.objects.for_member(request.user).pending().filter(workspace=mine.workspace)
    before = request.GET.get("before", "")
    if before.isdecimal() and len(before) < 19:
        rows = rows.filter(pk__lt=int(before))
    found = list(rows.select_related("invited_by")[: PAGE_SIZE + 1])
    context = {
        "mine": mine,
        "workspace": mine.workspace,
        "invitations": found[:PAGE_SIZE],
        "before": found[PAGE_SIZE - 1].pk if len(found) > PAGE_SIZE else None,
        "form": form,
        "link": link,
        "made": invitation,
    }
    status = 422 if form.errors else 201 if link else 200
    return render(request, "account/invitations.html", context, status=status)


def _admin(request: HttpRequest, public_id: uuid.UUID) -> Membership:
    mine = membership(request, public_id)
    if not mine.is_admin or mine.workspace.is_personal:
        raise PermissionDenied
    return mine


def _invitation(request: HttpRequest, mine: Membership, pk: int) -> Invitation:
    rows = Invitation.objects.for_member(request.user).select_related("workspace")
    return get_object_or_404(rows, pk=pk, workspace=mine.workspace)
