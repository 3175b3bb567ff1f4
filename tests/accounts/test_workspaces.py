"""What members do with workspaces: roles, who may what, the last owner, and what happens at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import workspaces
from accounts.models import ApiKey, Invitation, KeyRefusedError, Membership, Plan, Role, User, Workspace
from accounts.tasks import delete_dissolved
from accounts.workspaces import (
    Caps,
    DissolvingError,
    LastOwnerError,
    NotAllowedError,
    NotAMemberError,
    PersonalWorkspaceError,
    RoleChangedError,
    TooManyWorkspacesError,
    WorkspaceError,
)
from tests.support.factories import make_key, make_team, make_user
from tests.support.threads import AT_ONCE, at_once

pytestmark = pytest.mark.django_db


class Cast(NamedTuple):
    owner: User
    admin: User
    member: User
    stranger: User
    team: Workspace

    def of(self, user: User) -> Membership:
        return Membership.objects.get(workspace=self.team, user=user)


def make_cast() -> Cast:
    people = [make_user(f"{name}@example.com") for name in ("owner", "admin", "member", "stranger")]
    return Cast(*people, make_team(people[0], admin=people[1], member=people[2]))


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def roles(team: Workspace) -> dict[str, str]:
    rows = Membership.objects.filter(workspace=team).select_related("user")
    return {each.user.email.split("@")[0]: each.role for each in rows}


# ---------------------------------------------------------------------------------- everybody has one of their own
def test_an_account_comes_with_its_workspace(owner: User) -> None:
    mine = Workspace.objects.get(person=owner)
    assert (mine.is_personal, mine.name) == (True, "Personal")
    assert Membership.objects.get(workspace=mine).role == Role.OWNER
    assert list(Workspace.objects.for_member(owner)) == [mine]


def test_nobody_has_two_personal_workspaces(owner: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Workspace.objects.create(name="Another", person=owner)


def test_a_user_of_the_release_before_gets_one_when_they_come(owner: User) -> None:
    owner.plan = Plan.objects.create(name="large")
    User.objects.filter(pk=owner.pk).update(plan=owner.plan)
    Workspace.objects.all().delete()
    mine = Workspace.objects.personal_of(owner)
    assert (mine.plan, mine.memberships.get().role) == (owner.plan, Role.OWNER)
    assert Workspace.objects.personal_of(owner) == mine


@pytest.mark.django_db(transaction=True)
def test_requests_at_the_same_moment_make_one() -> None:
    user = make_user()
    Workspace.objects.all().delete()
    assert {each.pk for each in at_once(lambda: Workspace.objects.personal_of(user))} == {Workspace.objects.get().pk}


def test_a_plan_of_the_user_is_that_of_their_workspace(owner: User) -> None:
    owner.plan = Plan.objects.create(name="large", max_queued=7)
    owner.save()
    assert Workspace.objects.get(person=owner).limits.max_queued == 7
    assert Workspace(name="x").limits.max_queued == 200


@pytest.mark.parametrize("change", ["leave", "dissolve", "rename", "transfer"])
def test_a_personal_workspace_stays_what_it_is(owner: User, change: str) -> None:
    mine = Workspace.objects.personal_of(owner)
    changes: dict[str, Callable[[], object]] = {
        "leave": lambda: workspaces.leave(acting=owner, workspace=mine),
        "dissolve": lambda: workspaces.dissolve(acting=owner, workspace=mine),
        "rename": lambda: workspaces.rename(acting=owner, workspace=mine, name="x"),
        "transfer": lambda: workspaces.transfer(acting=owner, to=mine.memberships.get()),
    }
    with pytest.raises(PersonalWorkspaceError):
        changes[change]()
    with pytest.raises(IntegrityError), transaction.atomic():
        Workspace.objects.filter(pk=mine.pk).update(dissolve_after=timezone.now())


# ---------------------------------------------------------------------------------- the door
def test_the_door_shows_members_what_is_theirs(cast: Cast) -> None:
    invitation = Invitation.objects.create(
        workspace=cast.team, token_hash="x", expires_at=timezone.now(), invited_by=cast.owner
    )
    for user in (cast.owner, cast.admin, cast.member):
        assert cast.team in Workspace.objects.for_member(user)
        assert Membership.objects.for_member(user).filter(workspace=cast.team).count() == 3
    assert list(Invitation.objects.for_member(cast.admin)) == [invitation]
    assert not Invitation.objects.for_member(cast.member).exists()
    for user in (cast.stranger, AnonymousUser()):
        assert cast.team not in Workspace.objects.for_member(user)
        assert not Membership.objects.for_member(user).filter(workspace=cast.team).exists()
        assert not Invitation.objects.for_member(user).exists()


# ---------------------------------------------------------------------------------- who may what
def test_whoever_creates_a_team_owns_it(owner: User) -> None:
    team = workspaces.create_team(acting=owner, name="Studio")
    assert roles(team) == {"owner": "owner"}


def test_nobody_is_in_more_workspaces_than_a_page_lists(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspaces, "MAX_WORKSPACES", 2)
    workspaces.create_team(acting=owner, name="one")
    with pytest.raises(TooManyWorkspacesError):
        workspaces.create_team(acting=owner, name="two")
    assert not Workspace.objects.filter(name="two").exists()


ACTIONS: dict[str, Callable[[Cast, User], object]] = {
    "rename": lambda cast, acting: workspaces.rename(acting=acting, workspace=cast.team, name="New"),
    "change role": lambda cast, acting: workspaces.change_role(
        acting=acting, member=cast.of(cast.member), role=Role.ADMIN
    ),
    "caps": lambda cast, acting: workspaces.set_caps(acting=acting, member=cast.of(cast.member), caps=Caps(1, 2, 3)),
    "remove": lambda cast, acting: workspaces.remove_member(acting=acting, member=cast.of(cast.member)),
    "touch an owner": lambda cast, acting: workspaces.remove_member(acting=acting, member=cast.of(cast.owner)),
    "make an owner": lambda cast, acting: workspaces.change_role(
        acting=acting, member=cast.of(cast.member), role=Role.OWNER
    ),
    "transfer": lambda cast, acting: workspaces.transfer(acting=acting, to=cast.of(cast.member)),
    "dissolve": lambda cast, acting: workspaces.dissolve(acting=acting, workspace=cast.team),
    "leave": lambda cast, acting: workspaces.leave(acting=acting, workspace=cast.team),
}
MAY = {
    "rename": {"owner", "admin"},
    "change role": {"owner", "admin"},
    "caps": {"owner", "admin"},
    "remove": {"owner", "admin"},
    "touch an owner": set(),  # there is only one, who has to stay
    "make an owner": {"owner"},
    "transfer": {"owner"},
    "dissolve": {"owner"},
    "leave": {"admin", "member"},
}


@pytest.mark.parametrize("who", ["owner", "admin", "member", "stranger"])
@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_who_may_what(cast: Cast, action: str, who: str) -> None:
    acting: User = getattr(cast, who)
    before = roles(cast.team)
    if who in MAY[action]:
        ACTIONS[action](cast, acting)
        return
    with pytest.raises(WorkspaceError) as refused:
        ACTIONS[action](cast, acting)
    expected = {"stranger": NotAMemberError, "owner": LastOwnerError}.get(who, NotAllowedError)
    assert type(refused.value) is expected
    assert roles(cast.team) == before


def test_what_was_changed_is_kept(cast: Cast) -> None:
    workspaces.rename(acting=cast.admin, workspace=cast.team, name="New")
    workspaces.set_caps(acting=cast.admin, member=cast.of(cast.member), caps=Caps(1, None, 3))
    workspaces.change_role(acting=cast.admin, member=cast.of(cast.member), role=Role.ADMIN)
    cast.team.refresh_from_db()
    member = cast.of(cast.member)
    assert cast.team.name == "New"
    assert (member.max_concurrent, member.max_queued, member.max_jobs_per_month) == (1, None, 3)
    assert member.role == Role.ADMIN


def test_transferring_swaps_roles(cast: Cast) -> None:
    workspaces.transfer(acting=cast.owner, to=cast.of(cast.member))
    assert roles(cast.team) == {"owner": "admin", "admin": "admin", "member": "owner"}
    with pytest.raises(WorkspaceError):
        workspaces.transfer(acting=cast.member, to=cast.of(cast.member))


def test_nobody_hands_a_team_to_somebody_who_cannot_sign_in(cast: Cast) -> None:
    User.objects.filter(pk=cast.member.pk).update(is_active=False)
    with pytest.raises(WorkspaceError):
        workspaces.transfer(acting=cast.owner, to=cast.of(cast.member))


def test_an_owner_who_was_deactivated_does_not_count(cast: Cast) -> None:
    workspaces.change_role(acting=cast.owner, member=cast.of(cast.admin), role=Role.OWNER)
    User.objects.filter(pk=cast.admin.pk).update(is_active=False)
    with pytest.raises(LastOwnerError):
        workspaces.leave(acting=cast.owner, workspace=cast.team)


def test_a_member_of_another_team_is_not_found(cast: Cast) -> None:
    other = make_team(cast.stranger, name="Other")
    theirs = Membership.objects.get(workspace=other, user=cast.stranger)
    with pytest.raises(NotAMemberError):
        workspaces.set_caps(acting=cast.owner, member=theirs, caps=Caps(1))


# ---------------------------------------------------------------------------------- the end of a membership
@pytest.mark.parametrize("how", ["removed", "left"])
def test_keys_and_invitations_of_a_member_end_with_the_membership(cast: Cast, how: str) -> None:
    secret = make_key(cast.admin, workspace=cast.team)
    own = make_key(cast.admin)
    rows = {"workspace": cast.team, "expires_at": timezone.now() + timedelta(days=1)}
    Invitation.objects.create(invited_by=cast.admin, token_hash="a", **rows)
    Invitation.objects.create(invited_by=cast.owner, token_hash="b", **rows)
    if how == "removed":
        workspaces.remove_member(acting=cast.owner, member=cast.of(cast.admin))
    else:
        workspaces.leave(acting=cast.admin, workspace=cast.team)
    assert ApiKey.objects.authenticate(secret) is None
    assert ApiKey.objects.authenticate(own) is not None
    assert list(Invitation.objects.usable().values_list("token_hash", flat=True)) == ["b"]
    with pytest.raises(KeyRefusedError):
        make_key(cast.admin, workspace=cast.team)


def test_whoever_is_no_admin_any_more_has_no_invitations_open(cast: Cast) -> None:
    Invitation.objects.create(
        workspace=cast.team, invited_by=cast.admin, token_hash="a", expires_at=timezone.now() + timedelta(days=1)
    )
    workspaces.change_role(acting=cast.owner, member=cast.of(cast.admin), role=Role.MEMBER)
    assert not Invitation.objects.usable().exists()


# ---------------------------------------------------------------------------------- dissolving
def test_a_team_that_is_being_dissolved_is_closed_until_an_owner_keeps_it(cast: Cast) -> None:
    secret = make_key(cast.member, workspace=cast.team)
    workspaces.dissolve(acting=cast.owner, workspace=cast.team)
    assert ApiKey.objects.authenticate(secret) is None
    with pytest.raises(KeyRefusedError):
        make_key(cast.owner, workspace=cast.team)
    with pytest.raises(DissolvingError):
        workspaces.change_role(acting=cast.owner, member=cast.of(cast.member), role=Role.ADMIN)
    with pytest.raises(NotAllowedError):
        workspaces.keep(acting=cast.admin, workspace=cast.team)
    workspaces.leave(acting=cast.admin, workspace=cast.team)  # nobody is kept
    workspaces.keep(acting=cast.owner, workspace=cast.team)
    assert ApiKey.objects.authenticate(secret) is not None


def test_owners_are_told_by_mail_that_it_will_be_deleted(cast: Cast, mailoutbox: list[Any]) -> None:
    workspaces.dissolve(acting=cast.owner, workspace=cast.team)
    assert [each.to for each in mailoutbox] == [[cast.owner.email]]
    assert "will be deleted on" in mailoutbox[0].subject
    assert f"/account/workspaces/{cast.team.public_id}/" in mailoutbox[0].body


def test_a_team_is_deleted_when_its_time_has_come(cast: Cast) -> None:
    secret = make_key(cast.member, workspace=cast.team)
    workspaces.dissolve(acting=cast.owner, workspace=cast.team)
    assert delete_dissolved() == 0
    Workspace.objects.filter(pk=cast.team.pk).update(dissolve_after=timezone.now() - timedelta(seconds=1))
    assert delete_dissolved() == 1
    assert not Workspace.objects.filter(pk=cast.team.pk).exists()
    assert ApiKey.objects.authenticate(secret) is None
    assert Workspace.objects.count() == User.objects.count()  # the personal ones


# ---------------------------------------------------------------------------------- at the same moment
def test_a_role_that_changed_meanwhile_is_not_overwritten(cast: Cast) -> None:
    seen, member = Role.MEMBER, cast.of(cast.member)
    workspaces.change_role(acting=cast.owner, member=member, role=Role.ADMIN, seen=seen)
    with pytest.raises(RoleChangedError):
        workspaces.change_role(acting=cast.admin, member=member, role=Role.MEMBER, seen=seen)
    assert roles(cast.team)["member"] == "admin"


@pytest.mark.django_db(transaction=True)
def test_of_two_admins_who_change_a_role_at_once_one_is_refused() -> None:
    cast = make_cast()
    member = cast.of(cast.member)
    change = iter([(cast.owner, Role.ADMIN), (cast.admin, Role.ADMIN)])

    def run() -> object:
        acting, role = next(change)
        return workspaces.change_role(acting=acting, member=member, role=role, seen=Role.MEMBER)

    outcomes = at_once(run, times=2)
    assert sorted(type(each).__name__ for each in outcomes) == ["Membership", "RoleChangedError"], outcomes


@pytest.mark.django_db(transaction=True)
def test_owners_who_demote_each_other_at_once_leave_one() -> None:
    cast = make_cast()
    workspaces.change_role(acting=cast.owner, member=cast.of(cast.admin), role=Role.OWNER)
    pairs = iter([(cast.owner, cast.of(cast.admin)), (cast.admin, cast.of(cast.owner))])

    def run() -> object:
        acting, other = next(pairs)
        return workspaces.change_role(acting=acting, member=other, role=Role.MEMBER)

    outcomes = at_once(run, times=2)
    assert sorted(type(each).__name__ for each in outcomes) == ["Membership", "NotAllowedError"], outcomes
    assert Membership.objects.owners().filter(workspace=cast.team).count() == 1


@pytest.mark.django_db(transaction=True)
def test_owners_who_leave_at_once_leave_one() -> None:
    cast = make_cast()
    workspaces.change_role(acting=cast.owner, member=cast.of(cast.admin), role=Role.OWNER)
    leaving = iter([cast.owner, cast.admin])
    outcomes = at_once(lambda: workspaces.leave(acting=next(leaving), workspace=cast.team), times=2)
    assert sorted(type(each).__name__ for each in outcomes) == ["LastOwnerError", "NoneType"], outcomes


@pytest.mark.django_db(transaction=True)
def test_a_key_that_is_made_while_the_member_is_removed_does_not_work() -> None:
    cast = make_cast()
    member = cast.of(cast.member)
    turns = iter(range(AT_ONCE))

    def run() -> object:
        if next(turns) == 3:
            return workspaces.remove_member(acting=cast.owner, member=member)
        return make_key(cast.member, workspace=cast.team)

    outcomes = at_once(run)
    assert {type(each) for each in outcomes} <= {str, KeyRefusedError, type(None)}, outcomes
    assert not ApiKey.objects.usable().filter(workspace=cast.team).exists()


@pytest.mark.django_db(transaction=True)
def test_teams_that_are_made_at_once_stay_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspaces, "MAX_WORKSPACES", 3)
    user = make_user()
    outcomes = at_once(lambda: workspaces.create_team(acting=user, name="x"))
    assert [type(each) for each in outcomes].count(Workspace) == 2, outcomes


# ---------------------------------------------------------------------------------- many members
def test_members_come_in_pages_and_are_searched(cast: Cast) -> None:
    User.objects.filter(pk=cast.member.pk).update(first_name="Grace", last_name="Hopper")
    rows = Membership.objects.filter(workspace=cast.team)
    first, after = rows.page(2)
    second, end = rows.page(2, after=after)
    assert [each.user.email.split("@")[0] for each in first + second] == ["admin", "member", "owner"]
    assert end == ""
    assert [each.user for each in rows.mentioning("grace HOPP")] == [cast.member]
    assert [each.user for each in rows.mentioning("admin@")] == [cast.admin]
