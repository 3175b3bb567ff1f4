"""Every measurement of `make bench` reaches its end, with sizes so small that its numbers mean nothing."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.benchmarks.__main__ import MEASUREMENTS
from tests.benchmarks.versions import PACKAGES, versions

pytestmark = [pytest.mark.cluster, pytest.mark.postgres, pytest.mark.redis, pytest.mark.xdist_group("cluster")]


@pytest.fixture
def servers(postgres_url: str, redis_url: str, template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL and Redis as `make bench` finds them, and a database to copy: nine migrations would take minutes."""
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("BENCH_TEMPLATE", template)


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_measurement_reaches_its_end(name: str, servers: None, request: pytest.FixtureRequest) -> None:
    module = import_module(f"tests.benchmarks.{name}")
    if name == "studio":
        module.CHROMIUM = request.getfixturevalue("chromium_path")
    with pytest.MonkeyPatch.context() as patch:
        for constant, value in module.SMALL.items():
            assert hasattr(module, constant)
            patch.setattr(module, constant, value)
        results = module.measure()
    assert results
    assert all(isinstance(result.value, int | float) for result in results)
    assert len({result.name for result in results}) == len(results)


def test_the_table_says_what_was_measured(servers: None) -> None:
    found = versions()
    assert set(PACKAGES) < set(found)
    assert "none" not in found.values()
    assert found["PostgreSQL"][0].isdigit()
    assert found["Redis"][0].isdigit()
    assert found["CPU"]
