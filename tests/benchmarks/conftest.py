"""One database with tables and starters for everything here that runs a cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.processes import prepared_database


@pytest.fixture(scope="session")
def template(postgres_url: str, redis_url: str) -> Iterator[str]:
    """The name of the database to copy."""
    with prepared_database(postgres_url, redis_url) as name:
        yield name
