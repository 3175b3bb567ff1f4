"""Which names people may choose."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts import invitations, names, workspaces
from accounts.models import Role, User, Workspace
from accounts.workspaces import InvalidNameError
from tests.api.envelope import error_of
from tests.support.factories import make_key, make_team

BAD = [
    "Team\n\nSign in at",
    "Team\r\nBcc: all@example.com",
    "a\u202egnp.exe",
    "\u200b",
    "a\u2028b",
    "https://other.example/login",
    "HTTP://other.example",
    "see WWW.other.example",
]


@pytest.mark.parametrize("name", BAD)
def test_a_name_says_nothing_but_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        names.checked(name)


@pytest.mark.parametrize("name", ["Studio & Söhne (Berlin)", "A.B: 3/4", "👩\u200d🎨", "<b>"])
def test_other_names_stay_as_they_are(name: str) -> None:
    assert names.checked(f"  {name} ") == name


@pytest.mark.django_db
@pytest.mark.parametrize("name", BAD)
def test_teams_have_no_others(owner: User, client_for: Any, name: str) -> None:
    team = make_team(owner)
    with pytest.raises(InvalidNameError):
        workspaces.create_team(acting=owner, name=name)
    with pytest.raises(InvalidNameError):
        workspaces.rename(acting=owner, workspace=team, name=name)
    program = Client(headers={"Authorization": f"Bearer {make_key(owner)}"})
    refused = program.post("/api/v2/workspaces", {"name": name}, content_type="application/json")
    error_of(refused, 422, "invalid_name")
    page = client_for(owner).post("/account/workspaces/", {"name": name})
    assert b"name" in page.content
    client_for(owner).post(f"/account/workspaces/{team.public_id}/rename/", {"name": name})
    assert list(Workspace.objects.filter(person=None).values_list("name", flat=True)) == [team.name]


@pytest.mark.django_db
def test_a_mail_has_the_name_in_one_paragraph(owner: User, mailoutbox: Any) -> None:
    team = workspaces.create_team(acting=owner, name="Studio  & Sons")
    assert team.name == "Studio & Sons"
    invitations.invite(acting=owner, workspace=team, role=Role.MEMBER, email="guest@example.com")
    assert "to the team “Studio & Sons” at" in " ".join(mailoutbox[-1].body.split())
