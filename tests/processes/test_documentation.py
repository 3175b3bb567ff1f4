"""The examples of docs/api.md, run as they stand there: shell and Python. TypeScript is in `make test-sdk-js`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.examples import examples
from tests.support.processes import ROOT, Standalone
from tests.support.waiting import patient


@pytest.fixture(scope="module")
def env(server: Standalone) -> dict[str, str]:
    key = server.manage("create_api_key", "admin@example.com")
    return {
        **os.environ,
        "BASE": f"{server.url}/api/v2",
        "KEY": key,
        "COMFY_BASE_URL": server.url,
        "COMFY_API_KEY": key,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "docs" / "examples" / "workflow_api.json", tmp_path)
    return tmp_path


def run(command: list[str], env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, check=False, cwd=folder, env=env, capture_output=True, text=True, timeout=patient(100)
    )


def test_the_shell_examples_work_one_after_the_other(env: dict[str, str], folder: Path) -> None:
    script = "set -euo pipefail\n" + "\necho\n".join(examples("sh"))
    done = run(["bash", "-c", script], env, folder)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "event: status" in done.stdout
    assert '"status": "succeeded"' in done.stdout
    assert '"jobs": []' not in done.stdout.split("event: status")[-1].split("metadata")[0]


@pytest.mark.parametrize("number", range(len(examples("python"))))
def test_a_python_example_works(env: dict[str, str], folder: Path, number: int) -> None:
    code = examples("python")[number]
    done = run([sys.executable, "-c", code], env, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout
