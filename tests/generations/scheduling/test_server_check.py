"""Asking a server whether it is there, and what it is."""

from __future__ import annotations

import pytest

from generations.scheduling import server_check
from tests.support.factories import make_server
from tests.support.simulator import RunningSimulator

pytestmark = pytest.mark.django_db


def test_checking_a_server_notes_whether_it_is_a_simulator() -> None:
    with RunningSimulator() as simulator:
        server = make_server(url=simulator.url)
        assert server_check.check(server)[0]
    server.refresh_from_db()
    assert server.is_simulator
