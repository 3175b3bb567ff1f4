"""The watches that the attacks rely on do see harm."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.security.conftest import Api, MakeKey
from tests.support.observing import (
    healthz_watch,
    memory_watch,
    peak_rss_bytes,
    reset_peak_rss,
    rss_bytes,
    tree_rss_bytes,
    unharmed,
)
from tests.support.processes import Standalone
from tests.support.waiting import eventually

MB = 10**6
# Reads a number of megabytes, has that much for a moment, says so.
GREEDY = "import sys\nfor line in sys.stdin:\n    b'x' * (int(line) * 10**6)\n    print('had', flush=True)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {GREEDY!r}])"


def ask(process: subprocess.Popen[str], megabytes: int) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{megabytes}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "had\n"


@pytest.fixture
def greedy() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", GREEDY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        ask(process, 0)
        yield process


def test_a_short_peak_of_memory_is_seen(greedy: subprocess.Popen[str]) -> None:
    with memory_watch(greedy.pid) as memory:
        ask(greedy, 100)
    assert memory.growth > 90 * MB
    assert rss_bytes(greedy.pid) < memory.peak
    assert peak_rss_bytes(greedy.pid) > rss_bytes(greedy.pid) + 50 * MB
    reset_peak_rss(greedy.pid)
    assert peak_rss_bytes(greedy.pid) < rss_bytes(greedy.pid) + 50 * MB


def test_what_does_not_grow_is_not_blamed(greedy: subprocess.Popen[str]) -> None:
    ask(greedy, 100)
    with memory_watch(greedy.pid) as memory:
        ask(greedy, 1)
    assert memory.growth < 50 * MB


def test_memory_of_children_counts() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        ask(process, 0)
        assert tree_rss_bytes(process.pid) > rss_bytes(process.pid)


def test_a_server_that_stands_still_is_seen(running_server: Standalone) -> None:
    with healthz_watch(running_server.url) as healthz:
        eventually(lambda: len(healthz.seconds) > 2)
        running_server.process.signal_group(signal.SIGSTOP)
        try:
            asked = len(healthz.seconds)  # one more answer may be on its way
            with pytest.raises(AssertionError):
                eventually(lambda: len(healthz.seconds) > asked + 1, seconds=0.2)
        finally:
            running_server.process.signal_group(signal.SIGCONT)
        eventually(lambda: len(healthz.seconds) > asked + 1)
    assert healthz.failures == []


def test_usual_requests_do_no_harm(running_server: Standalone, make_key: MakeKey, api: Api) -> None:
    client = api(make_key())
    with unharmed(running_server, megabytes=100):
        assert client.get("jobs").status_code == 200
        assert api().get("jobs").status_code == 401
