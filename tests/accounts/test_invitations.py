"""Invitations: for another address, used twice, expired, taken back, sent again, and accepted by two at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts import invitations, workspaces
from accounts.invitations import (
    AlreadyMemberError,
    InvitationExpiredError,
    InvitationNotFoundError,
    InvitationRevokedError,
    InvitationUsedError,
    TooManyInvitationsError,
    WrongAddressError,
)
from accounts.models import Invitation, Membership, OutgoingMail, Role, User, Workspace
from accounts.workspaces import (
    DissolvingError,
    NotAllowedError,
    NotAMemberError,
    PersonalWorkspaceError,
    TooManyWorkspacesError,
)
from tests.support.factories import make_team, make_user
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db
GUEST = "guest@example.com"


@pytest.fixture
def team(owner: User) -> Workspace:
    return make_team(owner)


@pytest.fixture
def guest() -> User:
    return make_user(GUEST)


def token_of(link: str) -> str:
    return link.rstrip("/").rsplit("/", 1)[1]


def invite(acting: User, team: Workspace, email: str = "", role: Role = Role.MEMBER) -> str:
    """The token of a new invitation."""
    return token_of(invitations.invite(acting=acting, workspace=team, role=role, email=email)[1])


def test_the_mail_has_a_link_that_works(
    owner: User, team: Workspace, guest: User, mailoutbox: Any, settings: Any
) -> None:
    settings.PUBLIC_ORIGIN = settings.PUBLIC_URL = "https://studio.example.com"
    invitation, link = invitations.invite(acting=owner, workspace=team, role=Role.ADMIN, email=" Guest@Example.com ")
    (mail,) = mailoutbox
    assert mail.to == [GUEST]
    assert link.startswith("https://studio.example.com/account/invitations/")
    assert link in mail.body
    assert any(link in content for content, kind in mail.alternatives if kind == "text/html")
    assert invitation.sent_at is not None
    joined = invitations.accept(acting=guest, token=token_of(link))
    assert (joined.workspace, joined.user, joined.role) == (team, guest, Role.ADMIN)


def test_only_a_hash_of_the_link_is_kept(owner: User, team: Workspace) -> None:
    token = invite(owner, team)
    assert token not in str(Invitation.objects.values().get())


def test_whoever_has_an_open_link_joins_once(owner: User, team: Workspace, guest: User, stranger: User) -> None:
    token = invite(owner, team)
    invitations.accept(acting=guest, token=token)
    with pytest.raises(InvitationUsedError):
        invitations.accept(acting=stranger, token=token)
    with pytest.raises(AlreadyMemberError):
        invitations.accept(acting=guest, token=token)
    found = Invitation.objects.get()
    assert (found.accepted_by, found.accepted_at is not None) == (guest, True)


def test_an_invitation_for_another_address_is_refused(
    owner: User, team: Workspace, guest: User, stranger: User
) -> None:
    token = invite(owner, team, GUEST)
    with pytest.raises(WrongAddressError, match=GUEST):
        invitations.accept(acting=stranger, token=token)
    assert not Membership.objects.filter(workspace=team, user=stranger).exists()


def test_an_address_counts_only_once_it_was_confirmed(owner: User, team: Workspace, stranger: User) -> None:
    token = invite(owner, team, "new@example.com")
    address = EmailAddress.objects.create(user=stranger, email="new@example.com", verified=False)
    with pytest.raises(WrongAddressError):
        invitations.accept(acting=stranger, token=token)
    assert not Invitation.objects.addressed_to(stranger).exists()
    address.verified = True
    address.save()
    assert Invitation.objects.addressed_to(stranger).exists()
    invitations.accept(acting=stranger, token=token)


def test_an_expired_one_is_refused_until_it_is_renewed(owner: User, team: Workspace, guest: User) -> None:
    token = invite(owner, team)
    Invitation.objects.update(expires_at=timezone.now())
    with pytest.raises(InvitationExpiredError):
        invitations.accept(acting=guest, token=token)
    _found, link = invitations.renew(acting=owner, invitation=Invitation.objects.get())
    with pytest.raises(InvitationNotFoundError):
        invitations.accept(acting=guest, token=token)
    invitations.accept(acting=guest, token=token_of(link))


def test_one_that_was_taken_back_is_refused(owner: User, team: Workspace, guest: User) -> None:
    token = invite(owner, team, GUEST)
    found = Invitation.objects.get()
    invitations.revoke(acting=owner, invitation=found)
    with pytest.raises(InvitationRevokedError):
        invitations.accept(acting=guest, token=token)
    with pytest.raises(InvitationRevokedError):
        invitations.revoke(acting=owner, invitation=found)
    with pytest.raises(InvitationNotFoundError):
        invitations.accept_addressed(acting=guest, invitation_id=found.pk)


def test_no_link_leads_to_none(guest: User) -> None:
    with pytest.raises(InvitationNotFoundError):
        invitations.accept(acting=guest, token="made-up")


def test_people_find_invitations_to_their_address_without_the_mail(
    owner: User, team: Workspace, guest: User, stranger: User
) -> None:
    invite(owner, team, GUEST)
    found = Invitation.objects.addressed_to(guest).get()
    with pytest.raises(InvitationNotFoundError):
        invitations.accept_addressed(acting=stranger, invitation_id=found.pk)
    assert invitations.accept_addressed(acting=guest, invitation_id=found.pk).workspace == team
    assert not Invitation.objects.addressed_to(guest).exists()


def test_an_open_link_is_addressed_to_nobody(owner: User, team: Workspace, guest: User) -> None:
    invite(owner, team)
    assert not Invitation.objects.addressed_to(guest).exists()


def test_inviting_again_replaces_the_earlier_link(
    owner: User, team: Workspace, guest: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = invite(owner, team, GUEST)
    with pytest.raises(TooManyInvitationsError):
        invite(owner, team, GUEST)
    Invitation.objects.update(sent_at=timezone.now() - timedelta(hours=1))
    second = invite(owner, team, GUEST, Role.ADMIN)
    assert Invitation.objects.get().role == Role.ADMIN
    with pytest.raises(InvitationNotFoundError):
        invitations.accept(acting=guest, token=first)
    invitations.accept(acting=guest, token=second)


def later(**more: float) -> None:
    """As if the mails so far had been sent that long ago."""
    Invitation.objects.filter(sent_at__isnull=False).update(sent_at=F("sent_at") - timedelta(**more))


@pytest.mark.parametrize("way", ["renew", "invite anew"])
def test_each_mail_to_an_address_makes_the_next_one_wait_longer(owner: User, team: Workspace, way: str) -> None:
    def again() -> None:
        found = Invitation.objects.get(revoked_at=None)
        if way == "renew":
            invitations.renew(acting=owner, invitation=found)
        else:
            invitations.revoke(acting=owner, invitation=found)
            invite(owner, team, GUEST)

    invite(owner, team, GUEST)
    later(seconds=61)
    again()
    later(seconds=61)
    with pytest.raises(TooManyInvitationsError, match="Wait 1 minute before"), transaction.atomic():
        again()
    Invitation.objects.update(mails=20)
    later(hours=3)
    with pytest.raises(TooManyInvitationsError, match="Wait 21 hours before"), transaction.atomic():
        again()


def test_further_teams_are_no_way_around_that(owner: User, team: Workspace) -> None:
    for _ in range(3):
        invite(owner, make_team(owner), GUEST)
    with pytest.raises(TooManyInvitationsError):
        invite(owner, team, GUEST)
    invite(owner, team, "another@example.com")


def test_the_database_keeps_one_open_invitation_for_an_address(owner: User, team: Workspace) -> None:
    rows = {"workspace": team, "email": GUEST, "expires_at": timezone.now()}
    Invitation.objects.create(token_hash="a", revoked_at=timezone.now(), **rows)
    Invitation.objects.create(token_hash="b", **rows)
    with pytest.raises(IntegrityError), transaction.atomic():
        Invitation.objects.create(token_hash="c", **rows)


def test_a_mail_server_that_is_away_costs_nobody_the_invitation(
    owner: User, team: Workspace, guest: User, settings: Any
) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_HOST = "comfysaas.mail.Outbox", "mail.example.com"
    invite(owner, team, GUEST)
    assert OutgoingMail.objects.due().get().recipients == [GUEST]
    assert Invitation.objects.addressed_to(guest).exists()  # meanwhile


def test_admins_invite_but_members_and_strangers_do_not(owner: User, stranger: User) -> None:
    admin, member = make_user("admin@example.com"), make_user("member@example.com")
    team = make_team(owner, admin=admin, member=member)
    invite(admin, team)
    with pytest.raises(NotAllowedError):
        invite(member, team)
    with pytest.raises(NotAMemberError):
        invite(stranger, team)
    with pytest.raises(NotAllowedError):
        invite(owner, team, "new@example.com", Role.OWNER)
    with pytest.raises(PersonalWorkspaceError):
        invite(owner, Workspace.objects.personal_of(owner))
    found = Invitation.objects.get()
    with pytest.raises(NotAllowedError):
        invitations.revoke(acting=member, invitation=found)
    with pytest.raises(NotAMemberError):
        invitations.renew(acting=stranger, invitation=found)


def test_members_are_not_invited_again(owner: User, team: Workspace) -> None:
    with pytest.raises(AlreadyMemberError, match="is a member already"):
        invite(owner, team, "OWNER@example.com")


def test_invitations_are_limited_in_number(owner: User, team: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations, "MAX_A_DAY", 2)
    invite(owner, team)
    invite(owner, team)
    with pytest.raises(TooManyInvitationsError, match="today"):
        invite(owner, team)
    monkeypatch.setattr(invitations, "MAX_A_DAY", 9)
    monkeypatch.setattr(invitations, "MAX_PENDING", 2)
    with pytest.raises(TooManyInvitationsError, match="open"):
        invite(owner, team)


def test_nobody_joins_a_team_that_is_being_dissolved(owner: User, team: Workspace, guest: User) -> None:
    token = invite(owner, team)
    workspaces.dissolve(acting=owner, workspace=team)
    with pytest.raises(DissolvingError):
        invitations.accept(acting=guest, token=token)


@pytest.mark.parametrize("change", [{"suspended_at": timezone.now()}, {"is_active": False}])
def test_what_a_suspended_person_sent_lets_nobody_in(
    owner: User, team: Workspace, guest: User, change: dict[str, Any]
) -> None:
    token = invite(owner, team, GUEST)
    User.objects.filter(pk=owner.pk).update(**change)
    assert not Invitation.objects.addressed_to(guest).exists()
    with pytest.raises(InvitationRevokedError):
        invitations.accept(acting=guest, token=token)


def test_whoever_is_in_too_many_workspaces_may_accept_later(
    owner: User, team: Workspace, guest: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspaces, "MAX_WORKSPACES", 1)
    token = invite(owner, team)
    with pytest.raises(TooManyWorkspacesError):
        invitations.accept(acting=guest, token=token)
    monkeypatch.setattr(workspaces, "MAX_WORKSPACES", 2)
    invitations.accept(acting=guest, token=token)


@pytest.mark.django_db(transaction=True)
def test_accepting_twice_at_once_makes_one_membership() -> None:
    owner, guest = make_user("owner@example.com"), make_user(GUEST)
    team = make_team(owner)
    token = invite(owner, team)
    outcomes = at_once(lambda: invitations.accept(acting=guest, token=token))
    assert [type(each) for each in outcomes].count(Membership) == 1, outcomes
    assert {type(each) for each in outcomes} == {Membership, AlreadyMemberError}
    assert Membership.objects.filter(workspace=team, user=guest).count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_people_who_use_an_open_link_at_once_one_joins() -> None:
    owner = make_user("owner@example.com")
    team = make_team(owner)
    token = invite(owner, team)
    people = iter([make_user(f"guest-{number}@example.com") for number in range(4)])
    outcomes = at_once(lambda: invitations.accept(acting=next(people), token=token), times=4)
    assert [type(each) for each in outcomes].count(Membership) == 1, outcomes
    assert [type(each) for each in outcomes].count(InvitationUsedError) == 3, outcomes


@pytest.mark.django_db(transaction=True)
def test_an_invitation_is_accepted_or_taken_back_but_not_both() -> None:
    owner, guest = make_user("owner@example.com"), make_user(GUEST)
    team = make_team(owner)
    token = invite(owner, team)
    found = Invitation.objects.get()
    turns = iter(["accept", "revoke"])

    def run() -> object:
        if next(turns) == "accept":
            return invitations.accept(acting=guest, token=token)
        return invitations.revoke(acting=owner, invitation=found)

    at_once(run, times=2)
    found.refresh_from_db()
    has_joined = Membership.objects.filter(workspace=team, user=guest).exists()
    assert has_joined == (found.accepted_at is not None) == (found.revoked_at is None)
