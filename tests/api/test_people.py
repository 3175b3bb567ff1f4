"""People in the API, for staff."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import AuditEntry, Plan, User
from tests.api.envelope import error_of
from tests.support.factories import make_generation, make_key, make_user

pytestmark = pytest.mark.django_db


def caller(*permissions: str) -> Client:
    """A program with a key of a member of staff who has these permissions."""
    user: Any = make_user("helper@example.com", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return Client(headers={"Authorization": f"Bearer {make_key(user)}"})


def post(client: Client, path: str, **body: Any) -> Any:
    return client.post(f"/api/v2/people/{path}", json.dumps(body), content_type="application/json")


def test_permissions_are_asked_one_by_one(owner: User) -> None:
    client = caller("view_user")
    assert client.get("/api/v2/people").status_code == 200
    assert client.get(f"/api/v2/people/{owner.pk}").status_code == 200
    error_of(post(client, f"{owner.pk}/suspend", reason="spam"), 403, "forbidden")
    error_of(post(client, f"{owner.pk}/reinstate"), 403, "forbidden")


def test_somebody_without_the_permission_learns_nothing(owner: User) -> None:
    client = caller("view_apikey")
    for pk in (owner.pk, 999_999):
        error_of(client.get(f"/api/v2/people/{pk}"), 403, "forbidden")


def test_a_person_is_suspended_and_reinstated(owner: User) -> None:
    client = caller("view_user", "suspend_user")
    make_generation(owner)
    found = post(client, f"{owner.pk}/suspend", reason=" spam ").json()
    assert (found["suspension_reason"], found["suspended_by"]) == ("spam", "helper@example.com")
    assert found["suspended_at"]
    assert post(client, f"{owner.pk}/suspend", reason="other").json()["suspension_reason"] == "spam"
    assert post(client, f"{owner.pk}/reinstate").json()["suspended_at"] is None
    assert post(client, f"{owner.pk}/reinstate").status_code == 200
    assert [each.verb for each in AuditEntry.objects.order_by("pk")] == ["suspended", "reinstated"]
    assert AuditEntry.objects.filter(address="127.0.0.1").count() == 2


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": " "}, {"reason": "x" * 1001}, {"reason": "x", "y": 1}])
def test_a_reason_is_needed(owner: User, body: dict[str, Any]) -> None:
    error_of(post(caller("suspend_user"), f"{owner.pk}/suspend", **body), 422, "invalid_request")
    owner.refresh_from_db()
    assert not owner.is_suspended


def test_staff_and_oneself_are_out_of_reach(staff: User) -> None:
    client = caller("view_user", "suspend_user")
    for person in (staff, User.objects.get(email="helper@example.com")):
        error_of(post(client, f"{person.pk}/suspend", reason="x"), 403, "forbidden")


def test_a_missing_person_is_a_404() -> None:
    client = caller("view_user", "suspend_user")
    error_of(client.get("/api/v2/people/999999"), 404, "not_found")
    error_of(post(client, "999999/suspend", reason="x"), 404, "not_found")
    error_of(post(client, "999999/reinstate"), 404, "not_found")


def test_the_list_is_cut_into_pages_and_searched(owner: User, stranger: User) -> None:
    owner.plan = Plan.objects.create(name="Studio")
    owner.save()
    client = caller("view_user", "suspend_user")
    post(client, f"{stranger.pk}/suspend", reason="x")
    first = client.get("/api/v2/people?limit=2").json()
    assert [each["email"] for each in first["people"]] == ["helper@example.com", stranger.email]
    rest = client.get(f"/api/v2/people?limit=2&before={first['next_before']}").json()
    assert [(each["email"], each["plan"]) for each in rest["people"]] == [(owner.email, "Studio")]
    assert rest["next_before"] is None
    found = client.get("/api/v2/people?is_suspended=true").json()["people"]
    assert [each["email"] for each in found] == [stranger.email]
    assert len(client.get("/api/v2/people?q=OWNER@").json()["people"]) == 1


def test_the_list_costs_the_same_however_long_it_is(django_assert_max_num_queries: Any) -> None:
    client = caller("view_user")
    for number in range(8):
        make_user(f"{number}@example.com")
    client.get("/api/v2/people")
    with django_assert_max_num_queries(4):
        client.get("/api/v2/people")
