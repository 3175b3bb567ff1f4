"""Servers: leases, and headers that are sent to the address that they were given for."""

from __future__ import annotations

from typing import Any

import pytest

from generations.models import ComfyServer
from tests.support.factories import make_server
from tests.support.servers import EVIL, HEADER, HEADER_FIELDS, reload

pytestmark = pytest.mark.django_db


def test_a_lease_is_held_by_one_until_it_runs_out_or_is_given_back() -> None:
    server = make_server()
    token = ComfyServer.objects.acquire(server.pk, owner="a")
    assert token is not None
    assert ComfyServer.objects.acquire(server.pk, owner="b") is None
    ComfyServer.objects.release(server.pk, token=token)
    assert ComfyServer.objects.acquire(server.pk, owner="b") is not None


@pytest.mark.parametrize("update_fields", [None, ["url"]])
def test_moving_a_server_forgets_its_header(update_fields: Any) -> None:
    server = reload(make_server(**HEADER_FIELDS))
    server.url = EVIL
    server.save(update_fields=update_fields)
    assert (reload(server).url, reload(server).headers) == (EVIL, {})


def test_a_server_that_was_just_made_is_moved_like_any_other() -> None:
    server = make_server(**HEADER_FIELDS)
    server.url = EVIL
    server.save()
    assert reload(server).headers == {}


def test_a_server_that_stays_keeps_it() -> None:
    server = reload(make_server(**HEADER_FIELDS))
    server.slots = 5
    server.save()
    assert reload(server).headers == HEADER
    deferred = ComfyServer.objects.only("name").get()
    deferred.name = "renamed"
    deferred.save()
    assert reload(server).headers == HEADER


def test_reading_another_field_late_does_not_undo_it() -> None:
    server = reload(make_server(object_info=None, **HEADER_FIELDS))
    found = ComfyServer.objects.defer("object_info").get(pk=server.pk)
    found.url = EVIL
    assert found.object_info is None
    found.save()
    assert reload(server).headers == {}
