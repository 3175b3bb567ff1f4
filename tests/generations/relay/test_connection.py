"""How an agent and its server stand with each other."""

from __future__ import annotations

import pytest

from generations.relay.connection import Connection, State


def test_a_socket_alone_is_no_answer() -> None:
    connection = Connection()
    assert connection.state is State.DISCONNECTED
    connection.opened("c")
    assert (connection.state, connection.client_id, connection.is_answering) == (State.OPEN, "c", False)
    connection.answered(is_stuck=False)
    assert (connection.state, connection.is_answering) == (State.READY, True)


def test_a_closed_socket_is_still_the_one_that_heard() -> None:
    connection = Connection()
    connection.opened("c")
    connection.closed()
    assert (connection.state, connection.client_id) == (State.DISCONNECTED, "c")


def test_a_stuck_server_answers_and_stays_stuck_until_an_answer_shows_otherwise() -> None:
    connection = Connection()
    connection.opened("c")
    connection.answered(is_stuck=False)
    connection.answered(is_stuck=True)
    assert (connection.state, connection.is_answering) == (State.STUCK, True)
    connection.closed()
    connection.opened("d")
    assert (connection.state, connection.was_stuck) == (State.OPEN, True)
    connection.answered(is_stuck=False)
    assert (connection.state, connection.was_stuck) == (State.READY, False)


def test_the_time_without_an_answer_counts_from_the_last_one() -> None:
    now = 10.0
    connection = Connection(lambda: now)
    now = 15.0
    assert connection.unanswered_seconds == pytest.approx(5.0)
    connection.opened("c")
    assert connection.unanswered_seconds == pytest.approx(5.0)
    connection.answered(is_stuck=False)
    now = 20.0
    assert connection.unanswered_seconds == pytest.approx(0.0)
    connection.closed()
    now = 21.0
    connection.closed()
    connection.opened("d")
    connection.closed()
    assert connection.unanswered_seconds == pytest.approx(1.0)
