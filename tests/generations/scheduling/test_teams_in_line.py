"""Shares and limits of teams: counted for the workspace, and for each member whom an admin gave limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership, Plan, User, Workspace
from accounts.workspaces import DissolvingError, NotAMemberError
from generations.lifecycle import services
from generations.models import Generation, MemberMonth, Status, WorkflowTemplate
from generations.scheduling import queue
from generations.scheduling.queue import MemberStoppedError, QueueFullError
from tests.support.factories import make_team, make_template, own, version_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("known_server")]


@pytest.fixture
def team(owner: User, staff: User) -> Workspace:
    """Four may run at a time, and twenty wait."""
    team = make_team(owner, member=staff)
    team.plan = Plan.objects.create(name="team", max_concurrent=4, max_queued=20)
    team.save()
    return team


def run(user: User, team: Workspace, count: int = 1) -> list[Generation]:
    template = WorkflowTemplate.objects.first() or make_template()
    return [
        services.submit(user=user, workspace=team, version=version_of(template), inputs={"prompt": "x"})
        for _ in range(count)
    ]


def cap(user: User, team: Workspace, **caps: Any) -> None:
    Membership.objects.filter(user=user, workspace=team).update(**caps)


def in_line(user: User, team: Workspace) -> int:
    return Generation.objects.filter(user=user, workspace=team).in_line().count()


def end(generation: Generation) -> None:
    Generation.objects.filter(pk=generation.pk).update(status=Status.SUCCEEDED, finished_at=timezone.now())
    queue.admit(Workspace.objects.get(pk=generation.workspace_id))


def test_a_team_has_one_share_however_many_members_it_has(owner: User, staff: User, team: Workspace) -> None:
    rows = run(owner, team, 3) + run(staff, team, 3)
    assert (in_line(owner, team), in_line(staff, team)) == (3, 1)
    assert [row.tag for row in rows[:4]] == sorted(row.tag or 0.0 for row in rows[:4])
    assert run(owner, own(owner))[0].tag == 0.0  # people's own workspaces have theirs


def test_the_plan_of_the_workspace_counts_for_all_members_together(owner: User, staff: User, team: Workspace) -> None:
    run(owner, team, 12)
    run(staff, team, 8)
    for user in (owner, staff):
        with pytest.raises(QueueFullError, match="“Studio” already has 20 generations waiting"):
            run(user, team)
    assert run(owner, own(owner))


def test_a_members_own_limits(owner: User, staff: User, team: Workspace) -> None:
    cap(staff, team, max_concurrent=1, max_queued=3)
    run(staff, team, 3)
    assert in_line(staff, team) == 1
    with pytest.raises(QueueFullError, match="You already have 3 generations waiting, which is the most that an admin"):
        run(staff, team)
    assert len(run(owner, team, 3)) == 3


def test_held_ones_of_a_member_with_a_limit_hold_up_nobody_else(owner: User, staff: User, team: Workspace) -> None:
    cap(staff, team, max_concurrent=1)
    theirs = run(staff, team, 5)
    mine = run(owner, team, 4)
    queue.admit(team)  # as whoever submits does after the commit
    assert (in_line(staff, team), in_line(owner, team)) == (1, 3)
    end(mine[0])
    assert (in_line(staff, team), in_line(owner, team)) == (1, 3)
    end(theirs[0])
    assert (in_line(staff, team), in_line(owner, team)) == (1, 3)
    theirs[1].refresh_from_db()
    assert theirs[1].tag is not None  # the oldest of the member's
    cap(staff, team, max_concurrent=None)
    end(mine[1])
    assert in_line(staff, team) + in_line(owner, team) == 4


@pytest.mark.parametrize("name", ["max_concurrent", "max_queued", "max_jobs_per_month"])
def test_a_limit_of_nothing_refuses(owner: User, staff: User, team: Workspace, name: str) -> None:
    cap(staff, team, **{name: 0})
    with pytest.raises(MemberStoppedError, match="lets you run nothing"):
        run(staff, team)
    assert run(owner, team)


def test_a_member_begins_so_many_a_month(staff: User, team: Workspace) -> None:
    run(staff, team, 2)  # before there was a limit
    cap(staff, team, max_jobs_per_month=4)
    made = run(staff, team, 2)
    with pytest.raises(MemberStoppedError, match="4 generations a month, and 0 are left") as refusal:
        run(staff, team)
    now = datetime.now(UTC)
    assert 0 < refusal.value.retry_after <= timedelta(days=31).total_seconds()
    assert Generation.objects.count() == 4
    made[0].delete()  # deleting gives none back
    with pytest.raises(MemberStoppedError):
        run(staff, team)
    MemberMonth.objects.update(month=(now.replace(day=1) - timedelta(days=1)).replace(day=1))
    Generation.objects.update(created_at=now - timedelta(days=32))
    assert run(staff, team)


def test_whoever_is_no_member_adds_nothing(stranger: User, staff: User, team: Workspace) -> None:
    with pytest.raises(NotAMemberError):
        run(stranger, team)
    Membership.objects.get(user=staff, workspace=team).delete()
    with pytest.raises(NotAMemberError):
        run(staff, team)


def test_nothing_is_added_to_a_team_that_is_being_dissolved(owner: User, team: Workspace) -> None:
    Workspace.objects.filter(pk=team.pk).update(dissolve_after=timezone.now())
    with pytest.raises(DissolvingError):
        run(owner, team)


def test_held_ones_of_those_who_left_or_are_suspended_are_not_let_in(
    owner: User, staff: User, stranger: User, team: Workspace
) -> None:
    Membership.objects.create(workspace=team, user=stranger)
    first = run(owner, team, 4)
    run(staff, team)
    run(stranger, team)
    last = run(owner, team)
    User.objects.filter(pk=staff.pk).update(suspended_at=timezone.now())
    Membership.objects.get(user=stranger, workspace=team).delete()
    end(first[0])
    assert (in_line(staff, team), in_line(stranger, team)) == (0, 0)
    last[0].refresh_from_db()
    assert last[0].tag is not None
