"""Staff appoint an owner for a team that has none who can sign in, and for no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core import mail
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts import appointing, standing, workspaces
from accounts.models import AuditEntry, Membership, Role, User, Workspace
from accounts.standing import OutOfReachError
from accounts.workspaces import LastOwnerError, NotAMemberError, PersonalWorkspaceError, WorkspaceError
from tests.support.factories import make_team, make_user
from tests.support.threads import together

pytestmark = pytest.mark.django_db


@pytest.fixture
def member() -> User:
    return make_user("member@example.com")


@pytest.fixture
def team(owner: User, stranger: User, member: User) -> Workspace:
    return make_team(owner, admin=stranger, member=member)


@pytest.fixture
def boss(staff: User) -> User:
    needed = ("change_workspace", "view_workspace")
    staff.user_permissions.add(*Permission.objects.filter(codename__in=needed, content_type__app_label="accounts"))
    return User.objects.get(pk=staff.pk)


def suspend(person: User, by: User) -> None:
    standing.suspend(person, by=by, reason="spam")


def role_of(user: User, team: Workspace) -> str:
    return Membership.objects.get(user=user, workspace=team).role


def test_a_member_becomes_the_owner_and_hears_of_it_and_the_log_has_it(
    owner: User, member: User, staff: User, team: Workspace
) -> None:
    assert not appointing.needs_owner(team)
    suspend(owner, staff)
    assert appointing.needs_owner(team)
    appointing.appoint(member, to=team, by=staff, address="192.0.2.1")
    assert (role_of(member, team), role_of(owner, team)) == (Role.OWNER, Role.OWNER)
    entry = AuditEntry.objects.latest("pk")
    assert (entry.verb, entry.actor_id, entry.target_label) == ("appointed an owner", staff.pk, team.name)
    assert (entry.person_id, entry.address) == (member.pk, "192.0.2.1")
    assert mail.outbox[-1].to == [member.email] and team.name in mail.outbox[-1].subject
    workspaces.rename(acting=member, workspace=team, name="New")


def test_a_team_that_has_an_owner_is_left_alone(member: User, staff: User, team: Workspace) -> None:
    with pytest.raises(appointing.HasOwnerError):
        appointing.appoint(member, to=team, by=staff)
    assert role_of(member, team) == Role.MEMBER


def test_only_members_who_can_sign_in_are_appointed(
    owner: User, stranger: User, member: User, staff: User, team: Workspace
) -> None:
    for each in (owner, stranger):
        suspend(each, staff)
    with pytest.raises(appointing.CannotSignInError):
        appointing.appoint(stranger, to=team, by=staff)
    with pytest.raises(NotAMemberError):
        appointing.appoint(make_user("elsewhere@example.com"), to=team, by=staff)
    with pytest.raises(PersonalWorkspaceError):
        appointing.appoint(owner, to=Workspace.objects.get(person=owner), by=staff)
    assert [each.user for each in appointing.able(team)] == [member]


def test_nobody_appoints_themselves(owner: User, staff: User, team: Workspace) -> None:
    Membership.objects.create(workspace=team, user=staff)
    suspend(owner, staff)
    with pytest.raises(OutOfReachError):
        appointing.appoint(staff, to=team, by=staff)


def test_the_page_of_the_team_offers_it_where_it_is_needed(
    owner: User, member: User, boss: User, team: Workspace, client_for: Callable[[User], Client]
) -> None:
    client, page = client_for(boss), reverse("admin:accounts_workspace_change", args=[team.pk])
    assert "no owner who can sign in" not in client.get(page).content.decode()
    suspend(owner, boss)
    shown = client.get(page).content.decode()
    assert "no owner who can sign in" in shown and member.email in shown and f"{owner.email} (" not in shown
    address = reverse("admin:workspace_appoint", args=[team.pk])
    done = client.post(address, {"member": member.pk}, follow=True)
    assert "is an owner of" in done.content.decode()
    assert role_of(member, team) == Role.OWNER
    again = client.post(address, {"member": member.pk}, follow=True)
    assert "has an owner who can sign in" in again.content.decode()
    assert client.post(address, {"member": "nobody"}).status_code == 404


def test_staff_without_the_permission_and_others_may_not(
    owner: User, member: User, staff: User, team: Workspace, client_for: Callable[[User], Client]
) -> None:
    suspend(owner, staff)
    address = reverse("admin:workspace_appoint", args=[team.pk])
    plain = make_user("plain-staff@example.com", is_staff=True)
    assert client_for(plain).post(address, {"member": member.pk}).status_code == 403
    assert client_for(member).post(address, {"member": member.pk}).status_code in {302, 403}
    assert Client().post(address, {"member": member.pk}).status_code == 302
    assert role_of(member, team) == Role.MEMBER


# ------------------------------------------------------------------------------------------- at the same moment
def at_once(*changes: Callable[[], object]) -> list[WorkspaceError]:
    """Make all these changes at the same moment; what was refused."""
    outcomes = together(*changes)
    refused = [each for each in outcomes if isinstance(each, WorkspaceError)]
    failed = [each for each in outcomes if isinstance(each, BaseException) and each not in refused]
    assert failed == []
    return refused


def of(user: User, team: Workspace) -> Membership:
    return Membership.objects.get(user=user, workspace=team)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["leave", "demote", "transfer and leave"])
def test_of_two_owners_who_go_at_the_same_moment_one_stays(
    owner: User, stranger: User, team: Workspace, how: str
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")
    Membership.objects.filter(user=stranger, workspace=team).update(role=Role.OWNER)
    mine, theirs = of(owner, team), of(stranger, team)
    changes: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "leave": (
            lambda: workspaces.leave(acting=owner, workspace=team),
            lambda: workspaces.leave(acting=stranger, workspace=team),
        ),
        "demote": (
            lambda: workspaces.change_role(acting=owner, member=theirs, role=Role.MEMBER),
            lambda: workspaces.change_role(acting=stranger, member=mine, role=Role.MEMBER),
        ),
        "transfer and leave": (
            lambda: workspaces.leave(acting=owner, workspace=team),
            lambda: workspaces.change_role(acting=stranger, member=theirs, role=Role.ADMIN),
        ),
    }
    refused = at_once(*changes[how])
    assert len(refused) == 1
    assert Membership.objects.owners().filter(workspace=team).count() == 1
    if how != "demote":
        assert isinstance(refused[0], LastOwnerError)


@pytest.mark.django_db(transaction=True)
def test_of_two_members_who_are_appointed_at_the_same_moment_one_is(
    owner: User, stranger: User, member: User, staff: User, team: Workspace
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")
    suspend(owner, staff)
    refused = at_once(
        lambda: appointing.appoint(stranger, to=team, by=staff),
        lambda: appointing.appoint(member, to=team, by=staff),
    )
    assert [type(each) for each in refused] == [appointing.HasOwnerError]
    assert Membership.objects.owners().filter(workspace=team).count() == 1
