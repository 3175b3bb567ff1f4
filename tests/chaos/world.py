"""The whole product as real processes, with everything it depends on, each of which can be killed or cut off."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import psycopg
import redis
from psycopg import sql
from psycopg.rows import BaseRowFactory

from tests.chaos.load import Account
from tests.chaos.sanctions import Witness
from tests.support import s3
from tests.support.processes import ROOT, SECRET, Process, add_server, answers, free_port
from tests.support.proxy import Proxy
from tests.support.waiting import eventually

LOGS = ROOT / "build" / "chaos-logs"
SLOTS = 2
BROKER_SECONDS = 15.0  # for what the workers still have to do once every generation is at its end
R = TypeVar("R")
TEAM_SIZE = 5  # an owner and four members; every second team's worth of people has none
# Every other team of people stay by themselves. Sessions are signed in as allauth leaves them, at work in the team.
MAKE_USERS = """
import json
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from accounts.current import IN_SESSION
from accounts.models import ApiKey, Membership, Plan, Role, User, Workspace
plan, _ = Plan.objects.get_or_create(name="chaos", defaults={{"max_queued": 1000, "requests_per_minute": 0}})
accounts, team = [], None
for number in range({number}):
    place = number % {size}
    user = User.objects.create_user(f"chaos{{number}}@example.com", None, plan=plan)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "allauth.account.auth_backends.AuthenticationBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    account = {{
        "user_id": user.pk, "workspace_id": Workspace.objects.personal_of(user).pk,
        "key": ApiKey.objects.issue(user=user, name="chaos")[1],
    }}
    if number // {size} % 2 == 0:
        if not place:
            team = Workspace.objects.create(name=f"team {{number}}", plan=plan)
        role = Role.MEMBER if place else Role.OWNER
        Membership.objects.create(workspace=team, user=user, role=role)
        session[IN_SESSION] = str(team.public_id)
        account |= {{
            "team_id": team.pk, "is_owner": not place,
            "team_key": ApiKey.objects.issue(user=user, name="chaos", workspace=team)[1],
        }}
    session.create()
    accounts.append({{**account, "session": session.session_key}})
staff = User.objects.create_superuser("staff@example.com", None)
print(json.dumps([ApiKey.objects.issue(user=staff, name="chaos")[1], accounts]))
"""


class World:
    """A context manager: everything runs inside, and nothing is left behind. `kinds` are process names."""

    def __init__(self, *, postgres_url: str, simulators: int, webs: int, relays: int, workers: int) -> None:
        self._postgres_url = postgres_url
        self._stack = ExitStack()
        self._started = itertools.count(1)
        self.processes: dict[str, Process] = {}
        self._is_down: set[str] = set()  # killed on purpose
        self.ended_by_themselves: list[tuple[str, str]] = []  # name, how
        self.accounts: list[Account] = []
        self.staff_key = ""
        self.witnesses: list[Witness] = []  # of everybody who was suspended or removed so far
        self._commands: dict[str, tuple[list[str], dict[str, str]]] = {}
        self.database_name = f"comfysaas_chaos_{uuid.uuid4().hex[:10]}"
        self.database_url = postgres_url.rsplit("/", 1)[0] + f"/{self.database_name}"
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        self.web_ports = [free_port() for _ in range(webs)]
        self.simulator_ports = [free_port() for _ in range(simulators)]
        self.redis_port, self.s3_port = free_port(), free_port()
        self.names = {
            "web": [f"web{n}" for n in range(webs)],
            "relay": [f"relay{n}" for n in range(relays)],
            "worker": [f"worker{n}" for n in range(workers)],
            "simulator": [f"simulator{n}" for n in range(simulators)],
        }

    # ------------------------------------------------------------------------------------ life
    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:  # also when told to stop half-way
            self._stack.close()
            raise
        return self

    def _build(self) -> None:
        shutil.rmtree(LOGS, ignore_errors=True)
        LOGS.mkdir(parents=True)
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        with psycopg.connect(self._postgres_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.database_name)))
        self._stack.callback(self._drop_database)
        split = urlsplit(self._postgres_url)
        self.postgres_proxy = self._stack.enter_context(Proxy(split.port or 5432, host=split.hostname or "127.0.0.1"))
        self.s3_proxy = self._stack.enter_context(Proxy(self.s3_port))
        self._stack.callback(self._kill_all)  # before the proxies close: nobody shall wait for what is gone
        self.env = self._environment(split.username or "postgres", split.password or "")
        self._define()
        self.start("redis")
        self.start("s3")
        for name in self.names["simulator"]:
            self.start(name)
        self.manage("migrate", "--verbosity", "0")
        self.manage("starters")
        eventually(lambda: answers(f"http://127.0.0.1:{self.s3_port}/moto-api/"), seconds=60, what="S3")
        s3.client(self.env["S3_ENDPOINT_URL"]).create_bucket(Bucket=s3.BUCKET)
        for number in range(len(self.simulator_ports)):
            eventually(partial(answers, f"{self.simulator_url(number)}/queue"), seconds=60, what="a simulator")
        self._register_servers()
        for kind in ("web", "relay", "worker"):
            for name in self.names[kind]:
                self.start(name)
        for port in self.web_ports:
            eventually(partial(answers, f"http://127.0.0.1:{port}/readyz"), seconds=90, what="web")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def _environment(self, user: str, password: str) -> dict[str, str]:
        login = f"{user}:{password}" if password else user
        return {
            "DATABASE_URL": f"postgresql://{login}@127.0.0.1:{self.postgres_proxy.port}/{self.database_name}",
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "S3_BUCKET": s3.BUCKET,
            "S3_ENDPOINT_URL": f"http://127.0.0.1:{self.s3_proxy.port}",
            "S3_ACCESS_KEY_ID": s3.CREDENTIALS["access_key"],
            "S3_SECRET_ACCESS_KEY": s3.CREDENTIALS["secret_key"],
            "SECRET_KEY": SECRET,
            "PUBLIC_URL": f"http://127.0.0.1:{self.web_ports[0]}",
            "DATA_DIR": "/nonexistent",
            "MAX_ATTEMPTS": "3",
        }

    def _define(self) -> None:
        python = [sys.executable]
        self._commands["redis"] = (
            ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            {},
        )
        self._commands["s3"] = ([*python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.s3_port)], {})
        for name, port in zip(self.names["simulator"], self.simulator_ports, strict=True):
            options = ["--port", str(port), "--data-dir", str(self.folder / name), "--step-seconds", "0.05"]
            command = ["-m", "generations.simulator", *options, "--preview-size", "64"]
            self._commands[name] = ([*python, *command], {})
        for name, port in zip(self.names["web"], self.web_ports, strict=True):
            command = ["-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "comfysaas.asgi:application"]
            self._commands[name] = ([*python, *command], self.env)
        for name in self.names["relay"]:
            self._commands[name] = ([*python, "manage.py", "relay"], self.env)
        for name in self.names["worker"]:
            options = ["worker", "--beat", "--schedule", str(self.folder / f"{name}-schedule"), "--concurrency", "2"]
            command = ["-m", "celery", "-A", "comfysaas", *options, "--loglevel", "WARNING", "-n", f"{name}@%h"]
            self._commands[name] = ([*python, *command], self.env)

    # ------------------------------------------------------------------------------------ processes
    def start(self, name: str) -> None:
        """One process, the first time or again."""
        command, env = self._commands[name]
        log = LOGS / f"{name}-{next(self._started):03}.log"
        self.processes[name] = Process(*command, env=env, is_python=False, log=log)
        self._is_down.discard(name)

    def kill(self, name: str) -> None:
        """kill -9, with its children."""
        self._is_down.add(name)
        self.processes[name].kill()

    def revive(self) -> None:
        """Start again what ended although nobody killed it, as an operator's supervisor would, and remember it."""
        for name, process in list(self.processes.items()):
            if process.exit_code is not None and name not in self._is_down:
                last = process.lines[-1].strip() if process.lines else "nothing"
                how = f"{name} ended by itself with {process.exit_code}; it said {last!r}"
                self.ended_by_themselves.append((name, how))
                self.start(name)

    def pause(self, name: str, *, is_paused: bool) -> None:
        """Stop it in the middle of whatever it does, or let it go on."""
        self.processes[name].signal_group(signal.SIGSTOP if is_paused else signal.SIGCONT)

    def _kill_all(self) -> None:
        for process in self.processes.values():
            process.kill()

    def manage(self, *command: str, is_past_proxies: bool = False) -> str:
        """The output of a management command, which may reach the database whatever is cut off."""
        clean = {key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "LANG", "TMPDIR"}}
        past = {"DATABASE_URL": self.database_url} if is_past_proxies else {}
        done = subprocess.run(
            [sys.executable, "manage.py", *command], cwd=ROOT, env={**clean, **self.env, **past}, text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def make_users(self, number: int) -> list[Account]:
        """So many users of the site, half of them in teams, with somebody on the staff."""
        code = MAKE_USERS.format(number=number, size=TEAM_SIZE)
        self.staff_key, made = json.loads(self.manage("shell", "--verbosity", "0", "-c", code))
        self.accounts = [Account(**each) for each in made]
        return self.accounts

    def wait_for_witnesses(self) -> None:
        """Until everybody who may come back is back."""
        for each in self.witnesses:
            each.lift()
        for each in self.witnesses:
            each.join()

    # ------------------------------------------------------------------------------------ simulators
    def simulator_url(self, number: int) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.simulator_ports[number]}"

    def fault(self, number: int, **faults: Any) -> None:
        """Switch faults of a simulator on or off; one that is down has none."""
        with suppress(httpx.TransportError):
            httpx.post(f"{self.simulator_url(number)}/simulator/faults", json=faults, timeout=5).raise_for_status()

    def forget(self, number: int) -> None:
        """The simulator restarts at once: queue, history and sockets are gone."""
        with suppress(httpx.TransportError):
            httpx.post(f"{self.simulator_url(number)}/simulator/restart", timeout=5)

    def output_files(self) -> list[Path]:
        """Everything that any simulator ever wrote as a result."""
        return [path for name in self.names["simulator"] for path in (self.folder / name / "output").rglob("*.png")]

    # ------------------------------------------------------------------------------------ database
    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Of a query, past the proxy."""
        with psycopg.connect(self.database_url, autocommit=True) as database:
            return database.execute(query.encode(), values).fetchall()

    def records(self, factory: BaseRowFactory[R], query: str) -> list[R]:
        """The same, in a shape of one's own."""
        with psycopg.connect(self.database_url, autocommit=True) as database:
            return database.cursor(row_factory=factory).execute(query.encode()).fetchall()

    def copying(self) -> int:
        """How many generations are in the hands of a worker."""
        query = "SELECT count(*) FROM generations_generation WHERE status = 'storing' AND store_attempts > 0"
        return int(self.rows(query)[0][0])

    def storing_relays(self) -> list[str]:
        """Names of the relays that store a result: a server of theirs has a prompt in its history whose row goes on."""
        ended = {prompt_id for number in range(len(self.simulator_ports)) for prompt_id in self._history(number)}
        query = (
            "SELECT g.prompt_id::text, s.lease_owner FROM generations_generation g"
            " JOIN generations_comfyserver s ON s.id = g.server_id WHERE g.status IN ('submitted', 'running')"
        )
        at_work = {owner.split(":")[1] for prompt_id, owner in self.rows(query) if prompt_id in ended and owner}
        return [name for name in self.names["relay"] if str(self.processes[name].pid) in at_work]

    def _history(self, number: int) -> list[str]:
        """The prompts that a simulator has run; none of one that is down."""
        with suppress(httpx.TransportError):
            return list(httpx.get(f"{self.simulator_url(number)}/history", timeout=5).json())
        return []

    def wait_for_workers(self) -> None:
        """Until the broker has nothing left but what is due later: files of canceled ones are removed by then."""
        with redis.Redis(port=self.redis_port, socket_timeout=5) as broker:

            def is_empty() -> bool:
                # Whatever their prefix is; a list or hash that is empty does not exist.
                waiting = broker.scan_iter("*.celery", _type="list")
                taken = broker.scan_iter("*.unacked", _type="hash")
                return not any(waiting) and not any(taken)

            deadline = time.monotonic() + BROKER_SECONDS
            while not is_empty() and time.monotonic() < deadline:
                time.sleep(0.2)

    def _register_servers(self) -> None:
        for number in range(len(self.simulator_ports)):
            add_server(self.database_url, f"simulator {number}", self.simulator_url(number), slots=SLOTS)

    def _drop_database(self) -> None:
        with psycopg.connect(self._postgres_url, autocommit=True) as admin:
            name = sql.Identifier(self.database_name)
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
