"""Where an invitation's link leads: signed in, signed out, as somebody else, too late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import invitations
from accounts.models import Invitation, Membership, Role, User, Workspace
from tests.support.factories import make_team, make_user

pytestmark = pytest.mark.django_db
GUEST = "guest@example.com"


@pytest.fixture
def team(owner: User) -> Workspace:
    return make_team(owner)


@pytest.fixture
def guest() -> User:
    return make_user(GUEST)


@pytest.fixture
def link(team: Workspace, owner: User, settings: Any) -> str:
    """The path of an invitation for GUEST."""
    found = invitations.invite(acting=owner, workspace=team, role=Role.MEMBER, email=GUEST)[1]
    return found.removeprefix(settings.PUBLIC_ORIGIN)


def test_whoever_is_invited_joins_and_works_there(
    link: str, team: Workspace, guest: User, client_for: Callable[[Any], Client]
) -> None:
    client = client_for(guest)
    assert f"Join as {GUEST}" in client.get(link).text
    assert not Membership.objects.filter(workspace=team, user=guest).exists()  # looking at it does nothing
    assert "Workspace: Studio" in client.post(link, follow=True).text
    assert Membership.objects.filter(workspace=team, user=guest).exists()
    again = client.get(link)
    assert again.status_code == 410
    assert ">Your workspaces</a>" in again.text  # of which the team is one


def test_whoever_is_signed_out_signs_in_and_comes_back(link: str, guest: User, client_for: Any) -> None:
    client = Client()
    page = client.get(link)
    assert f"/accounts/login/?next={link}" in page.text
    assert client.post(link)["Location"] == f"/accounts/login/?next={link}"
    sent = {"login": GUEST, "password": "correct horse battery", "next": link}
    assert client.post("/accounts/login/", sent)["Location"] == link


def test_whoever_signs_up_first_finds_the_way_back(link: str, settings: Any, client_for: Any) -> None:
    settings.SIGNUP_OPEN = True
    client = Client()
    assert f"/accounts/signup/?next={link}" in client.get(link).text
    client.force_login(make_user(GUEST), backend="allauth.account.auth_backends.AuthenticationBackend")
    assert f'<a href="{link}">Look at it</a>' in client.get("/").text
    client.post(link)
    assert "Look at it" not in client.get("/").text


def test_an_invitation_lets_its_address_sign_up_where_only_invited_people_do(link: str, settings: Any) -> None:
    settings.SIGNUP_OPEN, settings.SIGNUP_BY_INVITATION = False, True
    client = Client()
    assert client.get("/accounts/signup/").status_code == 200
    assert 'name="password1"' not in client.get("/accounts/signup/").text
    assert "Create an account" in client.get(link).text
    assert 'name="password1"' in client.get("/accounts/signup/").text


def test_somebody_else_is_told_whom_it_is_for(link: str, stranger: User, client_for: Any) -> None:
    client = client_for(stranger)
    for response in (client.get(link), client.post(link)):
        assert response.status_code == 403
        assert f"This invitation is for {GUEST}." in response.text


@pytest.mark.parametrize(("change", "said"), [("expires_at", "has expired"), ("revoked_at", "was taken back")])
def test_one_that_does_not_work_says_why(link: str, guest: User, client_for: Any, change: str, said: str) -> None:
    Invitation.objects.update(**{change: timezone.now()})
    for client in (client_for(guest), Client()):
        response = client.get(link)
        assert response.status_code == 410
        assert said in response.text


def test_an_unknown_link_is_not_found(db: None) -> None:
    assert Client().get("/account/invitations/made-up/").status_code == 404


def test_only_the_answer_shows_the_link(team: Workspace, owner: User, client_for: Any, settings: Any) -> None:
    client, page = client_for(owner), f"/account/workspaces/{team.public_id}/invitations/"
    response = client.post(page, {"email": "", "role": "member"})
    assert f"{settings.PUBLIC_ORIGIN}/account/invitations/" in response.text
    assert response["Cache-Control"].startswith("max-age=0")
    assert f"{settings.PUBLIC_ORIGIN}/account/invitations/" not in client.get(page).text


@pytest.mark.parametrize("sent", [{"email": "nonsense", "role": "member"}, {"email": GUEST, "role": "owner"}, {}])
def test_a_form_that_is_wrong_invites_nobody(
    team: Workspace, owner: User, client_for: Any, sent: dict[str, str], mailoutbox: Any
) -> None:
    assert client_for(owner).post(f"/account/workspaces/{team.public_id}/invitations/", sent).status_code == 422
    assert not Invitation.objects.exists()
    assert not mailoutbox


def test_people_who_are_members_are_named_in_the_form(team: Workspace, owner: User, client_for: Any) -> None:
    page = f"/account/workspaces/{team.public_id}/invitations/"
    response = client_for(owner).post(page, {"email": owner.email, "role": "member"})
    assert response.status_code == 422
    assert "is a member already" in response.text


def test_invitations_come_in_pages(team: Workspace, owner: User, client_for: Any) -> None:
    rows = [
        Invitation(workspace=team, email=f"m{number}@example.com", token_hash=str(number), expires_at=timezone.now())
        for number in range(60)
    ]
    Invitation.objects.bulk_create(rows)
    client, page = client_for(owner), f"/account/workspaces/{team.public_id}/invitations/"
    assert client.get(page).text.count("<article") == 50
    before = Invitation.objects.order_by("pk")[10].pk
    assert client.get(f"{page}?before={before}").text.count("<article") == 10
    assert client.get(f"{page}?before=nonsense").text.count("<article") == 50


def test_an_invitation_waits_on_the_page_of_whoever_confirmed_the_address(
    link: str, guest: User, stranger: User, team: Workspace, client_for: Any
) -> None:
    found = Invitation.objects.get()
    assert "Join" not in client_for(stranger).get("/account/workspaces/").text
    assert "invites you to this team" in client_for(guest).get("/account/workspaces/").text
    accept = f"/account/invitations/{found.pk}/accept/"
    assert Client().post(accept)["Location"].startswith("/accounts/login/")
    assert client_for(stranger).post(accept).status_code == 404
    assert client_for(guest).post(accept)["Location"] == "/"
    assert Membership.objects.filter(workspace=team, user=guest).exists()
