"""A short run of `make chaos`."""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import run
from tests.chaos.monkey import FAULTS

pytestmark = pytest.mark.xdist_group("cluster")


@pytest.mark.cluster
@pytest.mark.postgres
@pytest.mark.s3
@pytest.mark.timeout(240)
def test_nothing_is_lost_whatever_breaks(postgres_url: str, redis_server: str) -> None:
    quick = [fault.name for fault in FAULTS if not fault.is_slow]
    verdict = run(postgres_url=postgres_url, seed=3, generations=60, users=5, seconds=25, only=quick, simulators=2)
    assert verdict.problems == []
    assert verdict.numbers["acknowledged"] == 60
    assert verdict.numbers["suspended"] + verdict.numbers["removed"] >= 1
    assert verdict.numbers["doors_seen_open"] >= 1
    assert sum(verdict.numbers["faults"].values()) >= 8
