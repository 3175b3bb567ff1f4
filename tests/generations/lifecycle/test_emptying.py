"""A team that is deleted leaves nothing: no row, no file."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from accounts import workspaces
from accounts.models import User, Workspace
from accounts.tasks import delete_dissolved
from accounts.workspaces import DissolvingError
from generations.lifecycle import emptying
from generations.models import Asset, Generation, Output, StorageUsage, Webhook
from tests.support.factories import make_asset, make_generation, make_output, make_server, make_team

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager_tasks")]


def soon() -> float:
    return time.monotonic() + 60


@pytest.fixture
def team(owner: User, staff: User) -> Workspace:
    """With results, an upload, a webhook, and something in line."""
    team = make_team(owner, member=staff)
    for user in (owner, staff):
        done = make_generation(user, workspace=team, status="succeeded")
        make_output(done, asset=make_asset(user, workspace=team))
        make_generation(user, workspace=team)
    make_asset(owner, workspace=team)
    Webhook.objects.create(user=owner, workspace=team, url="https://example.com/")
    return team


def time_has_come(team: Workspace) -> None:
    Workspace.objects.filter(pk=team.pk).update(dissolve_after=timezone.now() - timedelta(seconds=1))


def test_everything_of_the_team_goes_and_nothing_else(owner: User, team: Workspace) -> None:
    kept = make_generation(owner, status="succeeded")
    file = make_asset(owner)
    gone = list(Asset.objects.filter(workspace=team).values_list("key", flat=True))
    time_has_come(team)
    assert delete_dissolved() == 1
    assert not Workspace.objects.filter(pk=team.pk).exists()
    assert list(Generation.objects.all()) == [kept]
    assert list(Asset.objects.all()) == [file]
    assert not Output.objects.exists()
    assert not Webhook.objects.exists()
    assert not StorageUsage.objects.filter(workspace=team.pk).exists()
    assert [default_storage.exists(key) for key in (*gone, file.key)] == [False] * len(gone) + [True]


def test_what_a_server_still_runs_keeps_the_team_until_it_is_stopped(owner: User, team: Workspace) -> None:
    running = make_generation(owner, workspace=team, status="running", server=make_server())
    time_has_come(team)
    assert delete_dissolved() == 0
    running.refresh_from_db()
    assert running.is_canceling
    assert Generation.objects.filter(workspace=team).count() == 1
    Generation.objects.cancel(running.prompt_id)
    assert delete_dissolved() == 1


def test_the_rest_goes_next_time(team: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emptying, "AT_ONCE", 1)
    assert not emptying.empty(team.pk, until=time.monotonic())
    assert Generation.objects.filter(workspace=team).exists()
    assert emptying.empty(team.pk, until=soon())


def test_a_team_whose_time_has_come_is_not_kept(owner: User, team: Workspace) -> None:
    time_has_come(team)
    with pytest.raises(DissolvingError, match="being deleted"):
        workspaces.keep(acting=owner, workspace=team)
