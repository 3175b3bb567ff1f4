"""A flood by one user, and somebody else's first generation; the time of a claim among 1,000 and among 100,000.

On PostgreSQL, through the product's own queue. The start delay is counted in generations that start in between, where
the one that runs at that moment is not counted: it has started before.
"""

from __future__ import annotations

import json

from tests.benchmarks.common import Result, cluster, milliseconds
from tests.support.processes import ROOT

SIZES = {"claims": 200, "crowd": 20, "few": 50, "flood": 10_000, "many": 4_500}  # few and many for each of the crowd
SMALL = {"SIZES": {"claims": 2, "crowd": 2, "few": 3, "flood": 10, "many": 3}}


def measure() -> list[Result]:
    """All numbers."""
    with cluster() as running:
        script = (ROOT / "tests" / "benchmarks" / "inside.py").read_text() + f"\nmain(**{SIZES!r})\n"
        numbers = json.loads(running.manage("shell", "--verbosity", "0", "-c", script).splitlines()[-1])
    return [
        Result("fair_start_delay_jobs", numbers["before"], ""),
        milliseconds("claim_1k_p50_ms", numbers["few"]),
        milliseconds("claim_100k_p50_ms", numbers["many"]),
        Result("claim_queued", numbers["waiting"], ""),
        Result("claim_ratio_100k", round(numbers["many"] / numbers["few"], 2), "x"),
    ]
