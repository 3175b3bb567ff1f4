"""What every request costs: `/healthz`, whose view does nothing, beside the same view in a Django with nothing else.

Both run under daphne as processes of their own and are asked turn by turn, each over one connection that stays open.
On a busy machine, times are mostly waits for its scheduler; the CPU's time says there what a request costs.
"""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.benchmarks.common import Result, cluster, median, milliseconds
from tests.support.processes import Process, answers, free_port
from tests.support.waiting import eventually

REQUESTS, WARM_UP = 1_000, 50
SMALL = {"REQUESTS": 3, "WARM_UP": 1}


@contextmanager
def bare() -> Iterator[tuple[int, int]]:
    """(port, process id) of a Django that has this view and no middleware."""
    port = free_port()
    process = Process("-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "tests.benchmarks.bare:application", env={})
    try:
        eventually(lambda: answers(f"http://127.0.0.1:{port}/healthz"), seconds=60, what="the bare Django")
        yield port, process.pid
    finally:
        process.stop()


def _seconds(connection: http.client.HTTPConnection) -> float:
    begin = time.perf_counter()
    connection.request("GET", "/healthz")
    response = connection.getresponse()
    body = response.read()
    seconds = time.perf_counter() - begin
    assert response.status == 200, body
    assert body == b'{"status": "ok"}'
    return seconds


def _cpu_seconds(pid: int) -> float:
    """What this process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _turn_by_turn(ports: tuple[int, int], number: int) -> tuple[list[float], list[float]]:
    """Seconds each, of so many requests to either."""
    ours, theirs = (http.client.HTTPConnection("127.0.0.1", port, timeout=60) for port in ports)
    with closing(ours), closing(theirs):
        pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(number)]
    return [mine for mine, _ in pairs], [its for _, its in pairs]


def measure() -> list[Result]:
    """All numbers."""
    with cluster() as running, bare() as (port, pid):
        ports, pids = (running.port, port), (running.processes["web"].pid, pid)
        _turn_by_turn(ports, WARM_UP)
        before = [_cpu_seconds(each) for each in pids]
        ours, theirs = (median(seconds) for seconds in _turn_by_turn(ports, REQUESTS))
        cpu = [(_cpu_seconds(each) - begin) / REQUESTS for each, begin in zip(pids, before, strict=True)]
    return [
        milliseconds("healthz_p50_ms", ours),
        milliseconds("bare_healthz_p50_ms", theirs),
        Result("web_floor_ratio", round(ours / theirs, 2), "x"),
        milliseconds("healthz_cpu_ms", cpu[0]),
        milliseconds("bare_healthz_cpu_ms", cpu[1]),
    ]
