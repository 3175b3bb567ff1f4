"""Staff appoint an owner for a team whose owners are all suspended, deactivated or gone: nobody else could."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.db import transaction
from django.urls import reverse

from accounts import audit
from accounts.models import Membership, MembershipQuerySet, Role, User, Workspace
from accounts.standing import ensure_within_reach
from accounts.workspaces import NotAMemberError, PersonalWorkspaceError, WorkspaceError

PERMISSION = "accounts.change_workspace"


class HasOwnerError(WorkspaceError):
    """Somebody can look after the team already."""

    code = "has_owner"
    text = "This team has an owner who can sign in. Owners appoint others themselves."


class CannotSignInError(WorkspaceError):
    """Whoever is chosen could not look after the team, either."""

    code = "cannot_sign_in"
    text = "This member cannot sign in at the moment, and so cannot look after the team."


def needs_owner(team: Workspace) -> bool:
    """Whether nobody who can sign in owns it."""
    return not team.is_personal and not Membership.objects.owners().filter(workspace=team).exists()


def able(team: Workspace) -> MembershipQuerySet:
    """Members who can sign in, those with the higher role first, then those who are there for longer."""
    rows = Membership.objects.filter(workspace=team, user__is_active=True, user__suspended_at=None)
    return rows.select_related("user").order_by("role", "created_at", "pk")  # “admin” comes before “member”


def appoint(person: User, *, to: Workspace, by: User, address: str = "") -> Membership:
    """Make a member an owner of the team, and tell them by mail. Owners who cannot sign in stay what they are.

    HasOwnerError, CannotSignInError, PersonalWorkspaceError, NotAMemberError; standing.OutOfReachError.
    """
    ensure_within_reach(by, person)
    with transaction.atomic():
        # As all changes of a team: see `workspaces.locked`.
        team = Workspace.objects.select_for_update(no_key=True).get(pk=to.pk)
        if team.is_personal:
            raise PersonalWorkspaceError
        target = Membership.objects.select_for_update(of=("self",)).filter(workspace=team, user=person).first()
        if target is None:
            msg = "This person is not a member of the team."
            raise NotAMemberError(msg)
        if not needs_owner(team):
            raise HasOwnerError
        if not able(team).filter(pk=target.pk).exists():
            raise CannotSignInError
        target.role = Role.OWNER
        target.save(update_fields=["role"])
        audit.record(audit.OWNER_APPOINTED, by=by, target=team, person=person, address=address)
        _mail(team, person)
    return target


def _mail(team: Workspace, person: User) -> None:
    link = f"{settings.PUBLIC_ORIGIN}{reverse('workspace', args=[team.public_id])}"
    context = {"workspace": team, "workspace_url": link}
    get_adapter().send_mail("account/email/owner_appointed", person.email, context)
