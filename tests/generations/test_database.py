"""Slow work keeps no database connection, and is never done inside a transaction."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend
from django.db import connection, transaction

from comfysaas import mail
from generations import database, outbound
from generations.comfy import decoders
from generations.comfy.client import ComfyClient
from generations.files import spooling, storage
from generations.files.backends import DiskStorage
from generations.models import DiscardedFile
from generations.scheduling import server_check
from generations.studio import covers, making
from tests.support import bombs
from tests.support.factories import make_asset, make_server, make_template
from tests.support.receiver import receiver

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def has_connection(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each piece of slow work: did its thread hold a connection?"""
    seen: list[bool] = []

    def watch(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            seen.append(connection.connection is not None)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, watched)

    watch(outbound, "_exchange")
    watch(decoders, "ask")
    watch(EmailBackend, "open")
    watch(DiskStorage, "_save")
    for name in ("_open", "delete"):
        watch(FileSystemStorage, name)
    watch(ComfyClient, "system_stats")
    return seen


def use_a_connection() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert connection.connection is not None


def _fetch(settings: Any) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = [ipaddress.ip_network("127.0.0.0/8")]
    with receiver() as other:
        outbound.fetch(other.url, max_bytes=1000, seconds=20)


def _keep(_settings: Any) -> None:
    with closing(spooling.spool([bombs.png(8, 8)])) as spooled:
        use_a_connection()
        storage.keep(spooled, key=f"uploads/{uuid.uuid4()}", user_id=1, workspace_id=1, name="a.png")


def _thumbnail(_settings: Any) -> None:
    with closing(spooling.spool([bombs.png(8, 8)])) as spooled:
        use_a_connection()
        storage.write_thumbnail("uploads/x", spooled)


def _delete(_settings: Any) -> None:
    storage.delete(["uploads/nothing"])


def _check(_settings: Any) -> None:
    server_check.check(make_server(url="http://127.0.0.1:9"))


def _mail(settings: Any) -> None:
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    mail.Outbox().send_messages([EmailMessage("Subject", "Body", "a@example.com", ["b@example.com"])])
    mail.send_mails()


@pytest.mark.parametrize("work", [_fetch, _keep, _thumbnail, _delete, _check, _mail])
def test_slow_work_keeps_no_connection(work: Callable[[Any], None], has_connection: list[bool], settings: Any) -> None:
    use_a_connection()
    work(settings)
    assert has_connection
    assert not any(has_connection)


def test_covers_are_stored_without_a_connection(staff: Any, has_connection: list[bool]) -> None:
    template, asset = make_template(), make_asset(staff)
    has_connection.clear()
    covers.set_cover_from(template, asset)
    making.duplicate(template, staff)
    assert len(has_connection) > 2
    assert not any(has_connection)


def test_a_connection_comes_back_by_itself() -> None:
    use_a_connection()
    database.release()
    assert connection.connection is None
    use_a_connection()


def test_slow_work_inside_a_transaction_is_a_fault() -> None:
    with pytest.warns(RuntimeWarning, match="inside a database transaction"), transaction.atomic():
        database.release()
        assert connection.connection is not None


@pytest.mark.django_db(transaction=False)
def test_the_transaction_around_a_test_is_none_of_ours() -> None:
    database.release()
    assert connection.connection is not None
    with pytest.warns(RuntimeWarning), transaction.atomic():
        database.release()


def test_batches_end_with_the_first_one_that_is_not_full() -> None:
    left = [2, 2, 1, 2]
    assert database.in_batches(lambda size: left.pop(0), size=2, until=float("inf")) == 5
    assert left == [2]
    assert database.in_batches(lambda size: size, size=2, until=float("-inf")) == 2


def test_some_rows_are_deleted_at_a_time() -> None:
    DiscardedFile.objects.add(["a", "b", "c", "other"])
    rows = DiscardedFile.objects.exclude(key="other")
    assert [database.delete_some(rows, 2) for _ in range(3)] == [2, 1, 0]
    assert [each.key for each in DiscardedFile.objects.all()] == ["other"]
