"""Connections to PostgreSQL are not asked whether they still work, and one that does not is replaced all the same."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
import pytest
from django.db import DatabaseError, close_old_connections, connection, connections
from psycopg_pool import ConnectionPool

from generations import database
from tests.support.waiting import eventually, patient

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="needs TEST_BACKEND=postgres"),
]


def ask() -> int:
    """The process of PostgreSQL that answers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def end(pid: int) -> None:
    """As a restart of PostgreSQL does; returns once the process is gone."""
    name = connection.settings_dict["NAME"]
    with psycopg.connect(dbname=name, **_address(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
        gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = %s"
        eventually(lambda: other.execute(gone, [pid]).fetchone() == (True,), what="the end of a process of PostgreSQL")


def _address() -> dict[str, str]:
    known = connection.settings_dict
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
    return {name: str(known[key]) for name, key in names.items() if known[key]}


def in_thread(work: Callable[[], None]) -> None:
    """Runs it in a thread that keeps its connection."""
    faults: list[BaseException] = []

    def run() -> None:
        try:
            database.keep()
            work()
        except BaseException as fault:
            faults.append(fault)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(patient(30))
    if faults:
        raise faults[0]


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Connections that were asked whether they work."""
    asked: list[object] = []
    check = ConnectionPool.check_connection

    def watched(of: psycopg.Connection[object]) -> None:
        asked.append(of)
        check(of)

    monkeypatch.setattr(ConnectionPool, "check_connection", watched)
    return asked


def test_a_connection_of_the_pool_is_not_asked(questions: list[object]) -> None:
    first = ask()
    close_old_connections()
    assert connection.connection is None
    assert ask() == first
    assert not questions


def test_closed_connections_of_the_pool_fail_nothing(questions: list[object]) -> None:
    gone = ask()
    connection.close()
    end(gone)
    assert ask() != gone
    assert len(questions) == 1


def test_a_thread_keeps_its_connection_through_slow_work(questions: list[object]) -> None:
    def work() -> None:
        mine = ask()
        for pause in (database.release, close_old_connections):
            pause()
            assert connection.connection is not None
            assert ask() == mine
        assert not hasattr(connection.connection, "_pool")

    in_thread(work)
    assert not questions


def test_a_kept_connection_that_was_closed_meanwhile_fails_nothing() -> None:
    def work() -> None:
        gone = ask()
        end(gone)
        close_old_connections()
        assert ask() != gone

    in_thread(work)


def test_a_kept_connection_that_breaks_in_use_fails_once() -> None:
    def work() -> None:
        end(ask())
        with pytest.raises(DatabaseError):
            ask()
        close_old_connections()
        assert ask()

    in_thread(work)


def test_more_threads_than_may_keep_one_share_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "KEPT_AT_MOST", 0)

    def work() -> None:
        ask()
        database.release()
        assert connection.connection is None
        assert ask()

    in_thread(work)
