"""Fuzzing of everything that reads what users send: `python -m tests.fuzz --minutes 30`.

Hypothesis changes good inputs, makes a fault as small as it can, and the input goes into the corpus, which CI replays.
A fault that was found is reported once; the run goes on. The exit code is 1 when there was one.
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from tests.fuzz import replaying
from tests.fuzz.targets import TARGETS

ROUND = 200
MAX_BYTES = 2_000_000
SHRINK_SECONDS = 20.0
MEMORY_BYTES = 3 * 2**30  # beyond what is mapped at the start; whoever wants more gets a MemoryError
WORDS = [
    b"", b"\0", b"\xff", b"\0" * 8, b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\x01", b"-1", b"0",
    b"1e400", b"-1e400", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b"9" * 20, b"9" * 41, b"9" * 5000, b"[" * 200,
    b'{"a":' * 120, b"\\u0000", b"\\ud800", b"\xc3\xa4", b" " * 3000, b"<metadata>", b"</metadata>", b"<![CDATA[",
    b"]]>", b"comfysaas", b"prompt", b"workflow", b'"class_type"', b"generation", b"\n", b",", b"%", b"=", b"/", b"\\",
    b'"',
]  # fmt: skip


def mutated(data: st.DataObject, seeds: list[bytes]) -> bytes:
    """A good input with up to six changes."""
    content = data.draw(st.sampled_from(seeds) | st.binary(max_size=60))
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(content)))
        end = min(len(content), at + data.draw(st.sampled_from([0, 1, 2, 4, 8, 40, 300, 10**6])))
        new = data.draw(st.sampled_from(WORDS) | st.binary(max_size=8) | st.integers(0, 255).map(lambda n: bytes([n])))
        match data.draw(st.sampled_from(["replace", "insert", "repeat", "copy"])):
            case "replace":
                content = content[:at] + new[: end - at] + content[at + len(new[: end - at]) :]
            case "insert":
                content = content[:at] + new + content[end:]
            case "repeat":
                times = min(data.draw(st.sampled_from([1, 3, 100, 2000])), MAX_BYTES // max(1, end - at))
                content = content[:end] + content[at:end] * times + content[end:]
            case _:
                other = data.draw(st.sampled_from(seeds))
                content = content[:at] + other[at:end] + content[end:]
        content = content[:MAX_BYTES]
    return content


def smaller(name: str, content: bytes, kind: str) -> bytes:
    """Without the parts that the fault does not need, as far as that is found within SHRINK_SECONDS."""
    end, size = time.monotonic() + SHRINK_SECONDS, len(content) // 2
    while size:
        for at in range(0, len(content), size):
            shorter = content[:at] + content[at + size :]
            if time.monotonic() > end:
                return content
            try:
                replaying.run(name, shorter)
            except Exception as error:
                content = shorter if _kind(error) == kind else content
        size //= 2
    return content


class Session:
    """One run over all targets."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self.faults: dict[tuple[str, str], str] = {}
        self.last = b""

    def fuzz(self, name: str, seeds: list[bytes], number: int) -> None:
        """One round on a target. A new kind of fault is written down and its smallest input kept."""

        @seed(number)
        @settings(
            max_examples=ROUND, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
        )  # fmt: skip
        @given(st.data())
        def trial(data: st.DataObject) -> None:
            self.try_one(name, mutated(data, seeds))

        try:
            trial()
        except Exception as error:
            if isinstance(error, Flaky) and error.__cause__ is not None:
                error = error.__cause__  # type: ignore[assignment]
            self.faults[name, _kind(error)] = f"{error!r:.300}\n{''.join(traceback.format_exception(error))[-1500:]}"
            path = replaying.save(name, smaller(name, self.last, _kind(error)))
            sys.stdout.write(f"{name}: {_kind(error)}: {path}\n{error!r:.300}\n")
            sys.stdout.flush()

    def try_one(self, name: str, content: bytes) -> None:
        """One input. Whatever is wrong passes through, unless it was seen before."""
        self.tried[name] += 1
        try:
            self.taken[name] += replaying.run(name, content)
        except Exception as error:
            if (name, _kind(error)) in self.faults:
                return
            self.last = content
            raise


def _kind(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/generations/" in frame.filename] or frames[-1:]
    return f"{type(error).__name__} in {ours[-1].filename.rpartition('/')[2]}:{ours[-1].lineno}"


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--targets", default=",".join(TARGETS), help="some of these, separated by commas")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    logging.disable()
    warnings.simplefilter("ignore")
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY_BYTES, resource.RLIM_INFINITY))
    session, end, number = Session(), time.monotonic() + 60 * options.minutes, options.seed
    names = options.targets.split(",")
    seeds: dict[str, list[bytes]] = {name: TARGETS[name].seeds() for name in names}
    for name, path in replaying.corpus():
        seeds.setdefault(name, []).append(path.read_bytes())
    while time.monotonic() < end:
        name, number = names[number % len(names)], number + 1
        session.fuzz(name, seeds[name], number)
    return _report(session, options.seed)


def _report(session: Session, number: int) -> int:
    rows: list[Any] = [f"{name}: {session.tried[name]} inputs, {session.taken[name]} taken" for name in session.tried]
    rows += [f"FAULT {name}: {kind}\n{story}" for (name, kind), story in session.faults.items()]
    rows.append(f"{sum(session.tried.values())} inputs, {len(session.faults)} kinds of faults (--seed {number})")
    sys.stdout.write("\n".join(rows) + "\n")
    return 1 if session.faults else 0


if __name__ == "__main__":
    sys.exit(main())
