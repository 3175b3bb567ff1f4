"""Workspaces, members and invitations by API: what each role may, what keys reach, and what the header names."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import invitations, workspaces
from accounts.models import ApiKey, Invitation, Membership, Role, User, Workspace
from tests.api.envelope import error_of
from tests.support.factories import make_key, make_team, make_user

pytestmark = pytest.mark.django_db

# What members, admins and owners get; strangers are in test_access.
ROLES: dict[tuple[str, str], tuple[int, int, int]] = {
    ("GET", ""): (200, 200, 200),
    ("PATCH", ""): (403, 200, 200),
    ("POST", "/leave"): (204, 204, 409),
    ("POST", "/dissolve"): (403, 403, 200),
    ("POST", "/keep"): (403, 403, 200),
    ("GET", "/members"): (200, 200, 200),
    ("PATCH", "/members/{target}"): (403, 200, 200),
    ("DELETE", "/members/{target}"): (403, 204, 204),
    ("POST", "/members/{target}/transfer"): (403, 403, 200),
    ("GET", "/invitations"): (200, 200, 200),
    ("POST", "/invitations"): (403, 201, 201),
    ("POST", "/invitations/{invitation}/renew"): (403, 200, 200),
    ("DELETE", "/invitations/{invitation}"): (403, 204, 204),
}
SENT: dict[tuple[str, str], Any] = {
    ("PATCH", ""): {"name": "New"},
    ("PATCH", "/members/{target}"): {"role": "admin"},
    ("POST", "/invitations"): {"email": "guest@example.com"},
}


@pytest.fixture
def team(owner: User) -> Workspace:
    return make_team(owner, admin=make_user("admin@example.com"), member=make_user("member@example.com"))


@pytest.fixture
def by_key(team: Workspace) -> Callable[[str], Client]:
    """A program with a key of the team."""

    def make(who: str) -> Client:
        user = User.objects.get(email=f"{who}@example.com")
        return Client(headers={"Authorization": f"Bearer {make_key(user, workspace=team)}"})

    return make


def send(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Any:
    data = json.dumps(body) if body is not None else b""
    return client.generic(method, f"/api/v2{path}", data, content_type="application/json", headers=headers)


@pytest.mark.parametrize("who", ["member", "admin", "owner"])
@pytest.mark.parametrize("what", sorted(ROLES), ids=" ".join)
def test_what_each_role_may(
    team: Workspace, owner: User, by_key: Callable[[str], Client], what: tuple[str, str], who: str
) -> None:
    target = Membership.objects.create(workspace=team, user=make_user("target@example.com"))
    invitation, _link = invitations.invite(acting=owner, workspace=team, role=Role.MEMBER)
    method, path = what
    address = f"/workspaces/{team.public_id}{path.format(target=target.pk, invitation=invitation.pk)}"
    response = send(by_key(who), method, address, SENT.get(what))
    expected = ROLES[what][["member", "admin", "owner"].index(who)]
    assert response.status_code == expected, response.content
    if expected == 403:
        error_of(response, 403, "forbidden")


def test_a_team_from_its_beginning_to_its_end(owner: User, api: Client, client_for: Any, mailoutbox: Any) -> None:
    made = send(api, "POST", "/workspaces", {"name": " Studio "}).json()
    assert made == {
        "id": made["id"],
        "name": "Studio",
        "is_personal": False,
        "role": "owner",
        "created_at": made["created_at"],
        "dissolve_after": None,
    }
    team, path = Workspace.objects.get(public_id=made["id"]), f"/workspaces/{made['id']}"
    ours = Client(headers={"Authorization": f"Bearer {make_key(owner, workspace=team)}"})
    invited = send(ours, "POST", f"{path}/invitations", {"email": "guest@example.com", "role": "admin"}).json()
    assert invited["link"] in mailoutbox[0].body
    listed = send(ours, "GET", f"{path}/invitations").json()
    assert [each["email"] for each in listed["invitations"]] == ["guest@example.com"]
    assert "token" not in listed["invitations"][0]
    guest = Client(headers={"Authorization": f"Bearer {make_key(make_user('guest@example.com'))}"})
    assert send(guest, "POST", "/invitations/accept", {"token": invited["token"]}).json()["role"] == "admin"
    error_of(send(guest, "POST", "/invitations/accept", {"token": invited["token"]}), 409, "already_member")
    members = send(ours, "GET", f"{path}/members").json()["members"]
    assert [(each["email"], each["role"]) for each in members] == [
        ("guest@example.com", "admin"),
        ("owner@example.com", "owner"),
    ]
    changed = send(ours, "PATCH", f"{path}/members/{members[0]['id']}", {"max_queued": 3, "max_concurrent": 1}).json()
    assert (changed["max_queued"], changed["max_concurrent"], changed["max_jobs_per_month"]) == (3, 1, None)
    changed = send(ours, "PATCH", f"{path}/members/{members[0]['id']}", {"max_queued": None}).json()
    assert (changed["max_queued"], changed["max_concurrent"], changed["role"]) == (None, 1, "admin")
    assert send(ours, "POST", f"{path}/dissolve").json()["dissolve_after"] is not None
    error_of(send(ours, "GET", "/me"), 409, "workspace_dissolving")  # its keys do not work, and say why
    token = client_for(owner)
    assert token.get(f"/api/v2{path}").json()["dissolve_after"] is not None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"accepted_at": timezone.now()}, "invitation_used"),
        ({"expires_at": timezone.now()}, "invitation_expired"),
        ({"revoked_at": timezone.now()}, "invitation_revoked"),
    ],
)
def test_an_invitation_that_does_not_work_says_why(  # noqa: PLR0917  (fixtures)
    team: Workspace, owner: User, stranger: User, api_for: Any, change: dict[str, Any], code: str
) -> None:
    link = invitations.invite(acting=owner, workspace=team, role=Role.MEMBER)[1]
    Invitation.objects.update(**change)
    error_of(send(api_for(stranger), "POST", "/invitations/accept", {"token": link.split("/")[-2]}), 410, code)


def test_an_invitation_for_another_address_is_refused(
    team: Workspace, owner: User, stranger: User, api_for: Any
) -> None:
    link = invitations.invite(acting=owner, workspace=team, role=Role.MEMBER, email="guest@example.com")[1]
    response = send(api_for(stranger), "POST", "/invitations/accept", {"token": link.split("/")[-2]})
    error_of(response, 403, "invitation_for_another_address")
    error_of(send(api_for(stranger), "POST", "/invitations/accept", {"token": "made-up"}), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/workspaces", {"name": "  "}),
        ("/workspaces", {"name": "x" * 81}),
        ("/workspaces", {"name": "x", "is_personal": True}),
        ("/workspaces/{id}/invitations", {"email": "nonsense"}),
        ("/workspaces/{id}/invitations", {"role": "owner"}),
        ("/invitations/accept", {}),
    ],
)
def test_bad_input_is_a_422(team: Workspace, owner: User, api: Client, path: str, body: Any) -> None:
    client = api if "{" not in path else Client(headers={"Authorization": f"Bearer {make_key(owner, workspace=team)}"})
    error_of(send(client, "POST", path.format(id=team.public_id), body), 422, "invalid_request")


def test_the_last_owner_stays(team: Workspace, owner: User, by_key: Callable[[str], Client]) -> None:
    mine = Membership.objects.get(workspace=team, user=owner)
    path = f"/workspaces/{team.public_id}"
    error_of(send(by_key("owner"), "POST", f"{path}/leave"), 409, "last_owner")
    error_of(send(by_key("owner"), "PATCH", f"{path}/members/{mine.pk}", {"role": "admin"}), 409, "last_owner")


def test_lists_come_in_pages(team: Workspace, by_key: Callable[[str], Client]) -> None:
    client, path, seen, cursor = by_key("admin"), f"/workspaces/{team.public_id}", [], ""
    while True:
        page = send(client, "GET", f"{path}/members?limit=2&cursor={cursor}").json()
        seen += [each["email"].split("@")[0] for each in page["members"]]
        if not (cursor := page["next_cursor"]):
            break
    assert seen == ["admin", "member", "owner"]
    for _ in range(3):
        send(client, "POST", f"{path}/invitations", {})
    first = send(client, "GET", f"{path}/invitations?limit=2").json()
    second = send(client, "GET", f"{path}/invitations?limit=2&cursor={first['next_cursor']}").json()
    ids = [each["id"] for each in first["invitations"] + second["invitations"]]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), second["next_cursor"]) == (3, None)


# ---------------------------------------------------------------------------------- what keys reach
def test_a_key_sees_its_workspace_alone(team: Workspace, owner: User, api: Client, by_key: Any) -> None:
    mine = Workspace.objects.personal_of(owner)
    for client, seen, hidden in ((api, mine, team), (by_key("owner"), team, mine)):
        listed = send(client, "GET", "/workspaces").json()["workspaces"]
        assert [each["id"] for each in listed] == [str(seen.public_id)]
        assert send(client, "GET", "/me").json()["workspace"]["id"] == str(seen.public_id)
        error_of(send(client, "GET", f"/workspaces/{hidden.public_id}"), 404, "not_found")


def test_a_key_of_a_team_does_not_reach_into_others(team: Workspace, owner: User, by_key: Any) -> None:
    error_of(send(by_key("owner"), "POST", "/workspaces", {"name": "New"}), 403, "forbidden")
    error_of(send(by_key("owner"), "POST", "/invitations/accept", {"token": "x"}), 403, "forbidden")
    personal = make_key(owner)
    keys = send(by_key("owner"), "GET", "/keys").json()["keys"]
    assert {each["workspace_id"] for each in keys} == {str(team.public_id)}
    prefix = personal.split("_")[1]
    error_of(send(by_key("owner"), "DELETE", f"/keys/{prefix}"), 404, "not_found")
    made = send(by_key("owner"), "POST", "/keys", {"name": "one more"}).json()
    assert made["workspace_id"] == str(team.public_id)


def test_sessions_see_everything_and_their_keys_follow_the_header(
    team: Workspace, owner: User, client_for: Any
) -> None:
    client = client_for(owner)
    listed = client.get("/api/v2/workspaces").json()["workspaces"]
    assert [each["name"] for each in listed] == ["Personal", "Studio"]
    made = send(client, "POST", "/keys", {"name": "one"}, **{"X-Comfy-Workspace-ID": str(team.public_id)})
    assert made.json()["workspace_id"] == str(team.public_id)


# ---------------------------------------------------------------------------------- the header
def test_the_header_names_one_of_ones_own_workspaces(
    team: Workspace, owner: User, stranger: User, client_for: Any
) -> None:
    def ask(user: User, workspace: object) -> Any:
        return send(client_for(user), "GET", "/me", **{"X-Comfy-Workspace-ID": str(workspace)})

    assert ask(owner, team.public_id).json()["workspace"] == {
        "id": str(team.public_id),
        "name": "Studio",
        "is_personal": False,
        "role": "owner",
    }
    for user, workspace in ((stranger, team.public_id), (owner, uuid.uuid4()), (owner, "nonsense")):
        error_of(ask(user, workspace), 404, "not_found")
    workspaces.dissolve(acting=owner, workspace=team)
    error_of(ask(owner, team.public_id), 409, "workspace_dissolving")
    error_of(ask(stranger, team.public_id), 404, "not_found")


def test_only_the_right_key_of_a_team_that_is_dissolved_is_told_why(team: Workspace, owner: User) -> None:
    secret, revoked = make_key(owner, workspace=team), make_key(owner, workspace=team)
    ApiKey.objects.filter(pk=ApiKey.objects.latest("pk").pk).revoke()
    workspaces.dissolve(acting=owner, workspace=team)

    def ask(key: str) -> Any:
        return Client(headers={"Authorization": f"Bearer {key}"}).get("/api/v2/me")

    error_of(ask(secret), 409, "workspace_dissolving")
    assert [ask(key).status_code for key in (revoked, f"{secret}x", f"{secret[:20]}")] == [401] * 3
    workspaces.keep(acting=owner, workspace=team)
    assert ask(secret).status_code == 200


@pytest.mark.parametrize("path", ["/me", "/jobs", "/templates", "/webhooks"])
def test_a_key_and_a_header_that_disagree_are_refused_everywhere(
    team: Workspace, owner: User, by_key: Any, path: str
) -> None:
    client = by_key("owner")
    assert send(client, "GET", path, **{"X-Comfy-Workspace-ID": str(team.public_id)}).status_code == 200
    other = Workspace.objects.personal_of(owner).public_id
    error_of(send(client, "GET", path, **{"X-Comfy-Workspace-ID": str(other)}), 403, "forbidden")


def test_the_header_costs_a_key_no_statement(
    team: Workspace, owner: User, by_key: Any, django_assert_num_queries: Any
) -> None:
    client = by_key("owner")
    send(client, "GET", "/jobs")  # which notes that the key is used
    with django_assert_num_queries(2):  # the key, the jobs
        send(client, "GET", "/jobs", **{"X-Comfy-Workspace-ID": str(team.public_id)})
