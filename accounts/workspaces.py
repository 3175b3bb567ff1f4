"""What members do with workspaces. Each function asks whether the acting person may, under a lock on the workspace.

Errors are WorkspaceErrors, whose texts are for people.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts import names, setbacks
from accounts.models import (
    ApiKey,
    Invitation,
    Membership,
    Role,
    Setback,
    User,
    Workspace,
    access_changed,
    membership_ended,
    workspace_closed,
    workspace_emptying,
)
from accounts.models.workspace import GRACE

MAX_WORKSPACES = 100  # of one person, so that a page can list them all
DISSOLVING = "delete a dissolved team"
OWNERS_TOLD = 50


class WorkspaceError(Exception):
    """The base of all refusals here. `code` is for programs, `status` for HTTP, `str()` for people."""

    code = "workspace_error"
    status = 409
    text = "That did not work."

    def __init__(self, text: str = "") -> None:
        super().__init__(text or self.text)


class NotAMemberError(WorkspaceError):
    """To this person, the workspace or the member does not exist."""

    code, status = "not_found", 404
    text = "This workspace does not exist, or you are not a member of it."


class NotAllowedError(WorkspaceError):
    """The person's role does not let them do this."""

    code, status = "forbidden", 403
    text = "Your role in this workspace does not let you do this."


class PersonalWorkspaceError(WorkspaceError):
    """Personal workspaces have one member for good."""

    code = "personal_workspace"
    text = "This is a personal workspace. Create a team to work with others."


class DissolvingError(WorkspaceError):
    """The workspace is closed, and only to be kept."""

    code = "workspace_dissolving"
    text = "This workspace is being dissolved. An owner can keep it."


class LastOwnerError(WorkspaceError):
    """The team would be without an owner."""

    code = "last_owner"
    text = "A team needs an owner. Make somebody else an owner first, or dissolve the team."


class RoleChangedError(WorkspaceError):
    """Somebody else changed the role after this person looked at it."""

    code = "role_changed"
    text = "Somebody else changed this role a moment ago. Look at it again."


class InvalidNameError(WorkspaceError):
    """The name cannot be used; `str()` says why."""

    code, status = "invalid_name", 422


class TooManyWorkspacesError(WorkspaceError):
    """A person is in MAX_WORKSPACES workspaces."""

    code = "too_many_workspaces"
    text = f"You are in {MAX_WORKSPACES} workspaces, the most that is possible. Leave one first."


@dataclass(frozen=True, slots=True)
class Caps:
    """How much of the workspace's limits a member may use. None means as much as there is."""

    max_concurrent: int | None = None
    max_queued: int | None = None
    max_jobs_per_month: int | None = None


@contextmanager
def locked(
    workspace: Workspace, acting: User, *, least: Role = Role.MEMBER, even_dissolving: bool = False
) -> Iterator[tuple[Workspace, Membership]]:
    """A transaction in which nobody else changes the team; yields its row and the acting person's membership.

    What was read before may be out of date: who acts may have lost their role a moment ago. NotAMemberError,
    NotAllowedError, PersonalWorkspaceError, DissolvingError.
    """
    with transaction.atomic():
        # Before anything else is locked: all changes of a team wait for each other here, so that none can deadlock.
        team = Workspace.objects.select_for_update(no_key=True).filter(pk=workspace.pk).first()
        mine = Membership.objects.filter(workspace=workspace.pk, user=acting).first()
        if team is None or mine is None:
            raise NotAMemberError
        if team.is_personal:
            raise PersonalWorkspaceError
        if mine.rank < least.rank:
            raise NotAllowedError
        if team.is_dissolving and not even_dissolving:
            raise DissolvingError
        yield team, mine


def create_team(*, acting: User, name: str) -> Workspace:
    """A new team with this person as its owner. TooManyWorkspacesError, InvalidNameError."""
    name = _checked_name(name)
    with transaction.atomic():
        make_room(acting)
        team = Workspace.objects.create(name=name)
        Membership.objects.create(workspace=team, user=acting, role=Role.OWNER)
    return team


def make_room(user: User) -> None:
    """TooManyWorkspacesError when this person cannot be in one more. Locks the user until the transaction ends."""
    user.lock()
    if Membership.objects.of(user).count() >= MAX_WORKSPACES:
        raise TooManyWorkspacesError


def rename(*, acting: User, workspace: Workspace, name: str) -> Workspace:
    """Owners and admins name the team. InvalidNameError."""
    name = _checked_name(name)
    with locked(workspace, acting, least=Role.ADMIN) as (team, _mine):
        team.name = name
        team.save(update_fields=["name"])
    return team


def change_role(*, acting: User, member: Membership, role: Role, seen: Role | None = None) -> Membership:
    """The member with another role. Only owners make owners, and only they change what owners are.

    `seen`: the role that the acting person saw; RoleChangedError when it is another one by now. LastOwnerError.
    """
    with locked(member.workspace, acting, least=Role.ADMIN) as (team, mine):
        target = _target(team, mine, member)
        if seen is not None and target.role != seen:
            raise RoleChangedError
        if role == Role.OWNER and not mine.is_owner:
            msg = "Only owners can make somebody an owner."
            raise NotAllowedError(msg)
        if role != Role.OWNER:
            _refuse_last_owner(team, target)
        target.role = role
        target.save(update_fields=["role"])
        if not target.is_admin:
            _revoke_invitations(team, target)
    return target


def set_caps(*, acting: User, member: Membership, caps: Caps) -> Membership:
    """The member with these limits."""
    with locked(member.workspace, acting, least=Role.ADMIN) as (team, mine):
        target = _target(team, mine, member)
        target.max_concurrent = caps.max_concurrent
        target.max_queued = caps.max_queued
        target.max_jobs_per_month = caps.max_jobs_per_month
        target.save(update_fields=["max_concurrent", "max_queued", "max_jobs_per_month"])
    return target


def remove_member(*, acting: User, member: Membership) -> None:
    """Ends a membership, and at once the person's keys, connections and work in this workspace. LastOwnerError."""
    with locked(member.workspace, acting, least=Role.ADMIN) as (team, mine):
        _end(team, _target(team, mine, member))


def leave(*, acting: User, workspace: Workspace) -> None:
    """Ends one's own membership, as `remove_member`. LastOwnerError: somebody has to look after the team."""
    with locked(workspace, acting, even_dissolving=True) as (team, mine):
        _end(team, mine)


def transfer(*, acting: User, to: Membership) -> Membership:
    """Makes another member the owner in one's own place; whoever hands the team over stays as an admin."""
    with locked(to.workspace, acting, least=Role.OWNER) as (team, mine):
        target = _target(team, mine, to)
        if target.pk == mine.pk:
            msg = "You are an owner already. Choose another member."
            raise WorkspaceError(msg)
        if not target.user.is_active or target.user.is_suspended:
            msg = "This member cannot sign in at the moment, and so cannot look after the team."
            raise WorkspaceError(msg)
        target.role, mine.role = Role.OWNER, Role.ADMIN
        for each in (target, mine):
            each.save(update_fields=["role"])
    return target


def dissolve(*, acting: User, workspace: Workspace) -> Workspace:
    """Closes the team, which is deleted after GRACE. Keys stop working until an owner keeps it, and what is under way
    is canceled for good. A mail tells the owners.
    """
    with locked(workspace, acting, least=Role.OWNER) as (team, _mine):
        team.dissolve_after = timezone.now() + GRACE
        team.save(update_fields=["dissolve_after"])
        workspace_closed.send(sender=Workspace, workspace_id=team.pk)
        _mail_owners(team, acting)
    return team


def keep(*, acting: User, workspace: Workspace) -> Workspace:
    """Opens a team again that was being dissolved."""
    with locked(workspace, acting, least=Role.OWNER, even_dissolving=True) as (team, _mine):
        if team.dissolve_after is not None and team.dissolve_after < timezone.now():
            msg = "This workspace is being deleted, and cannot be kept any more."
            raise DissolvingError(msg)
        team.dissolve_after = None
        team.save(update_fields=["dissolve_after"])
    return team


def delete_dissolved() -> int:
    """Delete teams whose time has come, with all that belongs to them. How many that were.

    What they have is deleted first, in short transactions; of a team that has much, the rest goes next time. One that
    cannot be deleted holds up no other.
    """
    number, until = 0, time.monotonic() + settings.HOUSEKEEPING_SECONDS / 2
    due = Workspace.objects.filter(dissolve_after__lt=timezone.now()).order_by("dissolve_after")
    waiting = list(Setback.objects.waiting(DISSOLVING))
    for pk, name in list(due.exclude(pk__in=waiting).values_list("pk", "name")):
        with setbacks.apart(DISSOLVING, pk, f"the team “{name}” ({pk})"):
            number += _delete_dissolved(pk, until)
        if time.monotonic() > until:
            break
    return number


def _delete_dissolved(pk: int, until: float) -> bool:
    """Delete this team. False: something of it is left, or another worker is at it."""
    answers = workspace_emptying.send(sender=Workspace, workspace_id=pk, until=until)
    if not all(is_empty for _receiver, is_empty in answers):
        return False
    with transaction.atomic():
        # Asked again under the lock: another worker may be at it.
        rows = Workspace.objects.filter(pk=pk, dissolve_after__lt=timezone.now())
        team = rows.select_for_update(skip_locked=True).first()
        if team is not None:
            team.delete()
    return team is not None


def _checked_name(text: str) -> str:
    try:
        name = names.checked(text)
    except ValueError as error:
        raise InvalidNameError(str(error)) from error
    if not name:
        msg = "Enter a name."
        raise InvalidNameError(msg)
    return name


def _target(team: Workspace, mine: Membership, member: Membership) -> Membership:
    """The member's row as it is now. NotAMemberError; NotAllowedError for an owner, whom only owners touch."""
    rows = Membership.objects.select_for_update(of=("self",)).select_related("user")
    target = rows.filter(pk=member.pk, workspace=team).first()
    if target is None:
        msg = "This person is not a member of the workspace any more."
        raise NotAMemberError(msg)
    if target.is_owner and not mine.is_owner:
        msg = "Only owners can change what an owner is."
        raise NotAllowedError(msg)
    return target


def _refuse_last_owner(team: Workspace, target: Membership) -> None:
    others = Membership.objects.owners().filter(workspace=team).exclude(pk=target.pk)
    if target.is_owner and not others.exists():
        raise LastOwnerError


def _end(team: Workspace, target: Membership) -> None:
    _refuse_last_owner(team, target)
    end_membership(team, target)


def end_membership(team: Workspace, target: Membership) -> None:
    """End it with all that holds by it. Inside a transaction that has locked the team; the caller sees to an owner."""
    _revoke_invitations(team, target)
    # Locked first: a key that is being made at this moment waits for this row, or is found here.
    Membership.objects.select_for_update().get(pk=target.pk)
    ApiKey.objects.filter(workspace=team, user=target.user_id).revoke()
    target.delete()
    membership_ended.send(sender=Membership, user_id=target.user_id, workspace_id=team.pk)
    _tell(target.user_id)


def _revoke_invitations(team: Workspace, target: Membership) -> None:
    """Links that somebody made who may not invite people any more would let them in again."""
    mine = Invitation.objects.pending().filter(workspace=team, invited_by=target.user_id)
    mine.update(revoked_at=timezone.now())


def _mail_owners(team: Workspace, acting: User) -> None:
    link = f"{settings.PUBLIC_ORIGIN}{reverse('workspace', args=[team.public_id])}"
    context = {"workspace": team, "by": acting, "workspace_url": link}
    owners = Membership.objects.owners().filter(workspace=team).select_related("user").order_by("pk")
    for each in owners[:OWNERS_TOLD]:
        get_adapter().send_mail("account/email/workspace_dissolving", each.user.email, context)


def _tell(user_id: int) -> None:
    """Has what this person has open look whether it may stay so."""
    transaction.on_commit(lambda: access_changed.send(sender=Membership, user_id=user_id))
