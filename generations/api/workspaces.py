"""Workspaces: teams, their members and invitations. A key sees the workspace that it works in, and no other."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router
from ninja import Status as Answer

from accounts import invitations, workspaces
from accounts.access import user_of
from accounts.current import workspace_of
from accounts.models import Invitation, Membership, MembershipQuerySet, Role, Scope
from accounts.workspaces import Caps, NotAllowedError
from generations.api.account import export_of
from generations.api.auth import confirm, key_of, refuse_team_keys
from generations.api.operations import Function, operation
from generations.api.schemas.account import Export
from generations.api.schemas.workspaces import (
    Acceptance,
    InvitationFilter,
    InvitationList,
    InvitationOut,
    InvitationRequest,
    MemberChange,
    MemberFilter,
    MemberList,
    MemberOut,
    NewInvitation,
    WorkspaceList,
    WorkspaceOut,
    WorkspaceRequest,
)
from generations.lifecycle import exporting

router = Router()
CAPS = ("max_concurrent", "max_queued", "max_jobs_per_month")


def _operation(method: str, path: str, name: str, summary: str, **more: Any) -> Callable[[Function], Function]:
    """As `operation`, for what needs MANAGE unless it only reads."""
    scope = Scope.READ if method == "GET" else Scope.MANAGE
    return operation(router, method, path, scope=scope, name=name, summary=summary, **more)


# ---------------------------------------------------------------------------------------------- workspaces
@_operation("GET", "/workspaces", "listWorkspaces", "List your workspaces", returns={200: WorkspaceList})
def list_workspaces(request: HttpRequest) -> WorkspaceList:
    """Your own first, then your teams by name."""
    found = sorted(_mine(request), key=lambda each: (not each.workspace.is_personal, each.workspace.name, each.pk))
    return WorkspaceList(workspaces=[_workspace(each) for each in found])


@_operation("POST", "/workspaces", "postWorkspace", "Create a team", returns={201: WorkspaceOut}, errors=(409, 422))
def post_workspace(request: HttpRequest, payload: WorkspaceRequest) -> Answer[WorkspaceOut]:
    """You become its owner. A key does this only if it works in your personal workspace."""
    refuse_team_keys(request)
    team = workspaces.create_team(acting=user_of(request), name=payload.name)
    return Answer(201, _workspace(team.memberships.select_related("workspace").get()))


@_operation("GET", "/workspaces/{id}", "getWorkspace", "Read a workspace", returns={200: WorkspaceOut}, errors=(404,))
def get_workspace(request: HttpRequest, id: uuid.UUID) -> WorkspaceOut:
    """The workspace, with your role in it."""
    return _workspace(_membership(request, id))


@_operation(
    "PATCH", "/workspaces/{id}", "changeWorkspace", "Rename a team", returns={200: WorkspaceOut}, errors=(404, 409, 422)
)
def change_workspace(request: HttpRequest, id: uuid.UUID, payload: WorkspaceRequest) -> WorkspaceOut:
    """For admins and owners."""
    mine = _membership(request, id)
    mine.workspace = workspaces.rename(acting=user_of(request), workspace=mine.workspace, name=payload.name)
    return _workspace(mine)


@_operation("POST", "/workspaces/{id}/leave", "leaveWorkspace", "Leave a team", returns={204: None}, errors=(404, 409))
def leave_workspace(request: HttpRequest, id: uuid.UUID) -> Answer[None]:
    """Your keys for the team stop working at once, this one included. 409 `last_owner`: a team needs an owner."""
    workspaces.leave(acting=user_of(request), workspace=_membership(request, id).workspace)
    return Answer(204, None)


@_operation(
    "POST",
    "/workspaces/{id}/dissolve",
    "dissolveWorkspace",
    "Dissolve a team",
    returns={200: WorkspaceOut},
    errors=(404, 409),
)
def dissolve_workspace(request: HttpRequest, id: uuid.UUID) -> WorkspaceOut:
    """For owners. The team closes at once, for its keys as well, and is deleted after 14 days.

    Until then, an owner can keep it: on its page, or by `POST workspaces/{id}/keep` with a session. A session needs
    somebody who confirmed lately who they are (403 `confirmation_required`).
    """
    mine = _membership(request, id)
    confirm(request)
    mine.workspace = workspaces.dissolve(acting=user_of(request), workspace=mine.workspace)
    return _workspace(mine)


@_operation(
    "POST", "/workspaces/{id}/keep", "keepWorkspace", "Keep a team", returns={200: WorkspaceOut}, errors=(404, 409)
)
def keep_workspace(request: HttpRequest, id: uuid.UUID) -> WorkspaceOut:
    """For owners of a team that is being dissolved: it opens again."""
    mine = _membership(request, id)
    mine.workspace = workspaces.keep(acting=user_of(request), workspace=mine.workspace)
    return _workspace(mine)


@_operation(
    "POST", "/workspaces/{id}/export", "exportWorkspace", "Export a team", returns={202: Export}, errors=(404, 409)
)
def export_workspace(request: HttpRequest, id: uuid.UUID) -> Answer[Export]:
    """For owners: an archive of everything that is the team's. A mail says when it is ready, `GET me/export` lists it.

    409 `export_under_way` while another export of yours is being made; 429 if your last one is less than a day old.
    With a session, sign in or confirm who you are shortly before (403 `confirmation_required`).
    """
    mine = _membership(request, id)
    confirm(request, is_sign_in_enough=True)
    return Answer(202, export_of(exporting.request_team(mine)))


# ---------------------------------------------------------------------------------------------- members
@_operation(
    "GET", "/workspaces/{id}/members", "listMembers", "List members", returns={200: MemberList}, errors=(404, 422)
)
def list_members(request: HttpRequest, id: uuid.UUID, wanted: Query[MemberFilter]) -> MemberList:
    """For every member."""
    rows = Membership.objects.for_member(user_of(request)).filter(workspace=_membership(request, id).workspace)
    found, after = rows.mentioning(wanted.q).page(wanted.limit, after=wanted.cursor)
    return MemberList(members=[_member(each) for each in found], next_cursor=after or None)


@_operation(
    "PATCH",
    "/workspaces/{id}/members/{member_id}",
    "changeMember",
    "Change a member",
    returns={200: MemberOut},
    errors=(404, 409, 422),
)
def change_member(request: HttpRequest, id: uuid.UUID, member_id: int, payload: MemberChange) -> MemberOut:
    """For admins and owners: role and limits. 409 `last_owner`: a team needs an owner."""
    user, member = user_of(request), _member_row(request, id, member_id)
    sent = payload.model_dump(exclude_unset=True)
    if any(name in sent for name in CAPS):
        caps = Caps(**{name: sent.get(name, getattr(member, name)) for name in CAPS})
        member = workspaces.set_caps(acting=user, member=member, caps=caps)
    if "role" in sent:
        member = workspaces.change_role(acting=user, member=member, role=sent["role"])
    return _member(member)


@_operation(
    "DELETE",
    "/workspaces/{id}/members/{member_id}",
    "deleteMember",
    "Remove a member",
    returns={204: None},
    errors=(404, 409),
)
def delete_member(request: HttpRequest, id: uuid.UUID, member_id: int) -> Answer[None]:
    """For admins and owners. The person's keys for the team stop working at once."""
    workspaces.remove_member(acting=user_of(request), member=_member_row(request, id, member_id))
    return Answer(204, None)


@_operation(
    "POST",
    "/workspaces/{id}/members/{member_id}/transfer",
    "transferWorkspace",
    "Transfer a team",
    returns={200: MemberOut},
    errors=(404, 409),
)
def transfer_workspace(request: HttpRequest, id: uuid.UUID, member_id: int) -> MemberOut:
    """For owners: this member becomes the owner in your place, and you become an admin.

    A session needs somebody who confirmed lately who they are (403 `confirmation_required`).
    """
    member = _member_row(request, id, member_id)
    confirm(request)
    return _member(workspaces.transfer(acting=user_of(request), to=member))


# ---------------------------------------------------------------------------------------------- invitations
@_operation(
    "GET",
    "/workspaces/{id}/invitations",
    "listInvitations",
    "List open invitations",
    returns={200: InvitationList},
    errors=(404, 422),
)
def list_invitations(request: HttpRequest, id: uuid.UUID, wanted: Query[InvitationFilter]) -> InvitationList:
    """For admins and owners; for members the list is empty."""
    workspace = _membership(request, id).workspace
    rows = Invitation.objects.for_member(user_of(request)).pending().filter(workspace=workspace)
    if wanted.cursor:
        rows = rows.filter(pk__lt=int(wanted.cursor))
    found = list(rows[: wanted.limit + 1])
    has_more, page = len(found) > wanted.limit, found[: wanted.limit]
    return InvitationList(
        invitations=[_invitation(each) for each in page], next_cursor=str(page[-1].pk) if has_more else None
    )


@_operation(
    "POST",
    "/workspaces/{id}/invitations",
    "postInvitation",
    "Invite somebody",
    returns={201: NewInvitation},
    errors=(404, 409, 422),
)
def post_invitation(request: HttpRequest, id: uuid.UUID, payload: InvitationRequest) -> Answer[NewInvitation]:
    """For admins and owners. An address also gets a mail with the link, which works for that address alone."""
    found, link = invitations.invite(
        acting=user_of(request),
        workspace=_membership(request, id).workspace,
        role=Role(payload.role),
        email=payload.email or "",
    )
    return Answer(201, _new(found, link))


@_operation(
    "POST",
    "/workspaces/{id}/invitations/{invitation_id}/renew",
    "renewInvitation",
    "Renew an invitation",
    returns={200: NewInvitation},
    errors=(404, 409, 410),
)
def renew_invitation(request: HttpRequest, id: uuid.UUID, invitation_id: int) -> NewInvitation:
    """A new link, also by mail if there is an address. Earlier links stop working."""
    return _new(*invitations.renew(acting=user_of(request), invitation=_invitation_row(request, id, invitation_id)))


@_operation(
    "DELETE",
    "/workspaces/{id}/invitations/{invitation_id}",
    "deleteInvitation",
    "Take an invitation back",
    returns={204: None},
    errors=(404, 409, 410),
)
def delete_invitation(request: HttpRequest, id: uuid.UUID, invitation_id: int) -> Answer[None]:
    """Its link stops working at once."""
    invitations.revoke(acting=user_of(request), invitation=_invitation_row(request, id, invitation_id))
    return Answer(204, None)


@_operation(
    "POST",
    "/invitations/accept",
    "acceptInvitation",
    "Accept an invitation",
    returns={200: WorkspaceOut},
    errors=(404, 409, 410, 422),
)
def accept_invitation(request: HttpRequest, payload: Acceptance) -> WorkspaceOut:
    """You join the team. A key does this only if it works in your personal workspace, and does not work in the team.

    410: the invitation was used, has expired or was taken back. 403 `invitation_for_another_address`.
    """
    refuse_team_keys(request)
    return _workspace(invitations.accept(acting=user_of(request), token=payload.token))


# ---------------------------------------------------------------------------------------------- looking up, describing
def _mine(request: HttpRequest) -> MembershipQuerySet:
    rows = Membership.objects.of(user_of(request)).select_related("workspace")
    return rows.filter(workspace=workspace_of(request)) if key_of(request) else rows


def _membership(request: HttpRequest, public_id: uuid.UUID) -> Membership:
    """The caller's membership. Http404 for workspaces that are not theirs, or that the key does not work in."""
    return get_object_or_404(_mine(request), workspace__public_id=public_id)


def _member_row(request: HttpRequest, public_id: uuid.UUID, pk: int) -> Membership:
    rows = Membership.objects.for_member(user_of(request)).select_related("workspace", "user")
    return get_object_or_404(rows, workspace=_membership(request, public_id).workspace, pk=pk)


def _invitation_row(request: HttpRequest, public_id: uuid.UUID, pk: int) -> Invitation:
    mine = _membership(request, public_id)
    if not mine.is_admin:
        raise NotAllowedError
    rows = Invitation.objects.for_member(user_of(request)).select_related("workspace")
    return get_object_or_404(rows, workspace=mine.workspace, pk=pk)


def _workspace(mine: Membership) -> WorkspaceOut:
    workspace = mine.workspace
    return WorkspaceOut(
        id=workspace.public_id,
        name=workspace.name,
        is_personal=workspace.is_personal,
        role=Role(mine.role),
        created_at=workspace.created_at,
        dissolve_after=workspace.dissolve_after,
    )


def _member(member: Membership) -> MemberOut:
    return MemberOut(
        id=member.pk,
        email=member.user.email,
        name=member.user.get_full_name(),
        role=Role(member.role),
        max_concurrent=member.max_concurrent,
        max_queued=member.max_queued,
        max_jobs_per_month=member.max_jobs_per_month,
        created_at=member.created_at,
    )


def _invitation(invitation: Invitation) -> InvitationOut:
    return InvitationOut(
        id=invitation.pk,
        email=invitation.email or None,
        role=Role(invitation.role),
        created_at=invitation.created_at,
        expires_at=invitation.expires_at,
        is_expired=invitation.is_expired,
    )


def _new(invitation: Invitation, link: str) -> NewInvitation:
    token = link.rstrip("/").rsplit("/", 1)[1]
    return NewInvitation(**_invitation(invitation).model_dump(), link=link, token=token)
