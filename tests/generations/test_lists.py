"""Every list costs as many queries with one row as with fifty, counts no big table and skips none of its rows.

The lists are found by themselves: an address that is neither here nor named as something else fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.contrib.auth.models import Group
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, reverse
from django.utils import timezone

from accounts import audit
from accounts import urls as account_urls
from accounts.models import ApiKey, AuditEntry, Invitation, Membership, Plan, Role, Scope, User, Workspace
from generations import urls
from generations.models import ComfyServer, Generation, Status, Webhook, WebhookDelivery, WorkflowTemplate
from tests.support.factories import make_asset, make_generation, make_key, make_output, make_server, make_template

BIG = ("generations_generation", "generations_output", "generations_asset", "generations_webhookdelivery")
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
Maker = Callable[[User, int], Any]


def _generation(user: User, number: int) -> Generation:
    made = make_generation(user, status=Status.SUCCEEDED, text="a fox")
    make_output(made)
    make_output(made, position=1, value="a text")
    return made


def _webhook(user: User, number: int) -> Webhook:
    return Webhook.objects.create(user=user, url=f"https://example.com/{number}")


def _delivery(user: User, number: int) -> WebhookDelivery:
    hook = Webhook.objects.filter(user=user).first() or _webhook(user, 0)
    return WebhookDelivery.objects.create(webhook=hook, event="job.succeeded", payload={"n": number})


def _plan(user: User, number: int) -> Plan:
    return Plan.objects.create(name=f"plan {number}")


def _user(user: User, number: int) -> User:
    return User.objects.create_user(f"user{number}@example.com", None)


def _group(user: User, number: int) -> Group:
    return Group.objects.create(name=f"group {number}")


def _server(user: User, number: int) -> ComfyServer:
    return make_server(f"server {number}", f"http://127.0.0.1:{9000 + number}")


def _template(user: User, number: int) -> WorkflowTemplate:
    return make_template(f"template-{number}", title=f"Template {number}", tags=["x"], category="y")


def _team(user: User, number: int) -> Workspace:
    """One more that the user owns."""
    team = Workspace.objects.create(name=f"team {number}")
    Membership.objects.create(workspace=team, user=user, role=Role.OWNER)
    return team


def _team_of(user: User) -> Workspace:
    """The first one."""
    return Workspace.objects.filter(memberships__user=user, person=None).order_by("pk").first() or _team(user, 0)


def _member(user: User, number: int) -> Membership:
    return Membership.objects.create(workspace=_team_of(user), user=_user(user, number), role=Role.MEMBER)


def _invitation(user: User, number: int) -> Invitation:
    return Invitation.objects.create(
        workspace=_team_of(user),
        email=f"guest{number}@example.com",
        role=Role.MEMBER,
        token_hash=f"{number:064x}",
        invited_by=user,
        expires_at=timezone.now() + timedelta(days=1),
    )


def _entry(user: User, number: int) -> AuditEntry:
    return audit.record("changed", by=user, target=user, details={"n": number})


def _key(user: User, number: int) -> None:
    if number < 49:  # nobody may have more than fifty, and a client of the API has one
        make_key(user)


def _upload(user: User, number: int) -> Any:
    return make_asset(user)


API: dict[str, Maker] = {
    "/templates": _template,
    "/jobs": _generation,
    "/webhooks": _webhook,
    "/webhooks/{id}/deliveries": _delivery,
    "/keys": _key,
    "/servers": _server,
    "/usage": _generation,
    "/people": _user,
    "/workspaces": _team,
    "/workspaces/{id}/members": _member,
    "/workspaces/{id}/invitations": _invitation,
}
NO_API_LISTS = {
    "/templates/{slug}", "/jobs/{id}", "/jobs/{id}/workflow", "/jobs/{id}/events", "/assets/{id}",
    "/assets/{id}/content", "/webhooks/{id}", "/me", "/me/export", "/servers/{id}", "/people/{id}",
    "/workspaces/{id}",
}  # fmt: skip
API_QUERIES = {"/jobs": ("", "?q=fox", "?q=zzyzx", "?q=ox", "?status=succeeded", "?metadata[a]=b", "?template=x")}
PAGES: dict[str, Maker] = {
    "gallery": _template,
    "history": _generation,
    "webhooks": _webhook,
    "webhook": _delivery,
    "webhook-log": _delivery,
    "storage": _upload,
    "api-keys": _key,
    "workspaces": _team,
    "workspace": _member,
    "workspace-invitations": _invitation,
}
NO_PAGE_LISTS = {
    "open-result", "template", "template-cover", "generation", "generation-panel", "generation-cancel",
    "generation-rerun", "generation-delete", "webhook-switch", "webhook-delete", "webhook-test", "webhook-redeliver",
    "storage-delete-all", "storage-delete", "asset", "asset-thumbnail", "api-key-revoke",
    "data", "data-export", "data-download", "account-close", "account-keep", "avatar", "profile", "profile-picture",
    "workspace-switch", "workspace-rename", "workspace-leave", "workspace-dissolve", "workspace-keep",
    "workspace-export", "workspace-member", "workspace-remove", "workspace-transfer", "invitation", "invitation-accept",
    "invitation-renew", "invitation-revoke",
}  # fmt: skip
ADMIN: dict[type[models.Model], Maker] = {
    Generation: _generation,
    ComfyServer: _server,
    Webhook: _webhook,
    WorkflowTemplate: _template,
    Plan: _plan,
    User: _user,
    Group: _group,
    ApiKey: _key,
    Workspace: _team,
    AuditEntry: _entry,
}


def test_every_list_of_the_api_is_here() -> None:
    found = {path.removeprefix("/api/v2") for path, operations in SCHEMA["paths"].items() if "get" in operations}
    assert found == API.keys() | NO_API_LISTS


def test_every_list_among_the_pages_is_here() -> None:
    patterns: Iterable[URLPattern] = [*urls.urlpatterns, *account_urls.urlpatterns]
    assert {each.name for each in patterns} == PAGES.keys() | NO_PAGE_LISTS


def test_every_list_of_the_admin_is_here() -> None:
    assert set(django_admin.site._registry) == set(ADMIN)


def statements(client: Client, url: str) -> list[str]:
    """What a request asks the database, once everything is known that a process keeps."""
    assert client.get(url).status_code == 200
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return [query["sql"] for query in queries]


def is_read_whole(statement: str) -> bool:
    """Whether it counts the rows of a big table, or skips some of it."""
    if not any(f'FROM "{table}"' in statement for table in BIG):
        return False
    skipped = re.search(r"LIMIT 1 OFFSET (\d+)", statement)  # the end of what is looked through, a fixed number
    return "COUNT(" in statement or ("OFFSET" in statement and skipped is None)


def hold_equal(client: Client, url: str, make: Maker, user: User, *, is_exempt: bool = False) -> None:
    """The queries of this list with one row and with fifty."""
    make(user, 0)
    one = statements(client, url)
    for number in range(1, 50):
        make(user, number)
    fifty = statements(client, url)
    assert len(fifty) == len(one), "\n".join(fifty)
    assert is_exempt or [each for each in fifty if is_read_whole(each)] == []


@pytest.mark.parametrize(("path", "query"), [(path, query) for path in API for query in API_QUERIES.get(path, ("",))])
def test_a_list_of_the_api_costs_the_same_however_long_it_is(
    client_for: Callable[[User], Client], staff: User, known_server: Any, path: str, query: str
) -> None:
    is_of_team = path.startswith("/workspaces/")  # which is closed to keys of another workspace
    pk = _team_of(staff).public_id if is_of_team else _webhook(staff, 1000).pk
    key = make_key(staff, scopes=list(Scope))
    api = client_for(staff) if is_of_team else Client(headers={"Authorization": f"Bearer {key}"})
    url = f"/api/v2{path}".format(id=pk)
    hold_equal(api, url + query, API[path], staff, is_exempt=path == "/usage")  # of a few days


@pytest.mark.parametrize("name", PAGES)
def test_a_page_costs_the_same_however_long_its_list_is(
    client_for: Callable[[User], Client], owner: User, known_server: Any, name: str
) -> None:
    args: list[Any] = []
    if name in {"webhook", "webhook-log"}:
        args = [_webhook(owner, 1000).pk]
    elif name in {"workspace", "workspace-invitations"}:
        args = [_team_of(owner).public_id]
    is_exempt = name == "workspace"  # which adds up what the members of one page use
    hold_equal(client_for(owner), reverse(name, args=args), PAGES[name], owner, is_exempt=is_exempt)


@pytest.mark.parametrize("model", ADMIN)
def test_a_list_of_the_admin_costs_the_same_however_long_it_is(
    admin: Client, owner: User, model: type[models.Model]
) -> None:
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    hold_equal(admin, url, ADMIN[model], owner)
