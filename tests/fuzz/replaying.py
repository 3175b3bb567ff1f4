"""One input on one target: it is taken or refused, in time and memory that its size explains."""

from __future__ import annotations

import hashlib
import time
import tracemalloc
from pathlib import Path

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
# Processor time, so that a busy machine does not matter; the fixed part is for loading libraries.
SECONDS, SECONDS_PER_BYTE = 5.0, 50e-6
BYTES, BYTES_PER_BYTE = 300 * 2**20, 1000


class SlowError(Exception):
    """It took more processor time than its size explains."""


class GreedyError(Exception):
    """It took more memory than its size explains."""


def run(name: str, content: bytes, *, is_memory_watched: bool = False) -> bool:
    """True when the target took the input, False when it refused it. Anything else it raises passes through."""
    target = TARGETS[name]
    begin = time.process_time()
    if is_memory_watched:
        tracemalloc.start()
    try:
        target.run(content)
        is_taken = True
    except target.refusals:
        is_taken = False
    finally:
        peak = tracemalloc.get_traced_memory()[1] if is_memory_watched else 0
        tracemalloc.stop()
    spent = time.process_time() - begin
    if not is_memory_watched and spent > SECONDS + SECONDS_PER_BYTE * len(content):
        raise SlowError(f"{name} took {spent:.1f} s for {len(content)} bytes")
    if peak > BYTES + BYTES_PER_BYTE * len(content):
        raise GreedyError(f"{name} took {peak / 2**20:.0f} MB for {len(content)} bytes")
    return is_taken


def save(name: str, content: bytes) -> Path:
    """Put an input into the corpus."""
    path = CORPUS / name / f"{hashlib.sha256(content).hexdigest()[:12]}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def corpus() -> list[tuple[str, Path]]:
    """Target and file of everything that was ever found."""
    return [(path.parent.name, path) for path in sorted(CORPUS.glob("*/*.bin"))]
