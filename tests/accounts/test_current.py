"""In which workspace a request works: by key, by header, by choice; and what that costs."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.test import RequestFactory

from accounts.current import choose, membership_of, memberships_of, workspace_of
from accounts.models import ApiKey, Role, User, Workspace
from accounts.workspaces import NotAllowedError, NotAMemberError, dissolve
from tests.support.factories import make_key, make_team, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def team(owner: User) -> Workspace:
    return make_team(owner)


def request_of(user: User, *, key: str = "", header: Any = None, chosen: Workspace | None = None) -> Any:
    headers = {} if header is None else {"X-Comfy-Workspace-ID": str(header)}
    request: Any = RequestFactory().get("/", headers=headers)
    request.user, request.session = user, SessionStore()
    if key:
        request.api_key = ApiKey.objects.authenticate(key)
    if chosen is not None:
        choose(request, chosen)
    return request


def test_people_work_in_their_own_workspace_unless_they_choose(owner: User, team: Workspace) -> None:
    assert workspace_of(request_of(owner)) == Workspace.objects.personal_of(owner)
    assert workspace_of(request_of(owner, chosen=team)) == team
    assert membership_of(request_of(owner, chosen=team)).role == Role.OWNER


def test_a_choice_that_is_gone_is_their_own_again(owner: User, stranger: User, team: Workspace) -> None:
    assert workspace_of(request_of(stranger, chosen=team)) == Workspace.objects.personal_of(stranger)
    dissolve(acting=owner, workspace=team)
    assert workspace_of(request_of(owner, chosen=team)) == Workspace.objects.personal_of(owner)


def test_the_header_goes_before_the_choice(owner: User, team: Workspace) -> None:
    mine = Workspace.objects.personal_of(owner)
    assert workspace_of(request_of(owner, chosen=team, header=mine.public_id)) == mine
    assert workspace_of(request_of(owner, header=str(team.public_id).upper())) == team


@pytest.mark.parametrize("header", ["", "nonsense", "00000000-0000-0000-0000-000000000000"])
def test_a_header_that_names_none_of_ones_own_is_refused(owner: User, header: str) -> None:
    with pytest.raises(NotAMemberError):
        workspace_of(request_of(owner, header=header))


def test_a_team_of_others_is_not_there(stranger: User, team: Workspace) -> None:
    with pytest.raises(NotAMemberError):
        workspace_of(request_of(stranger, header=team.public_id))


def test_a_key_works_in_its_workspace_alone(owner: User, team: Workspace) -> None:
    key, mine = make_key(owner, workspace=team), Workspace.objects.personal_of(owner)
    assert workspace_of(request_of(owner, key=key, chosen=mine)) == team
    assert workspace_of(request_of(owner, key=key, header=team.public_id)) == team
    assert membership_of(request_of(owner, key=key)).workspace == team
    with pytest.raises(NotAllowedError):
        workspace_of(request_of(owner, key=key, header=mine.public_id))
    assert workspace_of(request_of(owner, key=make_key(owner))) == mine


def test_a_key_of_the_release_before_works_in_the_personal_workspace(owner: User) -> None:
    key = make_key(owner)
    ApiKey.objects.update(workspace=None)
    assert workspace_of(request_of(owner, key=key)) == Workspace.objects.personal_of(owner)


def test_a_key_makes_keys_for_its_own_workspace(owner: User, team: Workspace) -> None:
    by = ApiKey.objects.authenticate(make_key(owner, workspace=team))
    assert ApiKey.objects.issue(user=owner, name="one more", by=by)[0].workspace == team


def test_a_request_asks_once(owner: User, team: Workspace, django_assert_num_queries: Any) -> None:
    request = request_of(owner, chosen=team)
    with django_assert_num_queries(1):
        workspace_of(request)
        membership_of(request)
        memberships_of(request)
        assert workspace_of(request).limits


def test_with_a_key_a_request_asks_nothing_more(owner: User, team: Workspace, django_assert_num_queries: Any) -> None:
    request = request_of(owner, key=make_key(owner, workspace=team))
    with django_assert_num_queries(0):
        workspace_of(request)


def test_a_user_of_the_release_before_gets_a_workspace_on_the_way() -> None:
    user = make_user()
    Workspace.objects.all().delete()
    assert workspace_of(request_of(user)).person == user
