"""What a large team costs: as many statements for fifty members as for five."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import workspaces
from accounts.current import IN_SESSION
from accounts.models import ApiKey, Membership, User, Workspace
from accounts.tasks import delete_dissolved
from generations.lifecycle import exporting
from generations.models import DataExport, Departure, Generation, MemberMonth, WorkflowTemplate
from tests.support.factories import make_asset, make_output, make_team, make_template, version_of

pytestmark = pytest.mark.django_db
FEW, MANY = 5, 50


class Team:
    """A team with so many members. Each has a key and a job that waits; the owner has finished as many jobs."""

    def __init__(self, owner: User, size: int) -> None:
        self.owner, self.row = owner, make_team(owner)
        users = [owner, *(User.objects.create_user(f"{each}-of-{size}@example.com") for each in range(1, size))]
        self.last = users[-1]
        Membership.objects.bulk_create(Membership(workspace=self.row, user=each) for each in users[1:])
        month = timezone.now().date().replace(day=1)
        MemberMonth.objects.bulk_create(MemberMonth(workspace=self.row, user=each, month=month) for each in users)
        ApiKey.objects.bulk_create(
            ApiKey(workspace=self.row, user=each, name="tests", prefix=f"p{each.pk}", secret_hash="x") for each in users
        )
        self._add_jobs(users, status="queued", tag=0.0)
        self._add_jobs([owner] * size, status="succeeded", finished_at=timezone.now())
        for job in Generation.objects.filter(workspace=self.row, status="succeeded"):
            make_output(job, asset=make_asset(owner, workspace=self.row))

    def _add_jobs(self, users: Iterable[User], **fields: object) -> None:
        version = version_of(WorkflowTemplate.objects.get())
        ids = ((each, uuid4()) for each in users)
        Generation.objects.bulk_create(
            Generation(id=pk, prompt_id=pk, user=user, workspace=self.row, version=version, **fields)
            for user, pk in ids
        )

    def client(self) -> Client:
        """The owner at work in the team."""
        client = Client()
        client.force_login(self.owner)
        session = client.session
        session[IN_SESSION] = str(self.row.public_id)
        session.save()
        return client


def get(path: str) -> Callable[[Team], Callable[[], None]]:
    """Look at this path, not for the first time."""

    def prepared(team: Team) -> Callable[[], None]:
        client, full = team.client(), path.format(team.row.public_id)

        def look() -> None:
            assert client.get(full).status_code == 200

        look()
        return look

    return prepared


def remove(team: Team) -> Callable[[], None]:
    member = Membership.objects.get(workspace=team.row, user=team.last)

    def act() -> None:
        workspaces.remove_member(acting=team.owner, member=member)
        assert Departure.objects.filter(workspace=team.row).count() == 1

    return act


def dissolve(team: Team) -> Callable[[], None]:
    def act() -> None:
        workspaces.dissolve(acting=team.owner, workspace=team.row)
        assert Departure.objects.filter(workspace=team.row).count() == team.row.memberships.count()
        assert not Generation.objects.filter(workspace=team.row).in_line().exists()

    return act


def delete(team: Team) -> Callable[[], None]:
    workspaces.dissolve(acting=team.owner, workspace=team.row)
    Workspace.objects.filter(pk=team.row.pk).update(dissolve_after=timezone.now() - timedelta(seconds=1))

    def act() -> None:
        assert delete_dissolved() == 1

    return act


def export(team: Team) -> Callable[[], None]:
    pk = exporting.request(team.owner).pk

    def act() -> None:
        exporting.make_export(str(pk))
        assert DataExport.objects.get(pk=pk).state == DataExport.State.READY

    return act


ACTIONS = {
    "page of members": get("/account/workspaces/{}/"),
    "API's list of members": get("/api/v2/workspaces/{}/members?limit=5"),
    "page of the history": get("/generations/"),
    "API's list of jobs": get("/api/v2/jobs?limit=5"),
    "removing a member": remove,
    "dissolving": dissolve,
    "deleting": delete,
    "export": export,
}


def statements(team: Team, action: str) -> list[str]:
    act = ACTIONS[action](team)
    with CaptureQueriesContext(connection) as captured:
        act()
    return [each["sql"] for each in captured.captured_queries]


@pytest.mark.parametrize("action", ACTIONS)
def test_what_a_team_costs_does_not_grow_with_its_members(owner: User, stranger: User, action: str) -> None:
    make_template()
    few, many = (statements(Team(*each), action) for each in ((owner, FEW), (stranger, MANY)))
    assert len(many) <= len(few), many
