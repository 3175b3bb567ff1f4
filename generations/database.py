"""How a process uses the database."""

from __future__ import annotations

import warnings

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper


def commit_lazily() -> None:
    """PostgreSQL need not wait for its disk at each commit of this process. Call it before the first query.

    For relay and worker: should the database itself crash, their last half second is undone as a whole, and found
    again by comparing with ComfyUI and the storage. What users were promised is committed by web processes, which wait.
    """
    for settings in connections.settings.values():
        if settings["ENGINE"].endswith("postgresql"):
            settings.setdefault("OPTIONS", {})["options"] = "-c synchronous_commit=off"


def release() -> None:
    """Give this thread's connections back to the pool: call it before slow work (network, storage, decoding).

    A process has few connections and many requests: one that waits for somebody else's server must not keep one. The
    next query takes a connection again. Inside a transaction nothing can be given back; slow work there also holds
    locks, so a RuntimeWarning names the fault (in tests, warnings are errors).
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
        elif not _belongs_to_a_test(connection):
            warnings.warn("Slow work inside a database transaction", RuntimeWarning, stacklevel=2)


def _belongs_to_a_test(connection: BaseDatabaseWrapper) -> bool:
    """True when the only transaction is the one that Django's TestCase wraps around each test."""
    return all(getattr(block, "_from_testcase") for block in connection.atomic_blocks)  # noqa: B009  (not in the stubs)
