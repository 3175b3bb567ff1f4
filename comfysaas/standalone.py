"""Everything in one process, for one machine: web server, relay, worker, and the simulator when there is no ComfyUI."""

from __future__ import annotations

import asyncio
import logging
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from celery.worker import WorkController
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from pydantic import SecretStr

from accounts.models import User
from comfysaas.celery import app as celery_app
from generations.live.publisher import sender
from generations.models import ComfyServer
from generations.relay.supervisor import Supervisor
from generations.scheduling import server_check
from generations.simulator.recording import Recording, RecordingError
from generations.studio import starters

logger = logging.getLogger(__name__)

ADMIN_EMAIL = "admin@example.com"
DEMO_EMAIL = "demo@example.com"
SIMULATOR_NAME = "Simulator"
SIMULATOR_STEP_SECONDS = 0.12
SIMULATOR_START_SECONDS = 30
FIRST_LOOK_SECONDS = 10.0
WORKER_OPTIONS: dict[str, Any] = {
    "hostname": "standalone",
    "pool_cls": "threads",
    "concurrency": 2,
    "loglevel": "WARNING",
    "without_heartbeat": True,
    "without_mingle": True,
    "without_gossip": True,
}
STOP_SECONDS = 10


class CannotStartError(Exception):
    """Something that the process needs is not there; `str()` says what."""


class Account(NamedTuple):
    """One of the accounts that a new server starts with."""

    email: str
    variable: str
    """The setting that its password comes from when it is made."""
    is_given: bool
    """Whether that setting is there."""
    is_new: bool
    generated: str | None
    """The password, if it was made up just now."""


def prepare() -> list[Account]:
    """Bring the database up to date and fill a new one. CommandError when the data cannot be written."""
    call_command("migrate", verbosity=0, interactive=False)
    starters.install()
    return [
        _account(ADMIN_EMAIL, "admin_password", User.objects.create_superuser),
        _account(DEMO_EMAIL, "demo_password", User.objects.create_user),
    ]


def _account(email: str, setting: str, make: Callable[[str, str], User]) -> Account:
    """The account, made unless it is there."""
    is_new = not User.objects.filter(email=email).exists()
    given: SecretStr | None = getattr(settings.ENV, setting)
    generated = secrets.token_urlsafe(9) if is_new and given is None else None
    if is_new:
        make(email, given.get_secret_value() if given else generated or "")
    return Account(email, setting.upper(), given is not None, is_new, generated)


def register_servers(urls: tuple[str, ...]) -> None:
    """The given servers, enabled; the simulator's row is switched off. Others made in the admin stay as they are."""
    for url in urls:
        server, is_new = ComfyServer.objects.get_or_create(url=url.rstrip("/"), defaults={"name": url.rstrip("/")[:80]})
        if not is_new and not server.is_enabled:
            server.is_enabled = True
            server.save(update_fields=["is_enabled"])
    ComfyServer.objects.filter(name=SIMULATOR_NAME).exclude(url__in=urls).update(is_enabled=False)


@contextmanager
def simulator() -> Iterator[str]:
    """A child process with the simulator, for as long as the context lasts. Yields its address.

    A process of its own, because its drawing would hold the interpreter lock of the web server. CannotStartError when
    SIMULATOR_OBJECT_INFO does not name a file with node classes, or the simulator does not start.
    """
    # In a session of its own: Ctrl-C is for us, and we stop the simulator after the relay has let go of its prompts.
    child = subprocess.Popen(  # noqa: S603  (our own module)
        _simulator_command(), stdout=subprocess.PIPE, text=True, cwd=settings.BASE_DIR, start_new_session=True
    )
    try:
        url = _read_address(child)
        ComfyServer.objects.filter(url=url).exclude(name=SIMULATOR_NAME).update(is_enabled=False)
        ComfyServer.objects.update_or_create(
            name=SIMULATOR_NAME,
            defaults={"url": url, "is_enabled": True, "auth_header_name": "", "auth_header_value": None},
        )
        yield url
    finally:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()


def _simulator_command() -> list[str]:
    data_dir = settings.DATA_DIR / "simulator"
    data_dir.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "generations.simulator", "--port", "0", "--data-dir", str(data_dir),
        "--step-seconds", str(SIMULATOR_STEP_SECONDS), "--exit-with-parent",
    ]  # fmt: skip
    recording: Path | None = settings.ENV.simulator_object_info
    if recording is None:
        return command
    try:
        Recording.read(recording)
    except RecordingError as problem:
        msg = f"SIMULATOR_OBJECT_INFO: {problem}"
        raise CannotStartError(msg) from problem
    return [*command, "--object-info", str(recording.resolve())]


def _read_address(child: subprocess.Popen[str]) -> str:
    found: list[str] = []

    def read() -> None:
        for line in child.stdout or ():
            if "listening on" in line and not found:
                found.append(line.rsplit(" ", 1)[-1].strip())
                ready.set()
        ready.set()

    ready = threading.Event()
    threading.Thread(target=read, name="simulator output", daemon=True).start()
    ready.wait(SIMULATOR_START_SECONDS)
    if not found:
        msg = "The bundled simulator did not start. Set COMFYUI_URLS to use your own ComfyUI."
        raise CannotStartError(msg)
    return found[0]


@contextmanager
def relay() -> Iterator[None]:
    """The relay, in a thread."""
    supervisor = Supervisor()
    thread = threading.Thread(target=supervisor.run, name="relay", daemon=True)
    thread.start()
    try:
        yield
    finally:
        supervisor.stop()
        thread.join(STOP_SECONDS)


@contextmanager
def worker() -> Iterator[None]:
    """A Celery worker on the in-memory broker, with the schedule, in threads."""
    controller: Any = WorkController(app=celery_app, **WORKER_OPTIONS)
    beat: Any = celery_app.Beat(loglevel="WARNING")
    scheduler = beat.Service(app=celery_app, scheduler_cls=celery_app.conf.beat_scheduler)
    threads = [
        threading.Thread(target=controller.start, name="worker", daemon=True),
        threading.Thread(target=scheduler.start, kwargs={"embedded_process": False}, name="schedule", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        scheduler.stop()
        controller.stop()
        for thread in threads:
            thread.join(STOP_SECONDS)


def first_look() -> None:
    """Ask servers that have never said what they have, before the site opens: until then nothing can run.

    For at most FIRST_LOOK_SECONDS; the relay asks those that do not answer again.
    """
    unknown = list(ComfyServer.objects.enabled().filter(catalog_digest=""))
    threads = [threading.Thread(target=_look_at, args=(each,), name="first look", daemon=True) for each in unknown]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + FIRST_LOOK_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _look_at(server: ComfyServer) -> None:
    try:
        server_check.check(server)
    finally:
        connections.close_all()


def serve(*, host: str, port: int, on_ready: Callable[[str | None], None]) -> None:
    """Run everything until SIGINT or SIGTERM. `on_ready` gets the simulator's address, if there is one, when the site
    answers. CannotStartError when the port is taken.
    """
    # Not at the top: daphne installs its reactor when it is imported, and the application wants the database ready.
    from daphne.server import Server
    from twisted.internet import reactor

    from comfysaas.asgi import application

    loop: asyncio.AbstractEventLoop = reactor._asyncioEventloop  # the one that daphne runs in
    sender.use(loop)  # the in-memory channel layer lives in the web server's loop
    with ExitStack() as stack:
        simulator_url = None
        if settings.COMFYUI_URLS:
            register_servers(settings.COMFYUI_URLS)
        else:
            simulator_url = stack.enter_context(simulator())

        server = Server(
            application,
            endpoints=[f"tcp:port={port}:interface={host}"],
            signal_handlers=True,
            ready_callable=lambda: on_ready(simulator_url),
            http_timeout=None,
            websocket_handshake_timeout=10,
            verbosity=0,
        )
        first_look()
        stack.enter_context(worker())
        stack.enter_context(relay())
        server.run()
        if server.abort_start:
            msg = f"Port {port} on {host} is taken. Set PORT to another one."
            raise CannotStartError(msg)
