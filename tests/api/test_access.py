"""Who may what: every operation of the OpenAPI document, for everybody. A new operation without a row fails."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts import invitations, standing
from accounts.models import ALL_SCOPES, ApiKey, Membership, Role, User, Workspace
from generations.api.openapi import static_document
from generations.models import ComfyServer, Status
from tests.api.envelope import error_of
from tests.support.factories import (
    make_asset,
    make_generation,
    make_server,
    make_template,
    make_user,
    txt2img_graph,
)
from tests.support.matrix import Cast, ask, make_cast, read
from tests.support.pictures import png

# The same for every operation; “elsewhere” is a key of the owner's for another workspace.
ALWAYS = {"anonymous": "401", "bad key": "401", "revoked key": "401", "wrong scope": "403", "suspended": "403"}
ROWS = read("""
operation         member admin owner elsewhere stranger staff
listTemplates     200    200   200   200       200      200
importTemplate    403    403   403   403       403      201
getTemplate       200    200   200   200       200      200
changeTemplate    403    403   403   403       403      200
postTemplateJob   201    201   201   201       201      201
listJobs          200    200   200   200       200      200
postJobs          403    403   201   201       403      201
bulkJobs          200    200   200   200       200      200
getJob            200    200   200   404       404      404
deleteJob         403    204   204   404       404      404
getJobWorkflow    403    403   403   404       404      404
getJobEvents      501    501   501   404       404      404
cancelJob         403    200   200   404       404      404
rerunJob          201    201   201   404       404      404
postAssets        201    201   201   201       201      201
assetFromHash     200    200   200   404       404      404
headAssetByHash   200    200   200   404       404      404
getAsset          200    200   200   404       404      404
deleteAsset       403    204   204   404       404      404
getAssetContent   200    200   200   404       404      404
listWebhooks      200    200   200   200       200      200
postWebhook       201    201   201   201       201      201
getWebhook        404    200   200   404       404      404
changeWebhook     404    200   200   404       404      404
deleteWebhook     404    204   204   404       404      404
testWebhook       404    202   202   404       404      404
listDeliveries    404    200   200   404       404      404
redeliver         404    202   202   404       404      404
getMe             200    200   200   200       200      200
changeMe          403    403   403   200       200      200
getUsage          200    200   200   200       200      200
postExport        403    403   403   202       202      202
listExports       403    403   403   200       200      200
listWorkspaces    200    200   200   200       200      200
postWorkspace     403    403   403   201       201      201
getWorkspace      200    200   200   404       404      404
changeWorkspace   403    200   200   404       404      404
leaveWorkspace    204    204   409   404       404      404
dissolveWorkspace 403    403   200   404       404      404
keepWorkspace     403    403   200   404       404      404
exportWorkspace   403    403   202   404       404      404
listMembers       200    200   200   404       404      404
changeMember      403    200   200   404       404      404
deleteMember      403    204   204   404       404      404
transferWorkspace 403    403   200   404       404      404
listInvitations   200    200   200   404       404      404
postInvitation    403    201   201   404       404      404
renewInvitation   403    200   200   404       404      404
deleteInvitation  403    204   204   404       404      404
acceptInvitation  403    403   403   409       200      200
listKeys          200    200   200   200       200      200
postKey           201    201   201   201       201      201
deleteKey         404    404   204   404       404      404
listServers       403    403   403   403       403      200
postServer        403    403   403   403       403      201
getServer         403    403   403   403       403      200
changeServer      403    403   403   403       403      200
deleteServer      403    403   403   403       403      204
checkServer       403    403   403   403       403      200
listPeople        403    403   403   403       403      200
getPerson         403    403   403   403       403      200
suspendPerson     403    403   403   403       403      200
reinstatePerson   403    403   403   403       403      200
appointOwner      403    403   403   403       403      204
""")

# What is sent; fields that are files make a form of it.
BODIES: dict[str, Callable[[dict[str, str]], dict[str, Any]]] = {
    "importTemplate": lambda _: {"file": SimpleUploadedFile("flow.json", json.dumps(txt2img_graph()).encode())},
    "changeTemplate": lambda _: {"title": "New"},
    "postTemplateJob": lambda _: {"inputs": {"prompt": "x"}},
    "postJobs": lambda _: {"workflow": txt2img_graph()},
    "bulkJobs": lambda _: {"action": "cancel", "ids": [str(uuid.uuid4())]},
    "rerunJob": lambda _: {"new_seed": True},
    "postAssets": lambda _: {"file": SimpleUploadedFile("a.png", png("blue"))},
    "assetFromHash": lambda things: {"hash": things["hash"]},
    "postWebhook": lambda _: {"url": "https://example.com/hook"},
    "changeWebhook": lambda _: {"is_for_every_job": False},
    "changeMe": lambda _: {"name": "Somebody", "time_zone": "Europe/Berlin"},
    "postWorkspace": lambda _: {"name": "New"},
    "changeWorkspace": lambda _: {"name": "New"},
    "changeMember": lambda _: {"role": "admin", "max_queued": 3},
    "postInvitation": lambda _: {"email": "guest@example.com"},
    "acceptInvitation": lambda things: {"token": things["token"]},
    "postKey": lambda _: {"name": "one more", "scopes": ["read"]},
    "postServer": lambda _: {"name": "two", "url": "http://10.0.0.9:8188"},
    "changeServer": lambda _: {"slots": 3},
    "appointOwner": lambda things: {"workspace": things["team without owner"]},
    "suspendPerson": lambda _: {"reason": "spam"},
}
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, item in static_document()["paths"].items()
    for method, operation in item.items()
}
OUTSIDE = {"elsewhere", "stranger", "staff"}
PRIVATE = ("workspaces", "jobs", "assets", "webhooks", "delivery_id", "keys", "hash")  # which nobody outside reads of
CODES = {401: "unauthorized", 403: "forbidden", 404: "not_found"}


@pytest.fixture
def cast(owner: User, stranger: User, staff: User) -> Cast:
    owner.user_permissions.add(Permission.objects.get(codename="submit_raw_workflow"))
    return make_cast(owner, stranger, staff)


@pytest.fixture
def things(cast: Cast) -> dict[str, str]:
    """One of everything: the team's, made by its owner."""
    team, owner = cast.team, cast.owner
    make_template()
    generation = make_generation(owner, status=Status.SUCCEEDED, workspace=team)
    asset = make_asset(owner, png("olive"), name="olive.png", workspace=team)
    hook = owner.webhooks.create(url="https://example.com/hook", workspace=team)
    delivery = hook.deliveries.create(event="job.failed", payload={})
    make_server("known", "http://127.0.0.1:1")
    server = ComfyServer.objects.create(name="one", url="http://10.0.0.8:8188", is_enabled=False)
    key, _secret = ApiKey.objects.issue(user=owner, name="to be revoked", workspace=team)
    colleague = Membership.objects.create(workspace=team, user=make_user("colleague@example.com"))
    invitation, link = invitations.invite(acting=owner, workspace=team, role=Role.MEMBER)
    person = make_user("a-person@example.com")
    without_owner = Workspace.objects.create(name="Nobody's")
    Membership.objects.create(workspace=without_owner, user=person)
    return {
        "workspaces": str(team.public_id),
        "member_id": str(colleague.pk),
        "invitation_id": str(invitation.pk),
        "token": link.rstrip("/").rsplit("/", 1)[1],
        "slug": "text-to-image",
        "jobs": str(generation.pk),
        "assets": str(asset.pk),
        "webhooks": str(hook.pk),
        "delivery_id": str(delivery.pk),
        "servers": str(server.pk),
        "people": str(person.pk),
        "team without owner": str(without_owner.public_id),
        "keys": key.prefix,
        "hash": asset.hash,
    }


def test_every_operation_has_a_row() -> None:
    assert set(ROWS) == set(OPERATIONS)
    assert all(operation["x-scope"] in ALL_SCOPES for _method, _path, operation in OPERATIONS.values())


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
@pytest.mark.usefixtures("servers_out_of_reach")
@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_access(name: str, cast: Cast, things: dict[str, str]) -> None:
    method, path, operation = OPERATIONS[name]
    address = path.format(**{"id": things.get(path.split("/")[3], ""), **things})

    def send(caller: str) -> str:
        client = Client(headers=headers_of(caller, operation["x-scope"], cast))
        response = send_to(client, method, address, BODIES.get(name, lambda _: {})(things))
        if response.status_code in CODES and method != "HEAD":
            error_of(response, response.status_code, code_of(name, caller, response.status_code))
        elif method == "GET" and caller in OUTSIDE:
            assert [kind for kind in PRIVATE if things[kind] in response.content.decode()] == [], caller
        return str(response.status_code)

    expected = {**ALWAYS, **ROWS[name]}
    assert ask(expected, send) == expected


def code_of(name: str, caller: str, status: int) -> str:
    """The code that an error of this status has."""
    if status == 404 and name == "assetFromHash":
        return "blob_not_found"
    return "account_suspended" if caller == "suspended" else CODES[status]


def headers_of(caller: str, scope: str, cast: Cast) -> dict[str, str]:
    """What this caller sends to show who they are. Members work in the team, everybody else in their own workspace."""

    def key(user: User, scopes: Any = ALL_SCOPES, *, is_of_team: bool = True) -> str:
        return ApiKey.objects.issue(
            user=user, name="matrix", scopes=scopes, workspace=cast.team if is_of_team else None
        )[1]

    match caller:
        case "anonymous":
            return {}
        case "bad key":
            secret = key(cast.owner)[:-3] + "xyz"
        case "revoked key":
            secret = key(cast.owner)
            ApiKey.objects.filter(name="matrix").revoke()
        case "wrong scope":
            secret = key(cast.owner, [each for each in ALL_SCOPES if each != scope])
        case "suspended":
            secret = key(cast.owner)
            standing.suspend(User.objects.get(pk=cast.owner.pk), by=cast.staff, reason="spam")
        case "elsewhere":
            secret = key(cast.owner, is_of_team=False)
        case _:
            secret = key(getattr(cast, caller), is_of_team=caller in {"owner", "admin", "member"})
    return {"Authorization": f"Bearer {secret}"}


def send_to(client: Client, method: str, address: str, body: dict[str, Any]) -> Any:
    if any(hasattr(value, "read") for value in body.values()):
        return client.post(address, body)
    return client.generic(method, address, json.dumps(body) if body else b"", content_type="application/json")
