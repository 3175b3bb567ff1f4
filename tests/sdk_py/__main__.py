"""`make test-sdk-py`: the end-to-end test that the official Python SDK brings along, against a server of its own.

Only its source distribution has that test. It is downloaded in the installed version, with the hashes of
requirements/dev.txt, and lies in build/sdk_py. It runs twice, because the second time its upload is known already.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

from tests.support.processes import ROOT, Standalone

FOLDER = ROOT / "build" / "sdk_py"
NAME = "comfy-sdk"
TEST = "tests/integration/test_gateway_e2e.py"
QUIET = ["-q", "-p", "no:cacheprovider", "-p", "no:django", "-o", "addopts=", "-o", "filterwarnings=default"]


def main() -> None:
    """Exits with 0 only if every test ran and passed, twice."""
    source = _download()
    with tempfile.TemporaryDirectory() as folder:
        server = Standalone(Path(folder), ADMIN_PASSWORD="an admin's one", DEMO_PASSWORD="a demo's one")
        try:
            key = server.manage("create_api_key", "admin@example.com")
            is_fine = all(_passes(source, server.url, key) for _round in range(2))
        finally:
            server.stop()
    sys.exit(0 if is_fine else 1)


def _download() -> Path:
    """The unpacked source distribution."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    (FOLDER / "requirements.txt").write_text(_pinned())
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    options = ["--no-binary", NAME, "--require-hashes", "-r", "requirements.txt"]
    subprocess.run([*pip, *options], cwd=FOLDER, check=True)
    (archive,) = FOLDER.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(FOLDER, filter="data")
    return FOLDER / archive.name.removesuffix(".tar.gz")


def _pinned() -> str:
    """Its lines of requirements/dev.txt: version and hashes."""
    text = (ROOT / "requirements" / "dev.txt").read_text()
    start = text.index(f"{NAME}=={version(NAME)} ")
    return text[start : text.index("    # via", start)]


def _passes(source: Path, url: str, key: str) -> bool:
    env = {**os.environ, "COMFY_BASE_URL": url, "COMFY_API_KEY": key}
    report = FOLDER / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", TEST, *QUIET, "-rA", f"--junitxml={report}"]
    code = subprocess.run(command, cwd=source, env=env, check=False).returncode
    (suite,) = ElementTree.parse(report).getroot().iter("testsuite")
    counts = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
    sys.stdout.write(f"{NAME} {version(NAME)}: {counts}\n")
    return code == 0 and counts.pop("tests") > 0 and not any(counts.values())


if __name__ == "__main__":
    main()
