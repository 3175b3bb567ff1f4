"""The index that finds generations by any part of their texts, and which words it can find.

Both databases keep trigrams, the pieces of three characters: PostgreSQL in a GIN index (`pg_trgm`), SQLite in a
full-text table (FTS5). They only propose rows: whether a word is really in a text is always asked of the text.

PostgreSQL's index has finished generations alone. Each change of a status writes all of a row's index entries anew, and
a long prompt has a thousand of them; so they are written once, when nothing changes any more.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from django.core import checks
from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.expressions import RawSQL

logger = logging.getLogger(__name__)

PIECE = 3
MIGRATION = ("generations", "0023_search")
INDEX = "generation_text"
NO_TRIGRAMS = (
    "The database has no extension pg_trgm, and this user may not create it: searching many jobs is slow. Have an "
    "administrator run CREATE EXTENSION pg_trgm in this database, then run manage.py migrate again."
)
NO_FTS5 = (
    "This Python's SQLite has no full-text search by trigrams (FTS5 of SQLite 3.34 or newer): searching many jobs is "
    "slow. Use a newer one, then run manage.py migrate again."
)
# Rows are known by a number of their own: SQLite may renumber a table whose key is no integer (VACUUM). `content=''`:
# the table keeps trigrams, no second copy of the texts; so whoever takes a row out says what was in it.
SQLITE_TABLES = (
    "CREATE TABLE generations_searchkey (id integer PRIMARY KEY, generation_id char(32) NOT NULL UNIQUE)",
    "CREATE VIRTUAL TABLE generations_search USING fts5("
    "text, content='', detail=none, tokenize='trigram case_sensitive 1')",
)
_PUT_IN = """
    INSERT INTO generations_searchkey (generation_id) VALUES (new.id);
    INSERT INTO generations_search (rowid, text)
        SELECT id, new.text FROM generations_searchkey WHERE generation_id = new.id;
"""
_TAKE_OUT = """
    INSERT INTO generations_search (generations_search, rowid, text)
        SELECT 'delete', id, old.text FROM generations_searchkey WHERE generation_id = old.id;
    DELETE FROM generations_searchkey WHERE generation_id = old.id;
"""
SQLITE_TRIGGERS = {
    "generations_search_insert": f"AFTER INSERT ON generations_generation BEGIN {_PUT_IN} END",
    "generations_search_delete": f"AFTER DELETE ON generations_generation BEGIN {_TAKE_OUT} END",
    "generations_search_update": f"AFTER UPDATE OF text ON generations_generation BEGIN {_TAKE_OUT} {_PUT_IN} END",
}
SQLITE_FILL = (
    "INSERT INTO generations_searchkey (generation_id) SELECT id FROM generations_generation ORDER BY created_at",
    "INSERT INTO generations_search (rowid, text) SELECT k.id, g.text FROM generations_searchkey k"
    " JOIN generations_generation g ON g.id = k.generation_id",
)


def words_of(text: str) -> list[str]:
    """What a search looks for: ten words at most, in the letters that `Generation.text` is kept in."""
    return text.replace("\x00", " ").casefold().split()[:10]


def is_indexed(word: str) -> bool:
    """True when the index can find it: it has three letters or digits in a row."""
    return re.search(r"[^\W_]{3}", word) is not None


def candidates(words: Sequence[str]) -> RawSQL:
    """The ids of all generations that may have these words, on SQLite. At least one word must be indexed."""
    pieces = {word[at : at + PIECE] for word in words for at in _starts(word)}
    query = " AND ".join('"{}"'.format(piece.replace('"', '""')) for piece in sorted(pieces))
    sql = (
        "SELECT k.generation_id FROM generations_search s JOIN generations_searchkey k ON k.id = s.rowid"
        " WHERE s.generations_search MATCH %s"
    )
    return RawSQL(sql, [query])  # noqa: S611  (the text is a parameter)


def _starts(word: str) -> set[int]:
    """Where to cut pieces, so that they cover the word and no more."""
    last = len(word) - PIECE
    return {*range(0, last + 1, PIECE), last} if last >= 0 else set()


def is_there(connection: BaseDatabaseWrapper) -> bool:
    """Whether this database has the index, whole."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%s) AND indisvalid", [INDEX])
            return cursor.fetchone() is not None
        names = sorted(SQLITE_TRIGGERS)
        cursor.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name IN (%s, %s, %s)", names)
        return bool(cursor.fetchone()[0] == len(names))


def ensure(connection: BaseDatabaseWrapper) -> None:
    """Make the index if it is missing, unless it cannot be made here: that is logged, and a check says it again.

    Not inside a transaction: on PostgreSQL, others go on writing meanwhile. On SQLite they wait.
    """
    if is_there(connection):
        return
    missing = _make_on_postgres(connection) if connection.vendor == "postgresql" else _make_on_sqlite(connection)
    if missing:
        logger.warning(missing)


def ensure_migrated(connection: BaseDatabaseWrapper) -> None:
    """`ensure`, once its migration was applied: what could not be made then, or what a later migration took away.

    On SQLite, Django changes a table by writing another one in its place, without the triggers.
    """
    if MIGRATION in MigrationRecorder(connection).applied_migrations():
        ensure(connection)


def obstacle(connection: BaseDatabaseWrapper) -> str:
    """Why the index is missing where it should be; "" when nothing is wrong."""
    if MIGRATION not in MigrationRecorder(connection).applied_migrations() or is_there(connection):
        return ""
    return NO_TRIGRAMS if connection.vendor == "postgresql" else NO_FTS5


def check(*, databases: Sequence[str] | None = None, **_: object) -> list[checks.CheckMessage]:
    """Django's check of the database: a warning where the index is missing."""
    found = [obstacle(connections[alias]) for alias in databases or ()]
    return [checks.Warning(message, id="generations.W001") for message in found if message]


def drop(connection: BaseDatabaseWrapper) -> None:
    """Take it away. The extension stays: somebody else may use it."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        else:
            _drop_on_sqlite(cursor)


def _make_on_postgres(connection: BaseDatabaseWrapper) -> str:
    with connection.cursor() as cursor:
        schema = _schema_of_trigrams(cursor) or _created(cursor)
        if not schema:
            return NO_TRIGRAMS
        cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")  # what an attempt that was broken off left
        cursor.execute(
            f"CREATE INDEX CONCURRENTLY {INDEX} ON generations_generation"
            f" USING gin (text {connection.ops.quote_name(schema)}.gin_trgm_ops)"
            " WHERE status IN ('succeeded', 'failed', 'canceled')"
        )
    return ""


def _schema_of_trigrams(cursor: Any) -> str:
    """Where pg_trgm is: providers install it in a schema of its own, which is not searched. "" when it is missing."""
    cursor.execute(
        "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'pg_trgm'"
    )
    row = cursor.fetchone()
    return str(row[0]) if row else ""


def _created(cursor: Any) -> str:
    """Its schema, now that it was created; "" when this user may not, or the server does not have it."""
    try:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except DatabaseError as error:
        logger.warning("CREATE EXTENSION pg_trgm: %s", error)
        return ""
    return _schema_of_trigrams(cursor)


def _make_on_sqlite(connection: BaseDatabaseWrapper) -> str:
    with connection.cursor() as cursor:
        if not _has_trigrams(cursor):
            return NO_FTS5
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        _drop_on_sqlite(cursor)
        for statement in (*SQLITE_TABLES, *SQLITE_FILL):
            cursor.execute(statement)
        for name, body in SQLITE_TRIGGERS.items():
            cursor.execute(f"CREATE TRIGGER {name} {body}")
    return ""


def _has_trigrams(cursor: Any) -> bool:
    try:
        cursor.execute("CREATE VIRTUAL TABLE temp.generations_probe USING fts5(text, tokenize='trigram')")
    except DatabaseError:
        return False
    cursor.execute("DROP TABLE temp.generations_probe")
    return True


def _drop_on_sqlite(cursor: Any) -> None:
    for name in SQLITE_TRIGGERS:
        cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
    cursor.execute("DROP TABLE IF EXISTS generations_search")
    cursor.execute("DROP TABLE IF EXISTS generations_searchkey")
