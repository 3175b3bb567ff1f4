"""Who may what: every operation of the OpenAPI document, for everybody. A new operation without a row fails."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts import invitations, standing
from accounts.models import ALL_SCOPES, ApiKey, Role, User, Workspace
from generations.api.openapi import static_document
from generations.models import ComfyServer, Status
from tests.api.envelope import error_of
from tests.support.factories import (
    make_asset,
    make_generation,
    make_server,
    make_team,
    make_template,
    make_user,
    txt2img_graph,
)
from tests.support.pictures import png

CALLERS = ("anonymous", "bad key", "revoked key", "wrong scope", "suspended", "stranger", "owner", "staff")
OURS = {"anonymous": 401, "bad key": 401, "revoked key": 401, "wrong scope": 403, "suspended": 403}


class Row(NamedTuple):
    """What an operation answers its owner, a stranger and staff (who do not own it); and what is sent."""

    owner: int
    stranger: int
    staff: int
    body: Callable[[], Any] | None = None


def collection(status: int, body: Callable[[], Any] | None = None) -> Row:
    """Everybody has one of their own."""
    return Row(status, status, status, body)


def mine(status: int, body: Callable[[], Any] | None = None) -> Row:
    """A thing of the owner's: for others, staff included, it is not there."""
    return Row(status, 404, 404, body)


def for_staff(status: int, body: Callable[[], Any] | None = None) -> Row:
    """Staff alone."""
    return Row(403, 403, status, body)


def form(**fields: Any) -> Callable[[], Any]:
    return lambda: {name: value() if callable(value) else value for name, value in fields.items()}


def workflow_file() -> SimpleUploadedFile:
    return SimpleUploadedFile("flow.json", json.dumps(txt2img_graph()).encode())


TEAM = "/api/v2/workspaces/{id}"
SERVER = {"name": "two", "url": "http://10.0.0.9:8188"}
ROWS: dict[str, Row] = {
    "listTemplates": collection(200),
    "importTemplate": for_staff(201, form(file=workflow_file)),
    "getTemplate": collection(200),
    "changeTemplate": for_staff(200, lambda: {"title": "New"}),
    "postTemplateJob": collection(201, lambda: {"inputs": {"prompt": "x"}}),
    "listJobs": collection(200),
    "postJobs": Row(201, 403, 201, lambda: {"workflow": txt2img_graph()}),
    "bulkJobs": collection(200, lambda: {"action": "cancel", "ids": [str(uuid.uuid4())]}),
    "getJob": mine(200),
    "deleteJob": mine(204),
    "getJobWorkflow": mine(403),  # of a template: hidden even from whoever ran it
    "getJobEvents": mine(501),  # needs an ASGI server; see test_streams
    "cancelJob": mine(200),
    "rerunJob": mine(201, lambda: {"new_seed": True}),
    "postAssets": collection(201, form(file=lambda: SimpleUploadedFile("a.png", png("blue")))),
    "assetFromHash": Row(200, 404, 404, lambda: {"hash": HASH}),
    "headAssetByHash": mine(200),
    "getAsset": mine(200),
    "deleteAsset": mine(204),
    "getAssetContent": mine(200),
    "listWebhooks": collection(200),
    "postWebhook": collection(201, lambda: {"url": "https://example.com/hook"}),
    "getWebhook": mine(200),
    "changeWebhook": mine(200, lambda: {"is_for_every_job": False}),
    "deleteWebhook": mine(204),
    "testWebhook": mine(202),
    "listDeliveries": mine(200),
    "redeliver": mine(202),
    "getMe": collection(200),
    "changeMe": collection(200, lambda: {"name": "Somebody", "time_zone": "Europe/Berlin"}),
    "getUsage": collection(200),
    "postExport": collection(202),
    "listExports": collection(200),
    "listWorkspaces": collection(200),
    "postWorkspace": collection(201, lambda: {"name": "New"}),
    "getWorkspace": mine(200),
    "changeWorkspace": mine(200, lambda: {"name": "New"}),
    "leaveWorkspace": mine(409),  # its last owner
    "dissolveWorkspace": mine(200),
    "keepWorkspace": mine(200),
    "listMembers": mine(200),
    "changeMember": mine(200, lambda: {"role": "admin", "max_queued": 3}),
    "deleteMember": mine(204),
    "transferWorkspace": mine(200),
    "listInvitations": mine(200),
    "postInvitation": mine(201, lambda: {"email": "guest@example.com"}),
    "renewInvitation": mine(200),
    "deleteInvitation": mine(204),
    "acceptInvitation": Row(409, 200, 200, lambda: {"token": TOKEN}),
    "listKeys": collection(200),
    "postKey": collection(201, lambda: {"name": "one more", "scopes": ["read"]}),
    "deleteKey": mine(204),
    "listServers": for_staff(200),
    "postServer": for_staff(201, lambda: SERVER),
    "getServer": for_staff(200),
    "changeServer": for_staff(200, lambda: {"slots": 3}),
    "deleteServer": for_staff(204),
    "checkServer": for_staff(200),
    "listPeople": for_staff(200),
    "getPerson": for_staff(200),
    "suspendPerson": for_staff(200, lambda: {"reason": "spam"}),
    "reinstatePerson": for_staff(200),
}
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, item in static_document()["paths"].items()
    for method, operation in item.items()
}


PICTURE = png("olive")
HASH = TOKEN = ""


@pytest.fixture
def things(owner: User, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """One of everything, the owner's."""
    owner.user_permissions.add(_permission("submit_raw_workflow"))
    make_template()
    generation = make_generation(owner, status=Status.SUCCEEDED)
    asset = make_asset(owner, PICTURE, name="olive.png")
    monkeypatch.setitem(globals(), "HASH", asset.hash)
    hook = owner.webhooks.create(url="https://example.com/hook")
    delivery = hook.deliveries.create(event="job.failed", payload={})
    make_server("known", "http://127.0.0.1:1")
    server = ComfyServer.objects.create(name="one", url="http://10.0.0.8:8188", is_enabled=False)
    key, _secret = ApiKey.objects.issue(user=owner, name="to be revoked")
    team = make_team(owner, member=make_user("member@example.com"))
    invitation, link = invitations.invite(acting=owner, workspace=team, role=Role.MEMBER)
    monkeypatch.setitem(globals(), "TOKEN", link.rstrip("/").rsplit("/", 1)[1])
    return {
        "workspaces": str(team.public_id),
        "member_id": str(team.memberships.get(role=Role.MEMBER).pk),
        "invitation_id": str(invitation.pk),
        "slug": "text-to-image",
        "jobs": str(generation.pk),
        "assets": str(asset.pk),
        "webhooks": str(hook.pk),
        "delivery_id": str(delivery.pk),
        "servers": str(server.pk),
        "people": str(make_user("a-person@example.com").pk),
        "keys": key.prefix,
        "hash": asset.hash,
    }


def _permission(name: str) -> Any:
    from django.contrib.auth.models import Permission

    return Permission.objects.get(codename=name)


def test_every_operation_has_a_row() -> None:
    assert set(ROWS) == set(OPERATIONS)
    assert all(operation["x-scope"] in ALL_SCOPES for _method, _path, operation in OPERATIONS.values())


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_access(  # noqa: PLR0917  (fixtures)
    name: str, caller: str, things: dict[str, str], owner: User, staff: User, servers_out_of_reach: None
) -> None:
    method, path, operation = OPERATIONS[name]
    row = ROWS[name]
    kind = path.split("/")[3]
    address = path.format(**{"id": things.get(kind, ""), **things})
    team = Workspace.objects.get(public_id=things["workspaces"]) if path.startswith(TEAM) else None
    headers = _headers(caller, operation["x-scope"], (owner, team), staff)
    response = _send(Client(headers=headers), method, address, row)

    expected = OURS.get(caller, getattr(row, caller, None))
    assert response.status_code == expected, response.content
    if expected == 404 and method != "HEAD":
        error_of(response, 404, "blob_not_found" if name == "assetFromHash" else "not_found")
    if expected == 401 and method != "HEAD":
        error_of(response, 401, "unauthorized")
    if expected == 403 and method != "HEAD":
        error_of(response, 403, "account_suspended" if caller == "suspended" else "forbidden")


def _headers(caller: str, scope: str, owning: tuple[User, Workspace | None], staff: User) -> dict[str, str]:
    owner, team = owning  # the owner's keys work in the team where it is asked about

    def key(user: User, scopes: Any = ALL_SCOPES) -> str:
        workspace = team if user == owner else None
        return ApiKey.objects.issue(user=user, name="matrix", scopes=scopes, workspace=workspace)[1]

    match caller:
        case "anonymous":
            return {}
        case "bad key":
            secret = key(owner)[:-3] + "xyz"
        case "revoked key":
            secret = key(owner)
            ApiKey.objects.filter(name="matrix").revoke()
        case "wrong scope":
            secret = key(owner, [each for each in ALL_SCOPES if each != scope])
        case "suspended":
            secret = key(owner)
            standing.suspend(owner, by=staff, reason="spam")
        case "stranger":
            secret = key(make_user("a-stranger@example.com"))
        case "owner":
            secret = key(owner)
        case _:
            secret = key(staff)
    return {"Authorization": f"Bearer {secret}"}


def _send(client: Client, method: str, address: str, row: Row) -> Any:
    body = row.body() if row.body else {}
    if any(hasattr(value, "read") for value in body.values()):
        return client.post(address, body)
    return client.generic(method, address, json.dumps(body) if row.body else b"", content_type="application/json")
