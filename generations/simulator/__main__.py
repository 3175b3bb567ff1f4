"""`python -m generations.simulator --port 8188`"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from generations.simulator.faults import Faults
from generations.simulator.installation import Installation
from generations.simulator.nodes import REGISTRY
from generations.simulator.profiles import PROFILES
from generations.simulator.recording import Recording, RecordingError
from generations.simulator.server import Simulator

# Asking is safer than Linux's parent-death signal, which comes already when the thread that started us ends.
PARENT_POLL_SECONDS = 0.5


def main() -> None:
    """Run until SIGINT or SIGTERM."""
    options, recording = _options()
    parent = os.getppid()
    with contextlib.ExitStack() as stack:
        data_dir = options.data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="simulator-")))
        simulator = Simulator(
            data_dir=data_dir,
            step_seconds=options.step_seconds,
            preview_method=options.preview_method,
            preview_size=options.preview_size,
            checkpoints=tuple(options.checkpoint),
            profile=options.profile or ("newest" if recording else "0.3.64"),
            job_seconds=options.job_seconds,
            installation=options.installation,
            recording=recording,
        )
        simulator.faults.set(**{"history_delay": options.history_delay, **dict(options.fault)})
        asyncio.run(_serve(simulator, options, parent))


def _options() -> tuple[argparse.Namespace, Recording | None]:
    """What the command line says, and the recording that it names. Exits with a message when they do not fit."""
    parser = argparse.ArgumentParser(prog="python -m generations.simulator", description=__doc__)
    _add_server_options(parser)
    _add_node_options(parser)
    options = parser.parse_args()
    try:
        Faults().set(**dict(options.fault))
    except TypeError as problem:
        parser.error(f"--fault: {problem}")
    try:
        recording = Recording.read(options.object_info) if options.object_info else None
    except RecordingError as problem:
        parser.error(f"--object-info: {problem}")
    try:
        if options.installation:
            options.installation.check(recording.entries if recording else REGISTRY)
    except ValueError as problem:
        parser.error(f"--installation: {problem}")
    return options, recording


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8188, help="0: any free one")
    parser.add_argument("--data-dir", type=Path, help="default: a temporary directory")
    parser.add_argument("--step-seconds", type=seconds, default=0.05, help="time of one sampler step")
    parser.add_argument("--history-delay", type=seconds, default=0.0, help="seconds from the end to the history entry")
    parser.add_argument("--preview-method", choices=["auto", "latent2rgb", "taesd", "none"], default="auto")
    parser.add_argument("--preview-size", type=int, default=512, help="pixels of the longer side")
    parser.add_argument(
        "--profile", choices=list(PROFILES), help="the version to behave like (0.3.64; newest with --object-info)"
    )
    parser.add_argument("--job-seconds", type=seconds, default=0.0, help="each prompt takes at least so long")
    parser.add_argument("--fault", action="append", default=[], type=_fault, metavar="NAME=VALUE")
    parser.add_argument("--exit-with-parent", action="store_true")


def _add_node_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", action="append", default=[], help="a further model file to pretend to have")
    parser.add_argument(
        "--installation",
        type=Installation.read,
        metavar="JSON",
        help='nodes and models that differ: {"without": [CLASS], "inputs": {CLASS: {NAME: SPEC}}, "models": {FOLDER: '
        "[FILE]}}",
    )
    parser.add_argument(
        "--object-info",
        type=Path,
        metavar="FILE",
        help="a real server's answer to GET /object_info: have its node types, run those that can be simulated, and "
        "name the first that cannot",
    )


def seconds(text: str) -> float:
    """ValueError unless it is a finite number that is not negative."""
    value = float(text)
    if not math.isfinite(value) or value < 0:
        msg = f"{text} is not a time in seconds"
        raise ValueError(msg)
    return value


def _fault(text: str) -> tuple[str, Any]:
    """`NAME=VALUE` with the value in JSON. ValueError for other text."""
    name, _, value = text.partition("=")
    return name, json.loads(value or "true")


async def _serve(simulator: Simulator, options: argparse.Namespace, parent: int) -> None:
    stopping = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stopping.set)
    try:
        port = await simulator.start(options.host, options.port)
    except OSError as problem:
        sys.exit(f"The simulator cannot listen on {options.host}:{options.port}: {problem.strerror}")
    sys.stdout.write(f"ComfyUI simulator listening on http://{options.host}:{port}\n")
    sys.stdout.flush()
    while not stopping.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), PARENT_POLL_SECONDS)
        if options.exit_with_parent and os.getppid() != parent:
            stopping.set()
    await simulator.stop()


if __name__ == "__main__":
    main()
