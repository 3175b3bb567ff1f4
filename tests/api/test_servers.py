"""PATCH /servers/{id}: a header is sent to the address that it was given for."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import ApiKey
from tests.support.factories import make_server, make_user
from tests.support.servers import EVIL, HEADER, HEADER_FIELDS, reload

pytestmark = pytest.mark.django_db


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
    server = make_server(**HEADER_FIELDS)
    response = program.patch(f"/api/v2/servers/{server.pk}", body, content_type="application/json")
    assert response.status_code == 200
    assert reload(server).headers == expected
    assert response.json()["auth_header_name"] == next(iter(expected), "")
