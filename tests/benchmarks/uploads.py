"""What uploads do to a web process: how much it grows by the largest one, and how long /healthz takes beside ten.

Each is of the largest size that is allowed, and of bytes that nobody has sent before. Memory counts the process with
its children; the first upload, smaller, is to warm up.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from multiprocessing import get_context
from time import perf_counter

from tests.benchmarks.common import Result, add_users, cluster, milliseconds, percentile
from tests.support.observing import memory_watch
from tests.support.processes import Cluster
from tests.support.waiting import patient

MIB = 2**20
LARGEST_MIB, CLIENTS, EACH, PAUSE_SECONDS = 50, 10, 3, 0.02
SMALL = {"LARGEST_MIB": 2, "CLIENTS": 2, "EACH": 1, "IDLE_SECONDS": 0.5}
CHUNK_BYTES = 256 * 1024
PROCESSES, IDLE_SECONDS = 2, 5.0


def _upload(port: int, key: str, size: int) -> None:
    """One file as a form. Its bytes are few random ones again and again, so that the sender costs little."""
    boundary, unique = "b" * 32, os.urandom(CHUNK_BYTES)
    head = (
        f"--{boundary}\r\nContent-Disposition: form-data; name=file; filename=a.bin\r\n"
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    end = f"\r\n--{boundary}--\r\n".encode()
    connection = HTTPConnection("127.0.0.1", port, timeout=patient(120))
    connection.putrequest("POST", "/api/v2/assets")
    connection.putheader("Authorization", f"Bearer {key}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={boundary}")
    connection.putheader("Content-Length", str(len(head) + size + len(end)))
    connection.endheaders(head)
    for begin in range(0, size, CHUNK_BYTES):
        connection.send(unique[: min(CHUNK_BYTES, size - begin)])
    connection.send(end)
    with connection.getresponse() as answer:
        body = answer.read()
        assert answer.status == 201, (answer.status, body[:500])
    connection.close()


def _upload_all(port: int, keys: list[str], number: int, size: int) -> None:
    """So many files for each of these users, who upload side by side."""
    with ThreadPoolExecutor(len(keys)) as pool:
        for upload in [pool.submit(_upload, port, key, size) for key in keys for _ in range(number)]:
            upload.result()


def _growth_mib(running: Cluster, key: str) -> float:
    _upload(running.port, key, MIB)
    with memory_watch(running.processes["web"].pid) as memory:
        _upload(running.port, key, LARGEST_MIB * MIB)
    return memory.growth / MIB


@contextmanager
def _healthz(port: int) -> Iterator[list[float]]:
    """How long each answer took, in seconds, while the context lasts."""
    seconds: list[float] = []
    ended = threading.Event()

    def look() -> None:
        with closing(HTTPConnection("127.0.0.1", port, timeout=patient(60))) as connection:
            while not ended.wait(PAUSE_SECONDS):
                begin = perf_counter()
                connection.request("GET", "/healthz")
                connection.getresponse().read()
                seconds.append(perf_counter() - begin)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seconds
    finally:
        ended.set()
        looking.join()


def measure() -> list[Result]:
    """All numbers."""
    with cluster() as running:
        keys = add_users(running, [f"bench{number}@example.com" for number in range(CLIENTS)])
        growth_mib = _growth_mib(running, keys[0])
        with _healthz(running.port) as idle:
            time.sleep(IDLE_SECONDS)
        shares = [keys[number::PROCESSES] for number in range(PROCESSES)]
        begin = perf_counter()
        with _healthz(running.port) as busy, ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
            parts = [pool.submit(_upload_all, running.port, share, EACH, LARGEST_MIB * MIB) for share in shares]
            for part in parts:
                part.result()
        rate = CLIENTS * EACH * LARGEST_MIB / (perf_counter() - begin)
    return [
        Result("upload_growth_mib", round(growth_mib, 1), "MiB"),
        Result("upload_mib_per_second", round(rate), "MiB/s"),
        milliseconds("upload_healthz_idle_p99_ms", percentile(idle, 0.99)),
        milliseconds("upload_healthz_p50_ms", percentile(busy, 0.5)),
        milliseconds("upload_healthz_p99_ms", percentile(busy, 0.99)),
    ]
