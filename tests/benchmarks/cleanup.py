"""How many jobs that are too old are deleted a second, with their rows and with their files in a local folder.

On PostgreSQL, by one worker alone: the rows of a batch, then its files, then the next batch.
"""

from __future__ import annotations

import json

from tests.benchmarks.common import Result, cluster
from tests.support.processes import ROOT

JOBS = 10_000
SMALL = {"JOBS": 5}


def measure() -> list[Result]:
    """All numbers."""
    with cluster() as running:
        script = (ROOT / "tests" / "benchmarks" / "inside_cleanup.py").read_text() + f"\nmain(jobs={JOBS})\n"
        numbers = json.loads(running.manage("shell", "--verbosity", "0", "-c", script).splitlines()[-1])
    return [
        Result("expire_per_second", round(JOBS / numbers["seconds"]), "1/s"),
        Result("expire_cpu_ms_each", round(numbers["cpu_seconds"] / JOBS * 1000, 3), "ms"),
    ]
