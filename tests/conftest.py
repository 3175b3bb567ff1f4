"""A clean environment for every test, no network but this machine, and the cast: owner, stranger, staff."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.environment import IS_CI, POSTGRES_URL, REDIS_SERVER_URL

LOOPBACK = {"127.0.0.1", "::1", "localhost", "0.0.0.0", ""}


NOT_FAST = {"postgres", "redis", "s3", "browser", "cluster", "slow"}  # marks of tests that need a server, or seconds
FAST_FOLDERS = {Path(__file__).parent / name for name in ("accounts", "api", "comfy", "generations", "simulator")}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what `make test-fast` runs. On PostgreSQL, tests without a database are left out: they say nothing new."""
    for item in items:
        if _is_fast(item):
            item.add_marker(pytest.mark.fast)
    if os.environ.get("TEST_BACKEND") != "postgres":
        return
    unrelated = [item for item in items if not _uses_database(item)]
    if unrelated:
        config.hook.pytest_deselected(items=unrelated)
        items[:] = [item for item in items if _uses_database(item)]


def _uses_database(item: pytest.Item) -> bool:
    names = {"db", "transactional_db"}
    return item.get_closest_marker("django_db") is not None or not names.isdisjoint(getattr(item, "fixturenames", ()))


def _is_fast(item: pytest.Item) -> bool:
    takes_longer = any(mark.name in NOT_FAST for mark in item.iter_markers())
    return not takes_longer and not _uses_database(item) and not FAST_FOLDERS.isdisjoint(item.path.parents)


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for the network fails and says where it wanted to go."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6} and address[0] not in LOOPBACK:
            msg = f"This test wanted to connect to {address[0]}"
            raise OSError(msg)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _missing(what: str) -> None:
    if IS_CI:
        pytest.fail(f"CI must provide {what}")
    pytest.skip(f"needs {what}")


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """A PostgreSQL server for tests that need one; required in CI."""
    if not POSTGRES_URL:
        _missing("DATABASE_URL (PostgreSQL)")
    return POSTGRES_URL


@pytest.fixture(scope="session")
def redis_url() -> str:
    """A Redis server for tests that need one; required in CI."""
    if not REDIS_SERVER_URL:
        _missing("REDIS_URL")
    return REDIS_SERVER_URL


@pytest.fixture(scope="session")
def redis_server() -> str:
    """The program redis-server, for tests that start a Redis of their own; required in CI."""
    found = shutil.which("redis-server")
    if found is None:
        _missing("redis-server on the path")
    return found or ""


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """A Chromium for browser tests; required in CI."""
    for candidate in (
        os.environ.get("CHROMIUM", ""),
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
    ):
        if candidate and Path(candidate).exists():
            return candidate
    _missing("Chromium (set CHROMIUM to its path)")
    return ""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """On PostgreSQL, ends the sessions that threads of tests left open: a database in use cannot be dropped."""
    from django.db import connection

    yield
    if connection.vendor != "postgresql":
        return
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute(f"{others} AND pid <> pg_backend_pid()")
        connection.close()
        connection.close_pool()


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    """What a process keeps of rows for good would speak of another test's."""
    from tests.support.kept import forget

    forget()


@pytest.fixture(scope="session", autouse=True)
def static_files_listed_once() -> Iterator[None]:
    """Each test client builds the middleware anew, which would look through all static files again."""
    from servestatic.middleware import ServeStaticMiddleware

    listed: dict[str, tuple[Any, Any]] = {}
    look = ServeStaticMiddleware.add_files_from_finders

    def once(self: Any) -> None:
        if self.static_prefix not in listed:
            look(self)
            listed[self.static_prefix] = dict(self.files), list(self.directories)
        files, directories = listed[self.static_prefix]
        self.files, self.directories = dict(files), list(directories)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ServeStaticMiddleware, "add_files_from_finders", once)
        yield


@pytest.fixture(autouse=True)
def media_root(settings: Any, tmp_path: Path) -> Path:
    """Files of a test lie in its own directory."""
    root = tmp_path / "media"
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "generations.files.backends.DiskStorage",
            "OPTIONS": {"location": str(root), "allow_overwrite": True},
        },
    }
    return root


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    """Hashing is slow on purpose; tests sign in often."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def quick_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk is slow, and no test cuts the power."""
    monkeypatch.setattr("generations.files.backends._sync", lambda path: None)


@pytest.fixture(autouse=True)
def quick_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that cannot be reached is refused at once; in earnest, all refusals take equally long."""
    monkeypatch.setattr("generations.outbound.UNREACHABLE_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def clean_cache() -> Iterator[None]:
    """Each test begins and ends with an empty cache."""
    from django.core.cache import cache

    cache.clear()
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    """Connections that tasks keep open end with the test."""
    yield
    from generations.lifecycle.storing import clients

    clients.close()


@pytest.fixture
def eager_tasks() -> Iterator[None]:
    """Celery tasks run where they are sent."""
    from comfysaas.celery import app as celery_app

    before = celery_app.conf.task_always_eager
    celery_app.conf.task_always_eager = True
    yield
    celery_app.conf.task_always_eager = before


@pytest.fixture
def owner(db: None) -> Any:
    """The user who owns what a test makes."""
    from tests.support.factories import make_user

    return make_user("owner@example.com")


@pytest.fixture
def stranger(db: None) -> Any:
    """Another user, who must not see what the owner has."""
    from tests.support.factories import make_user

    return make_user("stranger@example.com")


@pytest.fixture
def staff(db: None) -> Any:
    """Somebody who may use the admin."""
    from tests.support.factories import make_user

    return make_user("staff@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def admin(staff: Any, client_for: Callable[[Any], Any]) -> Any:
    """The browser of somebody who may use the admin."""
    return client_for(staff)


@pytest.fixture
def known_server(db: None) -> Any:
    """A ComfyUI server out of reach whose nodes are known: jobs are accepted, and wait."""
    from tests.support.factories import make_server

    return make_server("known", "http://127.0.0.1:1")


@pytest.fixture
def client_for() -> Callable[[Any], Any]:
    """A test client signed in as the given user, who has just shown once more who they are."""
    from tests.support.signing_in import signed_in

    return signed_in
