"""Attacks on a running server. One file per subject; each says what was attacked and what must go on.

What these tests share:

- `running_server` is one `manage.py standalone` for the whole session, with the bundled simulator and small limits
  (`LIMITS`): `url`, `pid`, `data_dir`, `port`, `make_key(email, scopes=…, plan={…}, user={…})`, `manage("command", …)`
  and `process.output`. Do not stop it or switch anything off for good; others use it after you.
- `start_server(**env)` starts one of your own, with other limits, that ends with the module.
- `make_key()` gives a key of a user whom no other test has; name a plan's fields to change limits.
- `api(key)` is an `httpx.Client` for `/api/v2/` (anonymous without a key) that is closed after the test.
- `tests.support.observing`: `rss_bytes(pid)`, `peak_rss_bytes(pid)`, `reset_peak_rss(pid)`, `tree_rss_bytes(pid)`;
  `with memory_watch(server.pid) as memory: …` and then `memory.growth` (bytes, with child processes);
  `with healthz_watch(server.url) as healthz: …` and then `healthz.slowest_seconds` and `healthz.failures`.
  `with unharmed(server, megabytes=…): …` is both: it fails the test when the server grew more than that, or when
  /healthz did not answer each time.

An attack has a natural size that is far beyond what is allowed: choose limits in between with a wide margin on both
sides (attacked: seconds and gigabytes; defended: milliseconds and a few megabytes), and scale times by `patient`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import PASSWORD, Standalone
from tests.support.waiting import patient

LIMITS = {"MAX_UPLOAD_MB": "5"}

MakeKey = Callable[..., str]
Api = Callable[..., httpx.Client]
StartServer = Callable[..., Standalone]


def _start(folder: Path, **env: str) -> Standalone:
    return Standalone(folder, ADMIN_PASSWORD=PASSWORD, DEMO_PASSWORD=PASSWORD, **{**LIMITS, **env})


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """The server that is attacked, with admin@example.com and demo@example.com (password: `PASSWORD`)."""
    server = _start(tmp_path_factory.mktemp("attacked"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Starts a server with this environment; it ends with the tests of the module."""
    with ExitStack() as stack:

        def start(**env: str) -> Standalone:
            server = _start(tmp_path_factory.mktemp("own"), **env)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture
def make_key(running_server: Standalone, request: pytest.FixtureRequest) -> MakeKey:
    """An API key of a new user of `running_server`; the arguments are those of `Standalone.make_key`."""
    names = (f"{request.node.name.split('[')[0]}-{number}" for number in itertools.count())

    def make(email: str = "", **fields: Any) -> str:
        return running_server.make_key(email or f"{next(names)[-50:]}@example.com", **fields)

    return make


@pytest.fixture
def api(running_server: Standalone) -> Iterator[Api]:
    """A client of the API; without a key, an anonymous one. Another server's by `server=`."""
    with ExitStack() as stack:

        def make(key: str = "", *, server: Standalone = running_server) -> httpx.Client:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            url = f"{server.url}/api/v2/"
            return stack.enter_context(httpx.Client(base_url=url, headers=headers, timeout=patient(30)))

        yield make
