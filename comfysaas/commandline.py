"""Runs management commands; expected problems end in a sentence instead of a traceback."""

from __future__ import annotations

import io
import sys

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from pydantic import SecretStr
from redis.exceptions import RedisError

CONNECT_SECONDS = 5


def main(arguments: list[str]) -> None:
    """Run the command. Exits with what is wrong and what to do; `--traceback` shows where it happened."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a character is no reason to stop
    try:
        execute_from_command_line(arguments)
    except KeyboardInterrupt:
        sys.exit(130)  # what a shell reports for SIGINT
    except (ImproperlyConfigured, EOFError, DatabaseError, RedisError) as error:
        explained = _explain(error)
        if "--traceback" in arguments or not explained:
            raise
        sys.exit(explained)


def _explain(error: Exception) -> str:
    """What the reader can do about it; empty for an unexpected error."""
    match error:
        case DatabaseError():
            return _database_problem(error)
        case EOFError():
            return "This command asks questions. Run it in a terminal."
        case RedisError():
            return f"Redis does not answer ({error}). Start it, or check REDIS_URL."
        case _:
            return str(error)


def _database_problem(error: DatabaseError) -> str:
    if connection.vendor == "sqlite":
        if not settings.ENV.database_file.exists():
            return (
                f"{settings.DATA_DIR} has no database yet. Start the server once with `make run`, "
                "or set DATA_DIR to the folder of your database."
            )
    elif problem := _connection_problem(settings.ENV.database_url):
        return f"PostgreSQL does not answer ({problem}). Start it, or check DATABASE_URL."
    try:
        return _migration_problem()
    except DatabaseError:
        return f"The database cannot be used: {error}"


def _connection_problem(url: SecretStr | None) -> str:
    """Why PostgreSQL refuses the connection, without the password; empty when it does not.

    The pool's own error only says that it waited.
    """
    try:
        psycopg.connect(url.get_secret_value() if url else "", connect_timeout=CONNECT_SECONDS).close()
    except psycopg.OperationalError as error:
        return str(error).splitlines()[0]
    return ""


def _migration_problem() -> str:
    executor = MigrationExecutor(connection)
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return ""
    return "The database is older than this version. Run `manage.py migrate` first; `make run` does that, too."
