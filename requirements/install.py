"""Installs a list of pinned packages into a virtual environment, and says how far it is.

`python install.py FOLDER REQUIREMENTS`, for the Makefile. Needs nothing but Python's standard library.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)==", re.MULTILINE)
FOUND = re.compile(r"^(?:Collecting|Requirement already satisfied:) ([\w.-]+)")
LAST_LINES = 25
QUICK_PIP = 25  # major version; older ones take two to three times the processor time
POLL_SECONDS = 0.3
IS_TERMINAL = sys.stderr.isatty()
START_OF_LINE = "\r" if IS_TERMINAL else ""


def main(venv: Path, requirements: Path) -> None:
    """Exits with what is wrong and what to do about it."""
    make(venv)
    renew_pip(venv)
    install(venv, requirements)


def make(venv: Path) -> None:
    """A virtual environment that has pip, unless there is one: a creation that broke off is done again."""
    python = venv / "bin" / "python"
    if python.exists() and succeeds(python, "-m", "pip", "--version"):
        if not succeeds(python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"):
            sys.exit(f"{venv} was made with a Python older than 3.11. Remove the folder {venv} and run make again.")
        return
    if not (find_spec("venv") and find_spec("ensurepip")):
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        sys.exit(
            f"This Python ({sys.executable}) cannot make virtual environments. On Debian and Ubuntu, install the "
            f"package {package} (or python3-venv) and run make again."
        )
    say(f"Making {venv} with Python {sys.version.split()[0]} …\n")
    command = [sys.executable, "-m", "venv", "--clear", str(venv)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}The virtual environment could not be made. Free disk space?")


def renew_pip(venv: Path) -> None:
    """Replace a slow pip by the pinned one. The old one does as well, should that fail."""
    python = venv / "bin" / "python"
    said = subprocess.run([str(python), "-m", "pip", "--version"], check=False, capture_output=True, text=True).stdout
    if (found := re.match(r"pip (\d+)\.", said)) and int(found[1]) < QUICK_PIP:
        succeeds(*installing(venv, Path(__file__).with_name("pip.txt")))


def installing(venv: Path, requirements: Path) -> list[str]:
    """The command. Modules are compiled when they are first imported, which most never are, unless Python must not."""
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += [] if sys.dont_write_bytecode else ["--no-compile"]
    return [*command, "--progress-bar", "off", "--require-hashes", "-r", str(requirements)]


def succeeds(*command: str | Path) -> bool:
    """Whether it exits with 0."""
    return subprocess.run(list(map(str, command)), check=False, capture_output=True).returncode == 0


class Progress:
    """What pip did so far: packages fetched, then packages unpacked."""

    def __init__(self, venv: Path, total: int) -> None:
        self._venv, self._total = venv, total
        self._before = self._unpacked()
        self._fetched: set[str] = set()
        self._is_unpacking = False
        self._shown = ""

    def read(self, line: str) -> None:
        """One line of pip's."""
        if found := FOUND.match(line):
            self._fetched.add(found[1])
        self._is_unpacking |= line.startswith("Installing collected packages")

    def show(self) -> None:
        """On a terminal one line that changes, else a line now and then."""
        done = min(self._total, self._unpacked() - self._before if self._is_unpacking else len(self._fetched))
        if not IS_TERMINAL:
            done -= done % 25
        text = f"  {'unpacked' if self._is_unpacking else 'fetched'} {done} of {self._total}"
        if done and text != self._shown:
            say(f"\r{text} " if IS_TERMINAL else f"{text}\n")
            self._shown = text

    def _unpacked(self) -> int:
        return len(list(self._venv.glob("lib/python*/site-packages/*.dist-info")))


def install(venv: Path, requirements: Path) -> None:
    """Let pip install them, quietly; what it says is shown when it fails."""
    total = len(set(PINNED.findall(requirements.read_text())))  # some have a version for each Python
    say(f"Installing {total} packages into {venv}: one or two minutes the first time.\n")
    command = installing(venv, requirements)
    begin = time.monotonic()
    lines: list[str] = []
    progress = Progress(venv, total)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:

        def read() -> None:
            for line in pip.stdout or ():
                lines.append(line)
                progress.read(line)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        while pip.poll() is None:
            progress.show()
            time.sleep(POLL_SECONDS)
        reader.join()
    if pip.returncode:
        say("\n" + "".join(lines[-LAST_LINES:]))
        sys.exit("Installing failed; pip's last lines are above. Check the network, then run make again.")
    say(f"{START_OF_LINE}Installed in {time.monotonic() - begin:.0f} s.      \n")


def say(text: str) -> None:
    """At once, on stderr: stdout may belong to what make runs next."""
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
