"""What each server said it has, read once for each catalog."""

from __future__ import annotations

from typing import Any

import pytest

from generations.models import ComfyServer
from generations.scheduling import catalogs
from tests.support.factories import make_server

pytestmark = pytest.mark.django_db


def test_every_process_sees_a_new_catalog_at_its_next_look(django_assert_num_queries: Any) -> None:
    server = make_server()
    known = catalogs.catalog_of(server)
    assert known is not None and "KSampler" in known.classes
    with django_assert_num_queries(1):
        assert catalogs.catalog_of(server) is known
    ComfyServer.objects.saw_nodes(server.pk, object_info={"SaveImage": {}})
    found = catalogs.catalog_of(server)
    assert found is not None and found.classes == {"SaveImage"}


def test_a_server_that_said_nothing_yet_has_no_catalog() -> None:
    assert catalogs.catalog_of(make_server(object_info=None)) is None


def test_verdicts_are_only_kept_for_the_catalog_that_they_are_about() -> None:
    server = make_server()
    digest = ComfyServer.objects.get(pk=server.pk).catalog_digest
    assert catalogs.kept.exact(server.pk, digest) is not None
    assert catalogs.kept.exact(server.pk, "of another catalog") is None


def test_servers_that_said_the_same_are_read_once(django_assert_num_queries: Any) -> None:
    make_server("one", object_info={"A": {}})
    make_server("two", "http://127.0.0.1:2", object_info={"A": {}})
    nodes = catalogs.known_nodes()
    assert nodes is not None and set(nodes) == {"A"}
    with django_assert_num_queries(1):
        assert catalogs.known_nodes() is nodes


def test_what_was_seen_of_the_servers_anyway_is_not_asked_for(django_assert_num_queries: Any) -> None:
    server = make_server("one", object_info={"A": {}})
    make_server("off", "http://127.0.0.1:2", object_info={"B": {}}, is_enabled=False)
    assert set(catalogs.noted.nodes() or ()) == {"A"}  # nothing was seen yet
    catalogs.noted.saw(ComfyServer.objects.all())
    with django_assert_num_queries(0):
        assert set(catalogs.noted.nodes() or ()) == {"A"}
    ComfyServer.objects.saw_nodes(server.pk, object_info={"C": {}})
    catalogs.noted.saw(ComfyServer.objects.all())
    assert set(catalogs.noted.nodes() or ()) == {"C"}
