"""Workspaces add at most one statement to a request: whose workspaces a person has, and which one is chosen."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.current import IN_SESSION
from accounts.models import ApiKey, User, Workspace
from generations.models import Generation
from tests.support.factories import make_generation, make_team, make_template, own

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("known_server")]
OF_WORKSPACES = re.compile(
    r'(?:SELECT (?:(?!FROM).)*? FROM|UPDATE|INSERT INTO) "accounts_(?:membership|workspace)"', re.S
)
Request = Callable[[Client, Generation], Any]


def submit(client: Client, _: Generation) -> Any:
    body = {"inputs": {"prompt": "a cat"}}
    return client.post("/api/v2/templates/text-to-image/jobs", body, content_type="application/json")


API: dict[str, Request] = {
    "submit": submit,
    "list": lambda client, _: client.get("/api/v2/jobs"),
    "read": lambda client, job: client.get(f"/api/v2/jobs/{job.pk}"),
    "cancel": lambda client, job: client.post(f"/api/v2/jobs/{job.pk}/cancel"),
}
PAGES: dict[str, Request] = {
    "template": lambda client, _: client.get("/templates/text-to-image/"),
    "history": lambda client, _: client.get("/generations/"),
    "generation": lambda client, job: client.get(f"/generations/{job.pk}/"),
}


class Somebody:
    """At work in a workspace, with a session that has chosen it, a key for it, and jobs there."""

    def __init__(self, user: User, workspace: Workspace) -> None:
        self.user, self.workspace = user, workspace
        self.session = Client()
        self.session.force_login(user)
        chosen = self.session.session
        chosen[IN_SESSION] = str(workspace.public_id)
        chosen.save()
        secret = ApiKey.objects.issue(user=user, name="tests", workspace=workspace)[1]
        self.program = Client(headers={"Authorization": f"Bearer {secret}"})

    def asked(self, client: Client, request: Request) -> list[str]:
        """The statements of a request, of which one was made before, so that caches are warm."""
        for _ in range(2):
            job = make_generation(self.user, workspace=self.workspace)
            with CaptureQueriesContext(connection) as captured:
                assert request(client, job).status_code in {200, 201}
        return [each["sql"] for each in captured.captured_queries]


def about_workspaces(statements: list[str]) -> list[str]:
    """Those that read or write workspaces or memberships before anything else."""
    return [each for each in statements if OF_WORKSPACES.match(each)]


@pytest.fixture
def alone(owner: User) -> Somebody:
    make_template()
    return Somebody(owner, own(owner))


@pytest.fixture
def in_team(stranger: User) -> Somebody:
    return Somebody(stranger, make_team(stranger))


@pytest.mark.parametrize("name", [*API, *PAGES])
def test_a_session_asks_once_for_workspaces_and_in_a_team_no_more(
    alone: Somebody, in_team: Somebody, name: str
) -> None:
    request = {**API, **PAGES}[name]
    one, other = alone.asked(alone.session, request), in_team.asked(in_team.session, request)
    assert (len(about_workspaces(one)), len(about_workspaces(other))) == (1, 1), [*one, *other]
    assert len(other) <= len(one), other


@pytest.mark.parametrize("name", API)
def test_a_key_comes_with_its_workspace(alone: Somebody, in_team: Somebody, name: str) -> None:
    one, other = alone.asked(alone.program, API[name]), in_team.asked(in_team.program, API[name])
    assert about_workspaces([*one, *other]) == []
    assert len(other) <= len(one), other
