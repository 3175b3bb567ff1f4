"""Management commands in a process that stays: starting Python and Django for each takes seconds.

    python -m tests.support.console

reads a JSON list of arguments a line (`["shell", "-c", "print(1)"]`) and answers each with a line of JSON:
`{"output": str, "error": str or null}`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


class CommandFailedError(Exception):
    """`str()` is what the command printed, and how it ended."""


class Console:
    """Runs management commands with this environment, one at a time; its process starts with the first of them."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def run(self, *command: str) -> str:
        """What the command printed. CommandFailedError when it failed."""
        with self._lock:
            process = self._started()
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        answer = json.loads(line) if line else {"output": "", "error": "The process ended."}
        if answer["error"] is not None:
            raise CommandFailedError(f"{answer['output']}\n{answer['error']}")
        return str(answer["output"]).strip()

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.console"], cwd=ROOT, env=dict(self._env), text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
        return self._process

    def close(self) -> None:
        """End its process."""
        with self._lock:
            if self._process is not None:
                self._process.communicate()


def main() -> None:
    """Answer commands until the input ends."""
    from django.core.management import execute_from_command_line
    from django.db import connections

    answers = sys.stdout
    for line in sys.stdin:
        error = None
        with contextlib.redirect_stdout(io.StringIO()) as output:
            try:
                execute_from_command_line(["manage.py", *json.loads(line)])
            except SystemExit as end:
                error = f"It ended with {end.code}." if end.code else None
            except Exception:
                error = traceback.format_exc()
            for connection in connections.all(initialized_only=True):  # neither locks nor old snapshots are kept
                connection.close()
                if hasattr(connection, "close_pool"):  # a database in use can be neither copied nor dropped
                    connection.close_pool()
        answers.write(json.dumps({"output": output.getvalue(), "error": error}) + "\n")
        answers.flush()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "comfysaas.settings")
    main()
