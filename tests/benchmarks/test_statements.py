"""`tests/support/statements.py` counts what psycopg sends to a real PostgreSQL, and frames however they are cut."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.support.processes import own_database
from tests.support.statements import Conversation, Tally, Trip, counted, without


def frame(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


GREETING = struct.pack("!II", 8, 196608)
READY = frame(b"Z", b"I")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_messages_are_read_however_they_are_cut(size: int) -> None:
    tally = Tally()
    conversation = Conversation("web", tally)
    exchange = [
        (conversation.ask, GREETING),
        (conversation.answer, frame(b"R", b"\0\0\0\0") + READY),
        (conversation.ask, frame(b"Q", b"UPDATE a SET b = 'SELECT'\0")),
        (conversation.answer, frame(b"C", b"UPDATE 2\0") + READY),
    ]
    for take, data in exchange:
        for begin in range(0, len(data), size):
            take(data[begin : begin + size])
    (trip,) = tally.trips
    assert (trip.tags, trip.commits, trip.is_answered) == (["UPDATE 2"], True, True)
    assert trip.shape == "UPDATE a SET b = ? -> UPDATE 2"


def test_values_are_no_part_of_a_shape_however_they_are_written() -> None:
    few, many = "= ANY('{}'::bigint[]) AND a = '[]'", "= ANY('{1}'::int2[]::bigint[]) AND a =  E'[\\\\\"b\\\\\"]'"
    assert Trip("relay", 1, few).shape == Trip("relay", 1, many).shape == "= ANY(?) AND a = ? -> "


def trips(*texts: str) -> list[Trip]:
    return [Trip("relay", 1, text, at=number) for number, text in enumerate(texts)]


def test_a_transaction_is_usual_as_a_whole_or_not_at_all() -> None:
    usual = {trip.shape for trip in trips("", "BEGIN", "SELECT 1", "COMMIT")}
    assert without(trips("", "BEGIN", "SELECT 2", "COMMIT", "SELECT 3", ""), usual) == []
    kept = without(trips("SELECT 1", "", "BEGIN", "SELECT 1", "UPDATE a", "COMMIT", "SELECT 1"), usual)
    assert [trip.sql for trip in kept] == ["", "BEGIN", "SELECT 1", "UPDATE a", "COMMIT"]


@pytest.fixture
def database(postgres_url: str) -> Iterator[tuple[psycopg.Connection, Tally]]:
    """With a table `numbers` of one row, through a counting proxy."""
    with own_database(postgres_url) as name, counted(postgres_url) as (ports, tally):
        url = urlsplit(postgres_url)
        through = url._replace(netloc=f"{url.username}:{url.password or ''}@127.0.0.1:{ports['web']}", path=f"/{name}")
        with psycopg.connect(f"{through.geturl()}?sslmode=disable&gssencmode=disable", autocommit=True) as connection:
            connection.execute("CREATE TABLE numbers AS SELECT 1 AS number")
            tally.trips.clear()
            yield connection, tally


@pytest.mark.postgres
def test_only_what_wrote_is_a_commit(database: tuple[psycopg.Connection, Tally]) -> None:
    connection, tally = database
    connection.execute("UPDATE numbers SET number = 2")
    connection.execute("UPDATE numbers SET number = 3 WHERE number = 1")  # none
    connection.execute("SELECT number FROM numbers")
    with connection.transaction():
        connection.execute("SELECT number FROM numbers")
    with connection.transaction():
        connection.execute("SELECT number FROM numbers FOR UPDATE")
    with connection.transaction():
        connection.execute("UPDATE numbers SET number = 4")
        raise psycopg.Rollback
    committed = [(trip.sql, number) for number, trip in enumerate(tally.trips) if trip.commits]
    assert committed == [("UPDATE numbers SET number = 2", 0), ("COMMIT", 8)]
    assert len(tally.trips) == 12
    assert (tally.connected, tally.trips[1].tags) == (["web"], ["UPDATE 0"])


@pytest.mark.postgres
def test_a_query_that_writes_on_the_way_is_a_commit_if_it_found_something(
    database: tuple[psycopg.Connection, Tally],
) -> None:
    connection, tally = database
    for number in (1, 1):
        connection.execute(
            "WITH taken AS (UPDATE numbers SET number = 2 WHERE number = %s RETURNING number)"
            " SELECT taken.number, 1 FROM (SELECT 1) AS always LEFT JOIN taken ON true",
            (number,),
        )
    assert [(trip.tags, trip.commits) for trip in tally.trips] == [(["SELECT 1"], True), (["SELECT 1"], False)]


@pytest.mark.postgres
def test_a_pipeline_is_one_trip_and_preparing_another(database: tuple[psycopg.Connection, Tally]) -> None:
    connection, tally = database
    with connection.pipeline():
        for number in range(3):
            connection.execute("INSERT INTO numbers VALUES (%s)", (number,))
    (trip,) = tally.trips
    assert trip.sql.count("INSERT INTO numbers VALUES ($1)") == 3
    assert trip.commits
    tally.trips.clear()
    connection.execute("SELECT %s::int", (1,), prepare=True)
    assert [trip.sql for trip in tally.trips] == ["PREPARE SELECT $1::int", "SELECT $1::int"]
