"""How a process uses the database."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

KEPT_AT_MOST = 40  # by one process: PostgreSQL allows 100 by default


def commit_lazily() -> None:
    """PostgreSQL need not wait for its disk at each commit of this process. Call it before the first query.

    For relay and worker: should the database itself crash, their last half second is undone as a whole, and found
    again by comparing with ComfyUI and the storage. What users were promised is committed by web processes, which wait.
    """
    for settings in connections.settings.values():
        if settings["ENGINE"].endswith("postgresql"):
            options = settings.setdefault("OPTIONS", {})
            options["options"] = f"{options.get('options', '')} -c synchronous_commit=off".strip()


_keeping: WeakSet[threading.Thread] = WeakSet()
_keeping_lock = threading.Lock()


def keep() -> None:
    """From now on, this thread has connections of its own, which stay open: for threads that ask often, all their life.

    Call it outside of transactions, as often as you like, and `connections.close_all()` when the thread ends. On
    PostgreSQL, KEPT_AT_MOST threads of a process keep one; others go on with the pool, and `release` while they wait.
    """
    thread = threading.current_thread()
    with _keeping_lock:
        if thread in _keeping or sum(each.is_alive() for each in _keeping) >= KEPT_AT_MOST:
            return
        _keeping.add(thread)
    for connection in connections.all():
        connection.close()
        settings = connection.settings_dict  # of all threads
        options = {name: option for name, option in settings["OPTIONS"].items() if name != "pool"}
        is_checked = connection.vendor == "postgresql"  # whether it still works; a file does
        own = {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": is_checked, "OPTIONS": options}
        connection.settings_dict = {**settings, **own}


def is_kept(connection: BaseDatabaseWrapper) -> bool:
    """Whether the present thread keeps it."""
    return connection.settings_dict["CONN_MAX_AGE"] is None


def release() -> None:
    """Give this thread's connections back to the pool: call it before slow work (network, storage, decoding).

    A process has few connections and many requests: one that waits for somebody else's server must not keep one. The
    next query takes a connection again. Threads that `keep` theirs are few, and do. Inside a transaction nothing can be
    given back; slow work there also holds locks, so a RuntimeWarning names the fault (in tests, warnings are errors).
    """
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            if not _belongs_to_a_test(connection):
                warnings.warn("Slow work inside a database transaction", RuntimeWarning, stacklevel=2)
        elif not is_kept(connection):
            connection.close()


def in_batches(step: Callable[[int], int], *, size: int, until: float) -> int:
    """Do a lot of work in many short transactions, so that nobody waits long for one of its rows.

    `step` does at most `size` of it and returns how much. Ends when a step finds less than that, or at `until`
    (time.monotonic). Returns how much was done.
    """
    number = 0
    while True:
        done = step(size)
        number += done
        if done < size or time.monotonic() > until:
            return number


def delete_some(rows: QuerySet[Any], size: int) -> int:
    """Delete at most so many of these rows, but for those that somebody else has locked. How many that were."""
    with transaction.atomic():
        chosen = rows.order_by().select_for_update(of=("self",), skip_locked=True).values_list("pk", flat=True)
        number, _by_model = rows.model._default_manager.filter(pk__in=list(chosen[:size])).delete()
    return int(number)


def _belongs_to_a_test(connection: BaseDatabaseWrapper) -> bool:
    """True when the only transaction is the one that Django's TestCase wraps around each test."""
    return all(getattr(block, "_from_testcase") for block in connection.atomic_blocks)  # noqa: B009  (not in the stubs)
