"""Browsers that opened an invitation."""

from __future__ import annotations

from django.test import Client

from accounts import invitations, workspaces
from accounts.models import Role, User
from tests.support.factories import make_user

BOSS = "boss@example.com"


def holder(email: str) -> Client:
    """A browser whose owner is not signed in, and opened an invitation for this address."""
    boss = User.objects.filter(email=BOSS).first() or make_user(BOSS)
    team = workspaces.create_team(acting=boss, name="Team")
    _, link = invitations.invite(acting=boss, workspace=team, role=Role.MEMBER, email=email)
    client = Client()
    assert client.get("/" + link.split("/", 3)[3]).status_code == 200
    return client
