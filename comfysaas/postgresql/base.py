"""Named by ENGINE in comfysaas/settings.py. Django looks for `DatabaseWrapper` in a module of this name."""

from __future__ import annotations

import select
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool


class DatabaseWrapper(base.DatabaseWrapper):
    """Looks at the socket where Django asks the server: a round trip less for each request, and for each task."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> psycopg.Connection[Any]:
        """One that works: a pool may hold some that a restart of PostgreSQL has closed."""
        connection: psycopg.Connection[Any] = super().get_new_connection(conn_params)
        while self.pool is not None and not _works(connection):
            connection.close()
            self.pool.putconn(connection)  # which connects anew in its place
            connection = super().get_new_connection(conn_params)
        return connection

    def is_usable(self) -> bool:
        """Whether the thread's connection still works. It was opened before."""
        return _works(self.connection)


def _works(connection: psycopg.Connection[Any]) -> bool:
    if _is_quiet(connection):
        return True
    try:
        ConnectionPool.check_connection(connection)
    except psycopg.Error:
        return False
    return True


def _is_quiet(connection: psycopg.Connection[Any]) -> bool:
    """False if the server sent something although it was asked nothing: as a rule, that it closes the connection."""
    if connection.closed or connection.pgconn.transaction_status != TransactionStatus.IDLE:
        return False
    waiting = select.poll()  # select.select cannot watch the 1024th file of a process
    waiting.register(connection.fileno(), select.POLLIN)
    return not waiting.poll(0)
