"""One server for the tests that only talk to it; those that stop or break one start their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.processes import Standalone


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """A server with its simulator, admin@example.com and demo@example.com."""
    running = Standalone(
        tmp_path_factory.mktemp("shared"), ADMIN_PASSWORD="an admin's one", DEMO_PASSWORD="a demo's one"
    )
    yield running
    running.stop()
