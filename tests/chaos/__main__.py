"""`make chaos`: the product as real processes, users at work, and everything around them breaking.

Prints what it does, the counts and every problem; writes build/chaos.json, and each process's log into
build/chaos-logs. Ends with 1 when anything was lost, stuck, duplicated, mixed up or failed without a reason.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

from tests.chaos.judge import Verdict, judge, unfinished
from tests.chaos.load import Load, submit_all
from tests.chaos.monkey import FAULTS, Monkey
from tests.chaos.world import World
from tests.support.processes import ROOT

SETTLE_SECONDS = 240.0
HOUSEKEEPING = "from generations.tasks import expire; expire()"


def run(
    *,
    postgres_url: str,
    seed: int,
    generations: int,
    users: int,
    seconds: float,
    only: Sequence[str] = (),
    simulators: int = 4,
) -> Verdict:
    """One run. `seconds` is how long users submit and faults happen; then everything must come to its end.

    `only`: names of faults; none for all of them.
    """
    faults = [fault for fault in FAULTS if fault.name in only] or FAULTS
    began = time.monotonic()
    with World(postgres_url=postgres_url, simulators=simulators, webs=2, relays=2, workers=2) as world:
        accounts = world.make_users(users)
        loads: list[Load] = []

        def work() -> None:
            job = submit_all(accounts, world.web_ports, generations=generations, seconds=seconds, seed=seed)
            loads.append(asyncio.run(job))

        submitting = threading.Thread(target=work, name="users", daemon=True)
        monkey = Monkey(world, seed=seed, faults=faults)
        sys.stderr.write(f"{generations} generations by {users} users, seed {seed}\n")
        at_work = time.monotonic()
        submitting.start()
        monkey.run(lambda: not submitting.is_alive() and unfinished(world) < generations // 20)
        if not loads:
            return Verdict(["the users' program failed"])
        world.wait_for_witnesses()
        quiet = time.monotonic()
        _settle(world)
        settled = time.monotonic()
        world.wait_for_workers()
        verdict = judge(world, loads[0], accounts, explained=monkey.explained)
        # Celery gives up when Redis goes away in the middle of an acknowledgement, and is started again like any other
        # service (compose.yaml). Nothing of ours may end that way.
        ended = [(name, how) for name, how in world.ended_by_themselves if not name.startswith("worker")]
        verdict.note("ended_by_themselves", [how for _, how in ended])
        verdict.numbers["workers_that_gave_up"] = len(world.ended_by_themselves) - len(ended)
        verdict.numbers |= {
            "problems": len(verdict.problems),
            "seed": seed,
            "faults": dict(monkey.done.most_common()),
            "seconds_of_faults": round(quiet - at_work, 1),
            "seconds_to_settle": round(settled - quiet, 1),
            "seconds_in_all": round(time.monotonic() - began, 1),
            "generations_per_second": round(len(loads[0].acknowledged) / (settled - at_work), 2),
        }
        return verdict


def _settle(world: World) -> None:
    """Nothing breaks any more: wait for the last one, but not for ever; then keep house, as workers do now and then."""
    give_up = time.monotonic() + SETTLE_SECONDS
    while unfinished(world) and time.monotonic() < give_up:
        world.revive()
        time.sleep(0.5)
    world.manage("shell", "--verbosity", "0", "-c", HOUSEKEEPING)


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--generations", type=int, default=1000)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=240.0)
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--only", action="append", default=[], choices=names, metavar="FAULT", help=", ".join(names))
    options = parser.parse_args()
    # Whoever stops us, also as a background job that hears no Ctrl-C, stops the processes and drops the database.
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda number, _: sys.exit(128 + number))
    postgres_url = os.environ.get("DATABASE_URL", "")
    if not postgres_url:
        parser.error("DATABASE_URL must name a PostgreSQL server, on which a database of its own is made")
    verdict = run(postgres_url=postgres_url, **vars(options))
    path = ROOT / "build" / "chaos.json"
    path.write_text(json.dumps({**verdict.numbers, "what": verdict.problems}, indent=2) + "\n")
    sys.stdout.write(json.dumps(verdict.numbers, indent=2) + "\n")
    for problem in verdict.problems:
        sys.stdout.write(f"PROBLEM: {problem}\n")
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    sys.exit(main())
