"""The pages about workspaces, for anonymous, stranger, member, admin and owner."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.utils import timezone

from accounts import workspaces
from accounts.models import Invitation, Membership, User, Workspace
from comfysaas.bodies import Refusal
from comfysaas.refusing import refuse
from tests.support.factories import make_team, make_user

pytestmark = pytest.mark.django_db

CALLERS = ("anonymous", "stranger", "member", "admin", "owner")
# What a POST answers to each of the callers; 302 leads back to a page, and says there what was refused.
POSTS: dict[str, tuple[int, int, int, int, int]] = {
    "switch": (302, 404, 302, 302, 302),
    "rename": (302, 404, 403, 302, 302),
    "leave": (302, 404, 302, 302, 302),
    "dissolve": (302, 404, 403, 403, 302),
    "keep": (302, 404, 403, 403, 302),
    "members/{target}": (302, 404, 403, 302, 302),
    "members/{target}/remove": (302, 404, 403, 302, 302),
    "members/{target}/transfer": (302, 404, 403, 403, 302),
    "invitations": (302, 404, 403, 201, 201),
    "invitations/{invitation}/renew": (302, 404, 403, 201, 201),
    "invitations/{invitation}/revoke": (302, 404, 403, 302, 302),
}
GETS: dict[str, tuple[int, int, int, int, int]] = {
    "": (302, 404, 200, 200, 200),
    "members/{target}": (302, 404, 403, 200, 200),
    "invitations": (302, 404, 403, 200, 200),
}
SENT = {"name": "New", "role": "admin", "seen": "member", "max_queued": "3"}


@pytest.fixture
def team(owner: User) -> Workspace:
    return make_team(owner, admin=make_user("admin@example.com"), member=make_user("member@example.com"))


@pytest.fixture
def names(team: Workspace, owner: User) -> dict[str, int]:
    """Numbers in addresses: a member whom everybody may be asked about, and an open invitation."""
    target = Membership.objects.create(workspace=team, user=make_user("target@example.com"))
    invitation = Invitation.objects.create(
        workspace=team, invited_by=owner, token_hash="x", expires_at=timezone.now() + timedelta(days=1)
    )
    return {"target": target.pk, "invitation": invitation.pk}


@pytest.fixture
def browser(stranger: User, client_for: Callable[[Any], Client]) -> Callable[[str], Client]:
    def make(caller: str) -> Client:
        return Client() if caller == "anonymous" else client_for(User.objects.get(email=f"{caller}@example.com"))

    return make


def address(team: Workspace, path: str, names: dict[str, int]) -> str:
    return f"/account/workspaces/{team.public_id}/{path.format(**names)}/".replace("//", "/")


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("path", sorted(POSTS))
def test_who_may_send_what(
    team: Workspace, names: dict[str, int], browser: Callable[[str], Client], path: str, caller: str
) -> None:
    response = browser(caller).post(address(team, path, names), SENT)
    assert response.status_code == POSTS[path][CALLERS.index(caller)]
    if caller == "anonymous":
        assert response["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("path", sorted(GETS))
def test_who_may_see_what(
    team: Workspace, names: dict[str, int], browser: Callable[[str], Client], path: str, caller: str
) -> None:
    assert browser(caller).get(address(team, path, names)).status_code == GETS[path][CALLERS.index(caller)]


@pytest.mark.parametrize("caller", CALLERS)
def test_an_address_for_forms_leads_to_its_page(
    team: Workspace, names: dict[str, int], browser: Callable[[str], Client], caller: str
) -> None:
    for path in POSTS:
        if path not in GETS:
            assert browser(caller).get(address(team, path, names)).status_code == 302


def test_members_and_invitations_of_other_teams_are_not_found(
    team: Workspace, names: dict[str, int], stranger: User, client_for: Callable[[Any], Client]
) -> None:
    other = make_team(stranger, name="Other")
    for path in POSTS:
        if "{" in path:
            assert client_for(stranger).post(address(other, path, names), SENT).status_code == 404, path
    assert client_for(stranger).get(address(other, f"members/{10**30}", names)).status_code == 404


def test_a_team_is_created_and_chosen(owner: User, client_for: Callable[[Any], Client]) -> None:
    client = client_for(owner)
    response = client.post("/account/workspaces/", {"name": "Studio"}, follow=True)
    team = Workspace.objects.get(name="Studio")
    assert response.redirect_chain == [(f"/account/workspaces/{team.public_id}/", 302)]
    assert "Workspace: Studio" in response.text
    assert client.post("/account/workspaces/", {"name": " "}).status_code == 422


def test_too_many_are_refused_in_the_form(
    owner: User, client_for: Callable[[Any], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspaces, "MAX_WORKSPACES", 1)
    response = client_for(owner).post("/account/workspaces/", {"name": "Studio"})
    assert response.status_code == 422
    assert "the most that is possible" in response.text


def test_the_header_switches(team: Workspace, owner: User, client_for: Callable[[Any], Client]) -> None:
    client = client_for(owner)
    assert "Workspace: Personal" in client.get("/").text
    assert client.post(f"/account/workspaces/{team.public_id}/switch/")["Location"] == "/"
    assert "Workspace: Studio" in client.get("/").text
    Membership.objects.filter(workspace=team, user=owner).delete()
    assert "Workspace: Personal" in client.get("/").text


def test_a_role_that_changed_meanwhile_is_said_in_the_form(
    team: Workspace, names: dict[str, int], browser: Callable[[str], Client]
) -> None:
    response = browser("owner").post(address(team, "members/{target}", names), {"role": "member", "seen": "admin"})
    assert response.status_code == 422
    assert "Somebody else changed this role a moment ago." in response.text


def test_role_and_limits_are_saved(team: Workspace, names: dict[str, int], browser: Callable[[str], Client]) -> None:
    browser("admin").post(address(team, "members/{target}", names), SENT)
    target = Membership.objects.get(pk=names["target"])
    assert (target.role, target.max_queued, target.max_concurrent) == ("admin", 3, None)


def test_admins_are_not_offered_what_only_owners_do(
    team: Workspace, names: dict[str, int], browser: Callable[[str], Client], owner: User
) -> None:
    page = browser("admin").get(address(team, "members/{target}", names)).text
    assert "Transfer the team" not in page
    assert 'value="owner"' not in page
    theirs = Membership.objects.get(workspace=team, user=owner)
    page = browser("admin").get(address(team, f"members/{theirs.pk}", names)).text
    assert "Only owners can change that." in page
    sent = {"role": "member", "seen": "owner"}
    assert browser("admin").post(address(team, f"members/{theirs.pk}", names), sent).status_code == 403


def test_the_last_owner_hears_why_they_cannot_leave(
    team: Workspace, names: dict[str, int], browser: Callable[[str], Client]
) -> None:
    response = browser("owner").post(address(team, "leave", names), follow=True)
    assert "A team needs an owner." in response.text


def test_a_team_that_is_being_dissolved_says_so_and_can_be_kept(
    team: Workspace, names: dict[str, int], browser: Callable[[str], Client]
) -> None:
    owner, member = browser("owner"), browser("member")
    assert "Keep the team" in owner.post(address(team, "dissolve", names), follow=True).text
    page = member.get(address(team, "", names)).text
    assert "This team is being dissolved" in page
    assert "Keep the team" not in page
    assert "Being dissolved" in member.get("/account/workspaces/").text
    assert "being dissolved" in member.post(address(team, "switch", names), follow=True).text
    assert "stays." in owner.post(address(team, "keep", names), follow=True).text


@pytest.mark.parametrize("path", ["dissolve", "members/{target}/transfer"])
def test_an_open_session_is_not_enough_to_give_a_team_away(
    team: Workspace, names: dict[str, int], owner: User, path: str
) -> None:
    client = Client()
    client.force_login(owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    response = client.post(address(team, path, names))
    assert response["Location"].startswith("/accounts/reauthenticate/")
    assert Membership.objects.get(workspace=team, user=owner).is_owner
    assert not Workspace.objects.get(pk=team.pk).is_dissolving


def test_a_personal_workspace_has_a_page(owner: User, client_for: Callable[[Any], Client]) -> None:
    mine = Workspace.objects.personal_of(owner)
    assert "Nobody else can see" in client_for(owner).get(f"/account/workspaces/{mine.public_id}/").text
    assert client_for(owner).get(f"/account/workspaces/{mine.public_id}/invitations/").status_code == 403


def test_ten_thousand_members_come_in_pages_and_are_found(
    team: Workspace, names: dict[str, int], browser: Callable[[str], Client], django_assert_max_num_queries: Any
) -> None:
    users = User.objects.bulk_create(User(email=f"m{number:05}@example.com") for number in range(10_000))
    Membership.objects.bulk_create(Membership(workspace=team, user=user) for user in users)
    client, page = browser("member"), address(team, "", names)
    client.get("/account/keys/")  # which notes that the session is used
    with django_assert_max_num_queries(6):  # session, user, mine, members, how many, the header's
        first = client.get(page).text
    assert "10,004 members" in first
    assert first.count("<article") == 50
    assert "m00049@example.com" in client.get(f"{page}?after=m00048@example.com").text
    found = client.get(f"{page}?q=m09999").text
    assert found.count("<article") == 1
    assert "No members match" in client.get(f"{page}?q=nobody%00").text


def test_keys_are_made_for_the_workspace_that_was_chosen(
    team: Workspace, owner: User, client_for: Callable[[Any], Client]
) -> None:
    client = client_for(owner)
    client.post(f"/account/workspaces/{team.public_id}/switch/")
    page = client.post("/account/keys/", {"name": "one", "scopes": ["read"], "lifetime": ""}).text
    assert owner.api_keys.get().workspace == team
    assert '<span class="tag">Studio</span>' in page


def test_pages_that_refuse_a_request_early_need_no_user_and_no_session(db: None, settings: Any) -> None:
    settings.USE_X_FORWARDED_HOST, settings.SIGNUP_OPEN, settings.SIGNUP_BY_INVITATION = True, False, True
    assert Client(headers={"X-Forwarded-Host": "evil.example"}).get("/").status_code == 400
    refused: Any = RequestFactory().get("/")
    assert refuse(refused, Refusal(413, "too_large", "Too large.")).status_code == 413
