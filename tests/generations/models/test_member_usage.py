"""What members of a team use, as those who look after it see it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from accounts.models import Membership, User
from generations.models import Generation, MemberMonth, Status
from generations.models.member_usage import MemberUsage, usage_of
from generations.models.queue import this_month
from tests.support.factories import make_asset, make_generation, make_team, make_user, own

pytestmark = pytest.mark.django_db


def test_each_member_has_their_own_figures_of_this_workspace_and_month(
    owner: User, django_assert_num_queries: Any
) -> None:
    member = make_user("member@example.com")
    team, other = make_team(owner, member=member), own(member)
    for status in (Status.QUEUED, Status.QUEUED, Status.SUBMITTED, Status.SUCCEEDED):
        make_generation(member, workspace=team, status=status)
    make_generation(member, workspace=other, status=Status.QUEUED)
    old = make_generation(member, workspace=team, status=Status.SUCCEEDED)
    Generation.objects.filter(pk=old.pk).update(created_at=this_month() - timedelta(seconds=1))
    first = make_asset(member, workspace=team)
    second = make_asset(member, b"more bytes of a text", workspace=team, content_type="text/plain")
    make_asset(member, workspace=other)
    for user in (member, owner):  # of the first one's stored file
        make_asset(user, workspace=team, key=first.key)
    with django_assert_num_queries(4):
        found = usage_of(team, [member.pk, owner.pk])
    assert found[member.pk] == MemberUsage(
        jobs=4, waiting=2, running=1, stored_bytes=first.size_bytes + second.size_bytes
    )
    assert found[owner.pk] == MemberUsage(stored_bytes=first.size_bytes)


def test_what_a_limit_is_held_against_counts_deleted_ones(owner: User) -> None:
    team = make_team(owner)
    MemberMonth.objects.create(workspace=team, user=owner, month=this_month().date(), jobs=9)
    assert usage_of(team, [owner.pk])[owner.pk].jobs == 9


def test_admins_see_it_beside_the_limits_and_members_do_not(owner: User, client_for: Any) -> None:
    member = make_user("member@example.com")
    team = make_team(owner, member=member)
    Membership.objects.filter(user=member, workspace=team).update(max_jobs_per_month=1200, max_queued=5)
    make_generation(member, workspace=team, status=Status.QUEUED)
    page = f"/account/workspaces/{team.public_id}/"
    pages = [client_for(user).get(page).content.decode() for user in (owner, member)]
    assert ["<dd>1 of 1,200</dd>" in page for page in pages] == [True, False]
    assert ["<dd>1 of 5</dd>" in page for page in pages] == [True, False]
    assert ["This month" in page for page in pages] == [True, False]


def test_a_page_of_a_great_team_costs_as_many_statements_as_one_of_a_small_one(
    owner: User, client_for: Any, django_assert_max_num_queries: Any
) -> None:
    team, client = make_team(owner), client_for(owner)
    with django_assert_max_num_queries(100) as few:
        client.get(f"/account/workspaces/{team.public_id}/")
    people = User.objects.bulk_create(User(email=f"m{number:03}@example.com") for number in range(120))
    Membership.objects.bulk_create(Membership(workspace=team, user=user) for user in people)
    with django_assert_max_num_queries(len(few)):
        page = client.get(f"/account/workspaces/{team.public_id}/").content.decode()
    assert page.count("<dt>Files</dt>") == 50
