"""What an attacked server looks like from outside: the memory of its processes, and how long /healthz takes.

Linux only: memory comes from /proc (proc(5): VmRSS and VmHWM in `status`, `children` of each task, `clear_refs`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.support.processes import Standalone
from tests.support.waiting import patient

SAMPLE_SECONDS = 0.05
HEALTHZ_SECONDS = 2.0


def rss_bytes(pid: int) -> int:
    """Resident memory of this one process, in bytes. OSError when it is gone."""
    return _status_bytes(pid, "VmRSS")


def peak_rss_bytes(pid: int) -> int:
    """The most memory this one process had since it started, or since `reset_peak_rss`, in bytes."""
    return _status_bytes(pid, "VmHWM")


def reset_peak_rss(pid: int) -> None:
    """`peak_rss_bytes` counts from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def tree_rss_bytes(pid: int) -> int:
    """Resident memory of a process and all its descendants, in bytes. Pages that they share count once for each."""
    total = 0
    for each in descendants(pid):
        with suppress(OSError):  # it ended between being listed and being read
            total += rss_bytes(each)
    return total


def tree_cpu_seconds(pid: int) -> float:
    """Processor time that a process, all its descendants and those of them that ended have used so far."""
    ticks = 0
    for each in descendants(pid):
        with suppress(OSError):
            # After the name in brackets, which may have spaces: utime, stime, cutime and cstime are fields 14 to 17.
            ticks += sum(map(int, Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    """This process, its children, their children and so on; empty when it is gone."""
    found = [pid] if Path(f"/proc/{pid}").exists() else []
    for each in found:
        with suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _status_bytes(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0  # a zombie has no memory any more


class MemoryWatch:
    """What `memory_watch` saw, in bytes."""

    def __init__(self, before: int) -> None:
        self.before = before
        self.peak = before

    @property
    def growth(self) -> int:
        """How much more there was at the worst moment than when the watch began."""
        return self.peak - self.before


@contextmanager
def memory_watch(pid: int) -> Iterator[MemoryWatch]:
    """Watches a process with its children. Short peaks of the process itself are seen too: the kernel notes them."""
    watch = MemoryWatch(tree_rss_bytes(pid))
    reset_peak_rss(pid)
    own = rss_bytes(pid)
    with _repeating(lambda: setattr(watch, "peak", max(watch.peak, tree_rss_bytes(pid)))):
        yield watch
    watch.peak = max(watch.peak, watch.before + peak_rss_bytes(pid) - own)


class HealthzWatch:
    """What `healthz_watch` saw so far."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.failures: list[str] = []

    @property
    def slowest_seconds(self) -> float:
        """How long the slowest answer took; a request that got none counts with the time that it waited."""
        return max(self.seconds, default=0.0)


@contextmanager
def healthz_watch(url: str) -> Iterator[HealthzWatch]:
    """Asks `url`/healthz again and again, on connections of its own, until the block ends.

    At least one request is made, and the one that is under way at the end is waited for. Compare `slowest_seconds`
    with `patient(...)`; `failures` should be empty.
    """
    watch = HealthzWatch()
    with _repeating(lambda: _ask(url, watch)):
        yield watch


@contextmanager
def unharmed(server: Standalone, *, megabytes: float, healthz_seconds: float = HEALTHZ_SECONDS) -> Iterator[None]:
    """Fails the test when the server, with its children, grew more than that, or when /healthz was slow."""
    with memory_watch(server.pid) as memory, healthz_watch(server.url) as healthz:
        yield
    assert not healthz.failures
    assert healthz.slowest_seconds < patient(healthz_seconds), f"/healthz took {healthz.slowest_seconds:.1f} s"
    assert memory.growth < megabytes * 10**6, f"It grew by {memory.growth / 10**6:.0f} MB"


def _ask(url: str, watch: HealthzWatch) -> None:
    begin = time.monotonic()
    try:
        with urlopen(f"{url}/healthz", timeout=patient(30)) as response:
            response.read()
    except (URLError, OSError) as error:
        watch.failures.append(repr(error))
    finally:
        watch.seconds.append(time.monotonic() - begin)


@contextmanager
def _repeating(step: Callable[[], None]) -> Iterator[None]:
    stopping = threading.Event()

    def repeat() -> None:
        step()
        while not stopping.wait(SAMPLE_SECONDS):
            step()

    thread = threading.Thread(target=repeat, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
