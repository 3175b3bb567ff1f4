"""`make bench`: prints versions and a table, and writes build/bench.json, a list of {"name", "value", "unit"}.

`python -m tests.benchmarks NAME …` runs some of the measurements and leaves the other numbers in the file. Ratios
are of one run; times are medians unless the name says otherwise. Each module has its sizes as constants, and in `SMALL`
those with which the suite runs it in seconds, to see that it still reaches its end.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module

from tests.benchmarks.common import Result
from tests.benchmarks.versions import versions
from tests.support.processes import ROOT

MEASUREMENTS = (
    "standalone", "proxy", "cost", "latency", "browsers", "fairness", "fleet", "scale", "memory", "footprint",
    "uploads", "studio", "api", "floor", "cleanup",
)  # fmt: skip
PATH = ROOT / "build" / "bench.json"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS))
    names = parser.parse_args().names or MEASUREMENTS
    known = {each["name"]: each for each in (json.loads(PATH.read_text()) if PATH.exists() else [])}
    for what, version in versions().items():
        sys.stdout.write(f"{what:<36}  {version}\n")
    for name in names:
        sys.stderr.write(f"{name} …\n")
        results: list[Result] = import_module(f"tests.benchmarks.{name}").measure()
        for result in results:
            sys.stdout.write(f"{result.name:<36}  {result.value:>12} {result.unit}\n")
            known[result.name] = result._asdict()
        sys.stdout.flush()
        PATH.parent.mkdir(exist_ok=True)
        PATH.write_text(json.dumps(list(known.values()), indent=2) + "\n")


if __name__ == "__main__":
    main()
