"""Deleting an account: asked for by its owner, who can keep it for a while, then done by a worker.

Between the two it is closed: what holds for suspended people holds for it, so nothing of it runs or signs in. Only
whoever proves once more to be its owner can keep it.
"""

from __future__ import annotations

from datetime import datetime

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.core import signing
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts import workspaces
from accounts.models import (
    ApiKey,
    Avatar,
    Invitation,
    Membership,
    Role,
    User,
    Workspace,
    access_changed,
    access_suspended,
)
from accounts.models.workspace import GRACE

PASS_SECONDS = 15 * 60  # for which whoever just proved to be the owner may say that they keep the account
GONE_NAME = "Deleted account"
_SALT = "accounts.closing"


class ClosingError(Exception):
    """The account cannot be deleted now; `str()` says why, and what to do first."""

    code, status = "cannot_delete_account", 409


class NeedsOwnerError(ClosingError):
    """Teams with other members would be without an owner. `teams` are these."""

    code = "last_owner"

    def __init__(self, teams: list[Workspace]) -> None:
        names = ", ".join(f"“{each.name}”" for each in teams[:5])
        more = f" and {len(teams) - 5} more" if len(teams) > 5 else ""
        super().__init__(
            f"You are the only owner of {names}{more}, where other people work. Make one of them an owner or dissolve "
            "the team first, then delete your account."
        )
        self.teams = teams


def close(person: User) -> datetime:
    """End this person's sessions, connections and work at once; the account is deleted after the time returned.

    Teams that have nobody else are dissolved with it. A mail says so. NeedsOwnerError; ClosingError.
    """
    with transaction.atomic():
        # Owners who close their accounts at the same moment wait for each other here: see `workspaces.locked`.
        owned = _owned(person)
        list(owned.order_by("pk").select_for_update(no_key=True, of=("self",)).values_list("pk"))
        if lonely := list(owned.filter(_has_others(person), ~_has_other_owner(person)).order_by("name")[:50]):
            raise NeedsOwnerError(lonely)
        now = timezone.now()
        _ensure_not_last_superuser(person)
        after = now + GRACE
        changed = User.objects.filter(pk=person.pk, suspended_at=None).update(
            suspended_at=now, closed_at=now, delete_after=after, session_epoch=F("session_epoch") + 1
        )
        if not changed:
            msg = "This account is suspended or closed already."
            raise ClosingError(msg)
        alone = owned.filter(~_has_others(person), dissolve_after=None).values_list("pk", flat=True)
        Workspace.objects.filter(pk__in=list(alone)).update(dissolve_after=after)
        _mail("account_closed", person, delete_after=after)
        access_suspended.send(sender=User, user_id=person.pk)
        access_changed.send(sender=User, user_id=person.pk)
    person.refresh_from_db()
    return after


def keep(person: User) -> bool:
    """Open the account again, with the teams that were dissolved with it. False: it is not closed, or it is too late.

    An account that staff suspended meanwhile stays suspended. Keys work again, sessions do not come back.
    """
    with transaction.atomic():
        row = User.objects.select_for_update(no_key=True).filter(pk=person.pk, delete_after__gt=timezone.now()).first()
        if row is None:
            return False
        with_it = _owned(row).filter(dissolve_after=row.delete_after).values_list("pk", flat=True)
        Workspace.objects.filter(pk__in=list(with_it)).update(dissolve_after=None)
        is_suspended = row.suspended_at != row.closed_at
        stays = {} if is_suspended else {"suspended_at": None}
        User.objects.filter(pk=row.pk).update(closed_at=None, delete_after=None, **stays)
        _mail("account_kept", row)
    person.refresh_from_db()
    return True


def pass_for(person: User) -> str:
    """A text with which whoever just proved to be this person may keep the account, for PASS_SECONDS."""
    return signing.dumps([person.pk, person.session_epoch], salt=_SALT)


def holder_of(token: str) -> User | None:
    """The person whose pass this is, whose account can be kept; None for any other text."""
    try:
        pk, epoch = signing.loads(token, salt=_SALT, max_age=PASS_SECONDS)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    person = User.objects.filter(pk=pk, session_epoch=epoch, is_active=True).first()
    return person if person is not None and person.may_keep else None


def due() -> QuerySet[User]:
    """Those whose time is up, the oldest first."""
    return User.objects.filter(delete_after__lt=timezone.now()).order_by("delete_after")


def part(person: User) -> bool:
    """End what this person still has with other people: memberships, keys, invitations. May be repeated.

    If a team would be left without an owner, its longest-standing admin or member becomes the owner. False while a team
    that this person dissolved is not gone yet.
    """
    for mine in Membership.objects.of(person).filter(workspace__person=None).order_by("workspace"):
        with transaction.atomic():
            team = Workspace.objects.select_for_update(no_key=True).filter(pk=mine.workspace_id).first()
            if team is None:
                continue
            others = Membership.objects.filter(workspace=team).exclude(user=person)
            if not others.exists():
                Workspace.objects.filter(pk=team.pk, dissolve_after=None).update(dissolve_after=timezone.now())
                continue
            if not others.filter(role=Role.OWNER).exists():
                _promote(others)
            workspaces.end_membership(team, mine)
    return not Membership.objects.of(person).filter(workspace__person=None).exists()


def forget(person: User, *, leaves_work: bool) -> None:
    """Delete the account's row and all that is left of it, in one transaction, with the last mail to its address.

    When it `leaves_work` in teams, which belongs to them, the row stays as a name for whoever made that, empty: nobody
    can sign in to it, and the address is free.
    """
    with transaction.atomic():
        row = due().select_for_update().filter(pk=person.pk).first()
        if row is None:
            return
        _mail("account_deleted", row)
        for session in UserSession.objects.filter(user=row):
            session.end()
        ApiKey.objects.filter(user=row).delete()
        Invitation.objects.filter(email__iexact=row.email).delete()
        if not leaves_work:
            row.delete()
            return
        for model in (EmailAddress, Authenticator, SocialAccount, UserSession):
            model.objects.filter(user=row).delete()
        Avatar.objects.filter(user=row).delete()
        Workspace.objects.filter(person=row).delete()
        row.groups.clear()
        row.user_permissions.clear()
        row.set_unusable_password()
        User.objects.filter(pk=row.pk).update(
            email=f"deleted-{row.pk}@account.invalid",
            first_name=GONE_NAME,
            last_name="",
            password=row.password,
            last_login=None,
            time_zone="",
            avatar_hash="",
            notify_after_minutes=None,
            notified_until=None,
            is_active=False,
            is_staff=False,
            is_superuser=False,
            plan=None,
            suspension_reason="",
            suspended_by=None,
            closed_at=None,
            delete_after=None,
            session_epoch=F("session_epoch") + 1,
        )


def _owned(person: User) -> QuerySet[Workspace]:
    """The teams that this person is an owner of."""
    mine = Membership.objects.of(person).filter(role=Role.OWNER)
    return Workspace.objects.filter(pk__in=mine.values("workspace"), person=None)


def _has_others(person: User) -> Exists:
    return Exists(Membership.objects.filter(workspace=OuterRef("pk")).exclude(user=person))


def _has_other_owner(person: User) -> Exists:
    return Exists(Membership.objects.owners().filter(workspace=OuterRef("pk")).exclude(user=person))


def _ensure_not_last_superuser(person: User) -> None:
    if not person.is_superuser:
        return
    superusers = User.objects.filter(is_superuser=True)
    # Locked: of two who close their accounts at the same moment, one waits here.
    list(superusers.order_by("pk").select_for_update(no_key=True).values_list("pk"))
    if not superusers.filter(is_active=True, suspended_at=None).exclude(pk=person.pk).exists():
        msg = "You are the only superuser of this site. Make somebody else one first, then delete your account."
        raise ClosingError(msg)


def _promote(others: QuerySet[Membership]) -> None:
    oldest = others.order_by("created_at", "pk")
    able = oldest.filter(user__is_active=True, user__suspended_at=None)
    heir = able.filter(role=Role.ADMIN).first() or able.first() or oldest.first()
    if heir is not None:
        Membership.objects.filter(pk=heir.pk).update(role=Role.OWNER)


def _mail(name: str, person: User, **context: datetime) -> None:
    link = f"{settings.PUBLIC_ORIGIN}{reverse('account_login')}"
    get_adapter().send_mail(f"account/email/{name}", person.email, {"user": person, "sign_in_url": link, **context})
