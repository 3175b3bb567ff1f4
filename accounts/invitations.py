"""Inviting people to a workspace, by mail or by link, and what becomes of invitations."""

from __future__ import annotations

import math
from datetime import timedelta

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q, Sum
from django.urls import reverse
from django.utils import timezone

from accounts.models import Invitation, Membership, Role, User, Workspace
from accounts.workspaces import DissolvingError, NotAllowedError, WorkspaceError, locked, make_room

MAX_A_DAY = 500  # by one person: each may be a mail to somebody who did not ask for it
MAX_PENDING = 2000  # of one workspace
RESEND_AFTER = timedelta(minutes=1)  # twice as long after each further mail, up to LONGEST_PAUSE
LONGEST_PAUSE = timedelta(days=1)
FREE_MAILS = 3  # to one address, by one person from teams that have not written to it


class InvitationNotFoundError(WorkspaceError):
    """No invitation has this link."""

    code, status = "not_found", 404
    text = "This invitation does not exist. Ask for a new one, or check whether the whole link was copied."


class InvitationUsedError(WorkspaceError):
    """Somebody accepted it already."""

    code, status = "invitation_used", 410
    text = "This invitation was used already. Ask for a new one."


class InvitationExpiredError(WorkspaceError):
    """Its time is over."""

    code, status = "invitation_expired", 410
    text = "This invitation has expired. Ask for a new one."


class InvitationRevokedError(WorkspaceError):
    """Whoever manages the workspace took it back."""

    code, status = "invitation_revoked", 410
    text = "This invitation was taken back. Ask for a new one."


class WrongAddressError(WorkspaceError):
    """It is for another address than those the person confirmed."""

    code, status = "invitation_for_another_address", 403

    def __init__(self, email: str) -> None:
        super().__init__(f"This invitation is for {email}. Sign in with the account that has this address.")


class AlreadyMemberError(WorkspaceError):
    """The person is a member already."""

    code = "already_member"
    text = "You are a member of this workspace already."


class TooManyInvitationsError(WorkspaceError):
    """More than MAX_A_DAY by one person, or MAX_PENDING of one workspace."""

    code, status = "too_many_invitations", 429


def invite(*, acting: User, workspace: Workspace, role: Role, email: str = "") -> tuple[Invitation, str]:
    """Invite whoever has this address, also by mail; without an address, whoever has the link. (invitation, its link).

    Only a hash of the link is stored: nobody can show it again. Inviting an address again replaces the earlier
    invitation, whose link stops working. AlreadyMemberError, TooManyInvitationsError.
    """
    email = email.strip().lower()
    with locked(workspace, acting, least=Role.ADMIN) as (team, _mine):
        if role == Role.OWNER:
            msg = "Invite the person as an admin or member first; owners can make them an owner then."
            raise NotAllowedError(msg)
        if email and Membership.objects.filter(workspace=team, user__email__iexact=email).exists():
            msg = f"{email} is a member already."
            raise AlreadyMemberError(msg)
        found = Invitation.objects.pending().filter(workspace=team, email=email).first() if email else None
        if found is None:
            _refuse_too_many(team, acting)
            found = Invitation(workspace=team, email=email)
        _refuse_too_soon(team, acting, email)
        found.invited_by, found.role = acting, role
        return found, _new_link(found)


def renew(*, acting: User, invitation: Invitation) -> tuple[Invitation, str]:
    """The same invitation with a new link and a new end, also by mail if it has an address. Earlier links stop working.

    InvitationUsedError, InvitationRevokedError, TooManyInvitationsError.
    """
    with locked(invitation.workspace, acting, least=Role.ADMIN) as (team, _mine):
        found = _pending(team, invitation)
        _refuse_too_soon(team, acting, found.email)
        return found, _new_link(found)


def revoke(*, acting: User, invitation: Invitation) -> None:
    """Take an invitation back; its link stops working at once."""
    with locked(invitation.workspace, acting, least=Role.ADMIN) as (team, _mine):
        found = _pending(team, invitation)
        found.revoked_at = timezone.now()
        found.save(update_fields=["revoked_at"])


def accept(*, acting: User, token: str) -> Membership:
    """Join the workspace that this link invites to. The errors of this module, TooManyWorkspacesError."""
    found = Invitation.objects.with_token(token)
    if found is None:
        raise InvitationNotFoundError
    return _join(acting, found)


def accept_addressed(*, acting: User, invitation_id: int) -> Membership:
    """Join by an invitation to an address that one confirmed, without its link. As `accept`."""
    found = Invitation.objects.addressed_to(acting).select_related("workspace").filter(pk=invitation_id).first()
    if found is None:
        raise InvitationNotFoundError
    return _join(acting, found)


def check(invitation: Invitation, workspace: Workspace) -> None:
    """The error that says why this invitation cannot be accepted by anybody; None of them if it can."""
    if invitation.accepted_at is not None:
        raise InvitationUsedError
    if invitation.revoked_at is not None:
        raise InvitationRevokedError
    if invitation.is_expired:
        raise InvitationExpiredError
    inviter = invitation.invited_by
    if inviter is not None and (inviter.is_suspended or not inviter.is_active):
        raise InvitationRevokedError
    if workspace.is_dissolving:
        msg = "This team is being dissolved. Nobody can join it at the moment."
        raise DissolvingError(msg)


def _new_link(found: Invitation) -> str:
    """The address of the page that accepts the invitation, on the public host. Saves the row, and mails the link.

    The mail is a row of the same transaction: a mail server that is away gets it later.
    """
    token = found.draw_token()
    if found.email:
        found.sent_at, found.mails = timezone.now(), found.mails + 1
    found.save()
    link = f"{settings.PUBLIC_ORIGIN}{reverse('invitation', args=[token])}"
    if found.email:
        context = {"invitation": found, "workspace": found.workspace, "invitation_url": link}
        get_adapter().send_mail("account/email/workspace_invitation", found.email, context)
    return link


def _join(acting: User, found: Invitation) -> Membership:
    with transaction.atomic():
        # The workspace first, as every change of its members: of two people who accept at once, one waits here.
        team = Workspace.objects.select_for_update(no_key=True).filter(pk=found.workspace_id).first()
        now = Invitation.objects.select_for_update(of=("self",)).filter(pk=found.pk).first()
        if team is None or now is None or now.token_hash != found.token_hash:
            raise InvitationNotFoundError
        if Membership.objects.filter(workspace=team, user=acting).exists():
            raise AlreadyMemberError
        check(now, team)
        if not now.is_for(acting):
            raise WrongAddressError(now.email)
        make_room(acting)
        now.accepted_at, now.accepted_by = timezone.now(), acting
        now.save(update_fields=["accepted_at", "accepted_by"])
        return Membership.objects.create(workspace=team, user=acting, role=now.role)


def _pending(team: Workspace, invitation: Invitation) -> Invitation:
    """The invitation's row as it is now. InvitationUsedError, InvitationRevokedError, InvitationNotFoundError."""
    now = Invitation.objects.select_for_update(of=("self",)).filter(pk=invitation.pk, workspace=team).first()
    if now is None:
        raise InvitationNotFoundError
    if now.accepted_at is not None:
        msg = "This invitation was accepted a moment ago."
        raise InvitationUsedError(msg)
    if now.revoked_at is not None:
        raise InvitationRevokedError
    return now


def _refuse_too_soon(team: Workspace, acting: User, email: str) -> None:
    """Each mail that an address gets from this team, or from this person anywhere, makes the next wait twice as long.

    What was taken back counts too: nobody shall write without end to somebody who did not ask for it. Who sets up a few
    teams at once invites to all of them.
    """
    if not email:
        return
    sent = Invitation.objects.filter(Q(workspace=team) | Q(invited_by=acting), email=email, accepted_at=None)
    found = sent.aggregate(last=Max("sent_at"), mails=Sum("mails"), here=Max("sent_at", filter=Q(workspace=team)))
    if found["last"] is None or (found["here"] is None and found["mails"] < FREE_MAILS):
        return
    pause = min(RESEND_AFTER * 2 ** min(max(found["mails"], 1) - 1, 20), LONGEST_PAUSE)
    if (left := found["last"] + pause - timezone.now()) > timedelta(0):
        minutes = math.ceil(left / timedelta(minutes=1))
        wait = f"{minutes} minute{'s' * (minutes != 1)}" if minutes < 120 else f"{math.ceil(minutes / 60)} hours"
        msg = f"We sent {email} an invitation already. Wait {wait} before you send it again."
        raise TooManyInvitationsError(msg)


def _refuse_too_many(team: Workspace, acting: User) -> None:
    since = timezone.now() - timedelta(days=1)
    if Invitation.objects.filter(invited_by=acting, created_at__gt=since).count() >= MAX_A_DAY:
        msg = f"You invited {MAX_A_DAY} people today, the most that is possible. Go on tomorrow."
        raise TooManyInvitationsError(msg)
    if Invitation.objects.pending().filter(workspace=team).count() >= MAX_PENDING:
        msg = f"{MAX_PENDING} invitations to this workspace are open, the most that is possible. Take some back first."
        raise TooManyInvitationsError(msg)
