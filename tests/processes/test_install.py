"""The first minutes: what `make` says while it installs, and when it cannot."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.processes import ROOT
from tests.support.waiting import patient

REQUIREMENTS = """alpha==1.0 \\
    --hash=sha256:00
beta==2.0 ; python_version < '3.12'
beta==2.1 ; python_version >= '3.12'
"""
# What pip says while it installs two packages, and what it leaves.
PIP = """#!/bin/sh
case "$*" in *--version*|*version_info*) exit 0;; esac
echo "Collecting alpha==1.0"
echo "WARNING: The scripts are installed in '/somewhere' which is not on PATH." >&2
echo "Collecting beta==2.0"
echo "Installing collected packages: alpha, beta"
{rest}
"""


@pytest.fixture
def installer() -> ModuleType:
    """requirements/install.py, which is no module of a package."""
    spec = importlib.util.spec_from_file_location("install", ROOT / "requirements" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """Where the virtual environment is to be."""
    return tmp_path / "venv"


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "base.txt"
    path.write_text(REQUIREMENTS)
    return path


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_what_happens_and_how_long_it_takes_is_said_first_and_warnings_are_not(
    installer: ModuleType, venv: Path, requirements: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script(venv / "bin" / "python", PIP.format(rest="exit 0"))
    installer.main(venv, requirements)
    said = capfd.readouterr().err
    assert said.startswith(f"Installing 2 packages into {venv}: one or two minutes the first time.\n")
    assert "Installed in " in said
    assert "WARNING" not in said


def test_a_failure_shows_the_last_lines_of_pip(
    installer: ModuleType, venv: Path, requirements: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script(venv / "bin" / "python", PIP.format(rest="echo 'ERROR: no space left'; exit 1"))
    with pytest.raises(SystemExit, match="Check the network, then run make again"):
        installer.main(venv, requirements)
    assert "ERROR: no space left" in capfd.readouterr().err


def test_progress_counts_what_was_fetched_and_what_was_unpacked(
    installer: ModuleType, venv: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installer, "IS_TERMINAL", True)
    packages = venv / "lib" / "python3.11" / "site-packages"
    (packages / "pip-24.0.dist-info").mkdir(parents=True)
    progress = installer.Progress(venv, 3)
    progress.read("Collecting alpha==1.0 (from -r base.txt (line 1))\n")
    progress.read("  Downloading alpha-1.0.whl (10 kB)\n")
    progress.show()
    progress.read("Requirement already satisfied: beta==2.0\n")
    progress.show()
    progress.show()
    progress.read("Installing collected packages: alpha, gamma\n")
    (packages / "alpha-1.0.dist-info").mkdir()
    progress.show()
    assert [each.strip() for each in capfd.readouterr().err.split("\r")] == [
        "", "fetched 1 of 3", "fetched 2 of 3", "unpacked 1 of 3",
    ]  # fmt: skip


PIP_OF_VERSION = """#!/bin/sh
case "$*" in *--version*) echo "pip {version} from /somewhere (python 3.11)"; exit 0;; esac
echo "$*" >> {calls}
exit {status}
"""


@pytest.mark.parametrize(("version", "is_renewed"), [("23.2.1", True), ("25.0", False), ("26.3", False)])
def test_an_old_pip_is_renewed_first(
    version: str, is_renewed: bool, installer: ModuleType, venv: Path, requirements: Path
) -> None:
    calls = venv.with_name("calls")
    script(venv / "bin" / "python", PIP_OF_VERSION.format(version=version, calls=calls, status=0))
    installer.renew_pip(venv)
    installer.install(venv, requirements)
    *first, last = calls.read_text().splitlines()
    assert last.endswith(f"--require-hashes -r {requirements}")
    assert [line.rsplit(" ", 1)[1] for line in first] == [str(ROOT / "requirements" / "pip.txt")] * is_renewed


def test_an_old_pip_does_when_there_is_no_other(installer: ModuleType, venv: Path, tmp_path: Path) -> None:
    script(venv / "bin" / "python", PIP_OF_VERSION.format(version="23.2.1", calls=tmp_path / "calls", status=1))
    installer.renew_pip(venv)


@pytest.mark.parametrize("may_write", [True, False])
def test_modules_are_compiled_when_imported_if_they_can_be_kept_then(
    may_write: bool, installer: ModuleType, venv: Path, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", not may_write)
    assert ("--no-compile" in installer.installing(venv, requirements)) is may_write


def test_a_python_that_cannot_make_environments_names_the_package(
    installer: ModuleType, venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)  # as on a Debian without python3-venv
    with pytest.raises(SystemExit, match=rf"python3\.{sys.version_info.minor}-venv") as refusal:
        installer.make(venv)
    assert "run make again" in str(refusal.value)
    assert not venv.exists()


def test_an_environment_whose_making_broke_off_is_made_again(installer: ModuleType, venv: Path) -> None:
    script(venv / "bin" / "python", "#!/bin/sh\nexit 1\n")  # there, but without pip
    installer.make(venv)
    assert installer.succeeds(venv / "bin" / "python", "-m", "pip", "--version")


def test_an_environment_of_an_old_python_is_not_used(installer: ModuleType, venv: Path) -> None:
    script(venv / "bin" / "python", '#!/bin/sh\ncase "$*" in *version_info*) exit 1;; esac\n')
    with pytest.raises(SystemExit, match=f"Remove the folder {venv}"):
        installer.make(venv)


def make(*variables: str) -> str:
    done = subprocess.run(
        ["make", "--no-print-directory", "install", *variables],
        check=False, cwd=ROOT, text=True, capture_output=True, timeout=patient(60),
    )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


def test_an_old_python_is_named_before_anything_is_made(tmp_path: Path) -> None:
    pretend = "import sys; sys.version_info = (3, 9, 2); sys.version = '3.9.2 (main)'; exec(sys.argv[1])"
    old = script(tmp_path / "python3.9", f'#!/bin/sh\nexec {sys.executable} -c "{pretend}" "$2"\n')
    said = make(f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert f"Python 3.11 or newer is needed, and {old} is 3.9.2." in said
    assert not (tmp_path / "venv").exists()


def test_a_missing_python_is_named(tmp_path: Path) -> None:
    said = make("PYTHON=python-that-is-not-there", f"VENV={tmp_path / 'venv'}")
    assert "python-that-is-not-there was not found. Install Python 3.11 or newer" in said
