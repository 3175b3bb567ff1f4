"""A running simulator: in this process, where a test can reach into it, or as a process of its own."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from generations.simulator.faults import Faults
from generations.simulator.object_info import describe
from generations.simulator.server import Simulator
from tests.support.waiting import patient

START_SECONDS = patient(20.0)
STOP_SECONDS = patient(10.0)
HELD_SECONDS = 1e6
ROOT = Path(__file__).parents[2]


@cache
def usual_catalog() -> str:
    """A simulator's answer to GET /object_info, as JSON text."""
    with tempfile.TemporaryDirectory() as folder:
        simulator = Simulator(data_dir=Path(folder))
        nodes = {name: describe(name, node, simulator.environment) for name, node in simulator.registry.items()}
    return json.dumps(nodes)


class RunningSimulator:
    """A server in a thread, with its own event loop. A context manager; it runs from the moment it is made.

    `options` are those of `Simulator`: step_seconds (0 here unless given), preview_method, preview_size, checkpoints.
    Give the `port` and `data_dir` of one that was stopped to start it again in its place.
    """

    def __init__(self, *, port: int = 0, data_dir: Path | None = None, **options: Any) -> None:
        self._is_own_directory = data_dir is None
        self.data_dir = data_dir or Path(tempfile.mkdtemp(prefix="simulator-"))
        self.simulator = Simulator(data_dir=self.data_dir, **{"step_seconds": 0.0, **options})
        self.port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._is_ready = threading.Event()
        self._problem: OSError | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="simulator", daemon=True)
        self._thread.start()
        self._is_ready.wait(START_SECONDS)
        if self._problem is not None:
            raise self._problem

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def faults(self) -> Faults:
        """Set an attribute to switch a fault on; `set(drop_sockets=True)` and `set(half_open=True)` act at once."""
        return self.simulator.faults

    def hold(self) -> None:
        """Sampling stops at its next step until `go_on`: what a test does meanwhile happens in the middle of a run."""
        self.simulator.environment.step_seconds = HELD_SECONDS

    def go_on(self) -> None:
        """Sampling goes on, at full speed."""
        self.simulator.environment.step_seconds = 0.0

    def restart(self) -> None:
        """Everything in memory is lost and every socket is cut, as when the process dies and comes back at once."""
        self.simulator.restart()

    def stop(self) -> None:
        """End it, as a stopped process does; its files go only if the directory was its own."""
        if self._thread.is_alive() and self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(STOP_SECONDS)
        if self._is_own_directory:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            self.port = await self.simulator.start("127.0.0.1", self.port)
        except OSError as problem:
            self._problem = problem
            return
        finally:
            self._is_ready.set()
        await self._stopping.wait()
        await self.simulator.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@contextmanager
def simulator_process(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`python -m generations.simulator --port 0` with more arguments. Yields (address, process)."""
    command = [sys.executable, "-m", "generations.simulator", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if " listening on " not in line:
            msg = f"The simulator did not start, it said {line!r}"
            raise RuntimeError(msg)
        yield line.rsplit(" ", 1)[-1].strip(), process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
