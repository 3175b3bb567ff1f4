"""Real processes: the standalone server, and a cluster of web, relay and worker with their own database."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import httpx
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from generations.comfy.catalog import digest_of
from tests.support import s3
from tests.support.console import Console
from tests.support.waiting import eventually, patient

ROOT = Path(__file__).parents[2]
SECRET = "processes-under-test-" + "x" * 40
STOP_SECONDS = patient(20)


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """These variables, and those of the current environment that every program needs."""
    return {**{key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}, **env}


class Process:
    """A child process. Its output is kept, to be looked at and shown when a test fails."""

    def __init__(self, *command: str, env: dict[str, str], is_python: bool = True, log: Path | None = None) -> None:
        self.lines: list[str] = []
        self._log = log
        self._process = subprocess.Popen(
            [*([sys.executable] if is_python else []), *command], cwd=ROOT, text=True,
            env={**_environment(env), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with ExitStack() as stack:
            stdout = stack.enter_context(self._process.stdout)
            log = stack.enter_context(self._log.open("w")) if self._log else None
            for line in stdout:
                self.lines.append(line)
                if log is not None:
                    log.write(line)
                    log.flush()

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return "".join(self.lines)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def said(self, pattern: str) -> re.Match[str]:
        """Wait until the output has this pattern. AssertionError when it ends without."""

        def look() -> re.Match[str] | None:
            assert self._process.poll() is None or re.search(pattern, self.output), self.output
            return re.search(pattern, self.output)

        return eventually(look, seconds=60, what=f"output {pattern!r}")

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def signal(self, signum: int) -> int:
        """Send a signal and wait for the end; the exit code."""
        self._process.send_signal(signum)
        code = self._process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        return code

    def wait(self) -> int:
        """Its exit code, once it ended by itself."""
        code = self._process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        return code

    def signal_group(self, signum: int) -> None:
        """Send a signal to it and its children, and go on."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signum)

    def kill(self) -> None:
        """kill -9, with its children: those of a killed worker would stay, and serve the next test's queue."""
        if self._process.poll() is None:
            self.signal_group(signal.SIGKILL)
            self.wait()

    def stop(self) -> None:
        """Ask it to end; kill it when it does not."""
        if self._process.poll() is None:
            try:
                self.signal(signal.SIGTERM)
            except subprocess.TimeoutExpired:
                self.kill()


def answers(url: str) -> bool:
    """True when there is a 200 at that address."""
    try:
        with urlopen(url, timeout=patient(2)) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


# Verified, because a user with an address that nobody confirmed gets no key. The plan's limits are its defaults.
MAKE_KEY = """
from accounts.models import ALL_SCOPES, ApiKey, Plan, User
from allauth.account.models import EmailAddress
user = User.objects.filter(email={email!r}).first() or User.objects.create_user({email!r}, {password!r}, **{user!r})
EmailAddress.objects.update_or_create(user=user, email=user.email, defaults=dict(verified=True, primary=True))
if {plan!r}:
    user.plan, _ = Plan.objects.update_or_create(name=user.email, defaults={plan!r})
    user.save(update_fields=["plan"])
print(ApiKey.objects.issue(user=user, name="test", scopes={scopes!r} or ALL_SCOPES, **{key!r})[1])
"""
PASSWORD = "the password of a test"


class Standalone:
    """`manage.py standalone` on a port of its own."""

    def __init__(self, data_dir: Path, **env: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {"DATA_DIR": str(data_dir), "PORT": str(self.port), **env}
        self.process = Process("manage.py", "standalone", env=self.env)
        self._console = Console(_environment(self.env))
        self.process.said(r"ready at")

    @property
    def pid(self) -> int:
        """The process id of the server; the simulator and what it starts are its children."""
        return self.process.pid

    def make_key(
        self,
        email: str,
        *,
        scopes: tuple[str, ...] = (),
        plan: dict[str, Any] | None = None,
        user: dict[str, Any] | None = None,
        **key: Any,
    ) -> str:
        """A new API key of this user, who is made (password: `PASSWORD`) unless there is one.

        `scopes`: all unless given. `plan`, `user` and `key` are fields of the rows, such as
        `plan={"requests_per_minute": 5}`, `user={"is_staff": True}` or `requests_per_minute=5`.
        """
        code = MAKE_KEY.format(email=email, password=PASSWORD, scopes=scopes, plan=plan or {}, user=user or {}, key=key)
        return self.manage("shell", "--verbosity", "0", "-c", code)

    def client(self, email: str) -> httpx.Client:
        """A client of the API with a new key of this user, who exists."""
        headers = {"Authorization": f"Bearer {self.manage('create_api_key', email)}"}
        return httpx.Client(base_url=f"{self.url}/api/v2/", headers=headers, timeout=patient(20))

    def manage(self, *command: str) -> str:
        """The output of another management command on the same data."""
        return self._console.run(*command)

    def stop(self) -> None:
        """End the server and its console."""
        self._console.close()
        self.process.stop()


class Cluster:
    """Web, relay and worker as separate processes on PostgreSQL, Redis and S3.

    `ports` of proxies through which a kind of process reaches PostgreSQL; the others reach it directly.
    """

    def __init__(self, env: dict[str, str], ports: Mapping[str, int] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {"SECRET_KEY": SECRET, "PUBLIC_URL": self.url, "DATA_DIR": "/nonexistent", **env}
        self.processes: dict[str, Process] = {}
        self._ports = ports or {}
        self._console = Console(_environment(self.env))

    def manage(self, *command: str) -> str:
        """The output of a management command."""
        return self._console.run(*command)

    def start(self, name: str) -> Process:
        """One process by its kind: web, relay, worker, copier (or web2 and so on).

        A copier is a worker that keeps no schedule.
        """
        worker = ["-m", "celery", "-A", "comfysaas", "worker", "--concurrency", "2", "--loglevel", "WARNING"]
        commands = {
            "web": ["-m", "daphne", "-b", "127.0.0.1", "-p", str(self.port), "comfysaas.asgi:application"],
            "relay": ["manage.py", "relay"],
            "worker": [*worker, "--beat"],
            "copier": worker,
        }
        kind = name.rstrip("0123456789")
        self.processes[name] = Process(*commands[kind], env=self.env | self._own_database_url(kind))
        return self.processes[name]

    def _own_database_url(self, kind: str) -> dict[str, str]:
        if kind not in self._ports:
            return {}
        url = urlsplit(self.env["DATABASE_URL"])
        user = f"{url.netloc.rpartition('@')[0]}@" if "@" in url.netloc else ""
        address = url._replace(
            netloc=f"{user}127.0.0.1:{self._ports[kind]}", query="sslmode=disable&gssencmode=disable"
        )
        return {"DATABASE_URL": address.geturl()}

    def stop(self) -> None:
        """End all processes and the console."""
        self._console.close()
        for process in self.processes.values():
            process.stop()


@contextmanager
def own_database(postgres_url: str, *, template: str = "template1") -> Iterator[str]:
    """The name of a new database on that server, a copy of `template`; it is dropped at the end."""
    name = f"comfysaas_test_{uuid.uuid4().hex[:10]}"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*map(sql.Identifier, (name, template))))
    try:
        yield name
    finally:
        _drop(postgres_url, name)


def _address(postgres_url: str, name: str) -> str:
    return postgres_url.rsplit("/", 1)[0] + f"/{name}"


@contextmanager
def prepared_database(postgres_url: str, redis_url: str) -> Iterator[str]:
    """The name of a database with tables and starters, to copy clusters from: copying is quicker than migrating."""
    with own_database(postgres_url) as name:
        cluster = Cluster({"DATABASE_URL": _address(postgres_url, name), "REDIS_URL": redis_url})
        try:
            _prepare(cluster)
        finally:
            cluster.stop()
        yield name


def _prepare(cluster: Cluster) -> None:
    cluster.manage("migrate", "--verbosity", "0")
    cluster.manage("starters")


@contextmanager
def running_cluster(
    postgres_url: str,
    redis_url: str,
    *,
    folder: Path | None = None,
    template: str = "",
    ports: Mapping[str, int] | None = None,
    **settings: str,
) -> Iterator[Cluster]:
    """A cluster with a database of its own, web answering; results go to a bucket of its own, or into `folder`.

    `template` is the name of a `prepared_database` to begin with, `ports` are as in `Cluster`; `settings` are further
    variables of its environment.
    """
    with ExitStack() as stack:
        name = stack.enter_context(own_database(postgres_url, template=template or "template1"))
        env = {"DATABASE_URL": _address(postgres_url, name), "REDIS_URL": redis_url, **settings}
        if folder is not None:
            env["DATA_DIR"] = str(folder)
        else:
            env |= {
                "S3_BUCKET": s3.BUCKET,
                "S3_ENDPOINT_URL": stack.enter_context(s3.running_s3()),
                "S3_ACCESS_KEY_ID": s3.CREDENTIALS["access_key"],
                "S3_SECRET_ACCESS_KEY": s3.CREDENTIALS["secret_key"],
            }
        cluster = Cluster(env, ports)
        stack.callback(cluster.stop)
        if not template:
            _prepare(cluster)
        cluster.start("web")
        eventually(lambda: answers(f"{cluster.url}/readyz"), seconds=60, what="web")
        yield cluster


def add_server(database_url: str, name: str, url: str, *, slots: int = 2) -> None:
    """A ComfyUI server for the relays, as the admin makes it and asks it what it has: then it can be used at once."""
    answer = httpx.get(f"{url}/api/object_info", timeout=60)
    nodes = answer.json() if answer.is_success else {}  # one that only has files runs nothing
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute(
            "INSERT INTO generations_comfyserver (name, url, auth_header_name, slots, is_enabled, is_draining, state,"
            " state_message, comfyui_version, lease_owner, lease_token, object_info, object_info_at, catalog_digest)"
            " VALUES (%s, %s, '', %s, true, false, 'unknown', '', '', '', 0, %s, now(), %s)",
            (name, url, slots, Jsonb(nodes), digest_of(nodes)),
        )


def _drop(postgres_url: str, name: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
