"""A server's header is sent to the address that it was given for, whoever changes what."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import ApiKey
from comfysaas.standalone import register_servers
from generations.models import ComfyServer
from generations.scheduling import server_check
from tests.support.factories import make_server, make_user
from tests.support.simulator import RunningSimulator

pytestmark = pytest.mark.django_db
HEADER = {"Authorization": "Bearer secret"}
FIELDS = {"auth_header_name": "Authorization", "auth_header_value": "Bearer secret"}
EVIL = "http://evil.example:8188"


def reload(server: ComfyServer) -> ComfyServer:
    return ComfyServer.objects.get(pk=server.pk)


@pytest.mark.parametrize("update_fields", [None, ["url"]])
def test_moving_a_server_forgets_its_header(update_fields: Any) -> None:
    server = reload(make_server(**FIELDS))
    server.url = EVIL
    server.save(update_fields=update_fields)
    assert (reload(server).url, reload(server).headers) == (EVIL, {})


def test_a_server_that_was_just_made_is_moved_like_any_other() -> None:
    server = make_server(**FIELDS)
    server.url = EVIL
    server.save()
    assert reload(server).headers == {}


def test_a_server_that_stays_keeps_it() -> None:
    server = reload(make_server(**FIELDS))
    server.slots = 5
    server.save()
    assert reload(server).headers == HEADER
    deferred = ComfyServer.objects.only("name").get()
    deferred.name = "renamed"
    deferred.save()
    assert reload(server).headers == HEADER


def test_reading_another_field_late_does_not_undo_it() -> None:
    server = reload(make_server(object_info=None, **FIELDS))
    found = ComfyServer.objects.defer("object_info").get(pk=server.pk)
    found.url = EVIL
    assert found.object_info is None
    found.save()
    assert reload(server).headers == {}


def test_servers_of_the_environment_do_not_inherit_a_header() -> None:
    server = make_server(url="http://gpu:8188", **FIELDS)
    register_servers((EVIL, "http://gpu:8188/"))
    assert reload(server).headers == HEADER
    assert ComfyServer.objects.get(url=EVIL).headers == {}


@pytest.fixture
def program() -> Client:
    """Staff who may change servers and nothing else, with a key."""
    user = make_user("helper@example.com", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="change_comfyserver"))
    return Client(headers={"Authorization": f"Bearer {ApiKey.objects.issue(user=user, name='k')[1]}"})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"url": EVIL}, {}),
        ({"url": EVIL, "slots": 3}, {}),
        ({"url": EVIL, "auth_header_name": "X-Token"}, {}),
        ({"url": EVIL, "auth_header_value": "Bearer secret"}, HEADER),
        ({"url": EVIL, "auth_header_name": "X-Token", "auth_header_value": "other"}, {"X-Token": "other"}),
        ({"slots": 3}, HEADER),
        ({"auth_header_name": "", "auth_header_value": ""}, {}),
    ],
)
def test_the_api_sends_it_nowhere_else(program: Client, body: dict[str, Any], expected: dict[str, str]) -> None:
    server = make_server(**FIELDS)
    response = program.patch(f"/api/v2/servers/{server.pk}", body, content_type="application/json")
    assert response.status_code == 200
    assert reload(server).headers == expected
    assert response.json()["auth_header_name"] == next(iter(expected), "")


def test_checking_a_server_notes_whether_it_is_a_simulator() -> None:
    with RunningSimulator() as simulator:
        server = make_server(url=simulator.url)
        assert server_check.check(server)[0]
    server.refresh_from_db()
    assert server.is_simulator
