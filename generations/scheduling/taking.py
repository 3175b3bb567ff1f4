"""Claims in the database's words: what makes one in line SUBMITTED, and a server's.

On PostgreSQL, a claim is one statement: it checks the lease, takes the row, moves the clock and reads the template.
SQLite cannot write inside a query, and has no round trips to save: there it is a look, and a short transaction.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from accounts.statements import Columns, ask
from generations.models import ComfyServer, Generation, QueueClock, TemplateVersion, WorkflowTemplate


class Known(NamedTuple):
    """What an agent knows of its server; versions and values as judged by the catalog with this digest."""

    digest: str
    loaded: frozenset[str]
    fit_versions: list[int]
    unfit_versions: list[int]
    fit_values: list[str]  # JSON; of model files, those that are loaded


class Answer(NamedTuple):
    """What `take_first` found. It is final, or the claim has to be weighed."""

    generation: Generation | None
    is_final: bool
    is_line_done: bool  # nothing else is in line that this server might run
    was_faster: bool  # another server took the first one in the same moment


# ---------------------------------------------------------------------------------------------- what both ask
class _Words(NamedTuple):
    """What the two databases say differently. Lists are arrays on PostgreSQL, and JSON on SQLite."""

    among: str  # a number is among those of a list
    differs: str
    has_all: str  # all model files and values of a row are known


_POSTGRESQL = _Words(
    among="{number} + 0 = ANY({list}::bigint[])",  # + 0: by the line's index, not by one that has the whole table
    differs="IS DISTINCT FROM",
    has_all="""NOT EXISTS (
        SELECT 1 FROM jsonb_array_elements(model_files) AS needed WHERE needed <> ALL(%(fit_values)s::text[]::jsonb[])
    )""",
)
_SQLITE = _Words(
    among="{number} IN (SELECT value FROM json_each({list}))",
    differs="IS NOT",
    has_all="""NOT EXISTS (
        SELECT 1 FROM json_each(model_files) AS needed
        WHERE needed.value NOT IN (SELECT value FROM json_each(%(fit_values)s))
    )""",
)

_MAY_WORK = "id = %(server)s AND lease_token = %(token)s AND is_enabled AND NOT is_draining"
_ME = f"""
    me AS (
        SELECT id, catalog_digest, loaded_models, EXISTS (
            SELECT 1 FROM generations_generation AS given
            WHERE given.server_id = server.id AND given.status IN ('submitted', 'running')
        ) AS is_busy
        FROM generations_comfyserver AS server WHERE {_MAY_WORK}
    )"""  # noqa: S608  (of constants, as those below)
_ORDER = "ORDER BY priority DESC, tag, created_at"  # always said: it is what finds the short index in a long table

# What is known is still true, and no idle server should have it rather.
_IS_FREE = """
    me.catalog_digest = %(digest)s
    AND COALESCE(me.loaded_models, '[]') = %(loaded)s
    AND NOT (me.is_busy AND EXISTS (
        SELECT 1 FROM generations_comfyserver AS other
        WHERE other.id <> me.id AND other.is_enabled AND NOT other.is_draining AND other.state = 'online'
        AND other.lease_expires_at > %(now)s
        AND NOT EXISTS (
            SELECT 1 FROM generations_generation AS given
            WHERE given.server_id = other.id AND given.status IN ('submitted', 'running')
        )
    ))"""


def _in_line(words: _Words) -> str:
    unfit = words.among.format(number="version_id", list="%(unfit_versions)s")
    return f"status = 'queued' AND tag IS NOT NULL AND NOT ({unfit})"


def _is_clear(words: _Words) -> str:
    """Nobody has to think about it: the server can run it and has its models loaded, and did not lose it before."""
    fit = words.among.format(number="version_id", list="%(fit_versions)s")
    return f"{fit} AND avoided_server_id {words.differs} %(server)s AND {words.has_all}"


def _head(words: _Words) -> str:
    """The first in line, and whether it may be taken."""
    return f"""
    head AS (
        SELECT {_is_clear(words)} AS is_clear FROM generations_generation WHERE {_in_line(words)} {_ORDER} LIMIT 1
    ),
    may AS (
        SELECT 1 FROM me, head WHERE head.is_clear AND {_IS_FREE}
    )"""  # noqa: S608


def _taken(words: _Words) -> str:
    return f"""SELECT id FROM generations_generation
        WHERE {_in_line(words)} AND {_is_clear(words)} {{}} {_ORDER} LIMIT 1"""  # noqa: S608


_IS_SOMETHING = "EXISTS (SELECT 1 FROM me WHERE catalog_digest <> %(digest)s OR EXISTS (SELECT 1 FROM head))"
_CLAIM = "status = 'submitted', server_id = %(server)s, attempt = attempt + 1, submitted_at = %(now)s"
_CLOCK = """
    INSERT INTO generations_queueclock AS clock (id, virtual_time) {}
    ON CONFLICT (id) DO UPDATE SET virtual_time = excluded.virtual_time
    WHERE clock.virtual_time < excluded.virtual_time"""
_OWN = Columns(Generation)  # by name: a migration may add more while relays run
_TEMPLATE = Columns(
    WorkflowTemplate, ("id", "slug", "title", "time_limit_seconds", "is_workflow_removed", "mean_seconds")
)

# ---------------------------------------------------------------------------------------------- PostgreSQL
# The first one is looked at without a lock: a server that leaves it does not hide it, not even for a moment, from one
# that would take it. Among several that take, each gets another one.
_FIRST = f"""
    {_head(_POSTGRESQL)},
    taken AS (
        {_taken(_POSTGRESQL).format("AND EXISTS (SELECT 1 FROM may)")} FOR UPDATE SKIP LOCKED
    )"""  # noqa: S608

_ONE = """
    taken AS (
        SELECT id FROM generations_generation
        WHERE id = %(pk)s AND status = 'queued' AND tag IS NOT NULL AND EXISTS (SELECT 1 FROM me)
        FOR UPDATE SKIP LOCKED
    ),
    loading AS (
        UPDATE generations_comfyserver SET loaded_models = %(models)s::jsonb
        WHERE id = %(server)s AND %(models)s::jsonb IS NOT NULL AND EXISTS (SELECT 1 FROM taken)
    )"""

_CLAIMED = f"""
    claimed AS (
        UPDATE generations_generation AS mine SET {_CLAIM} FROM taken WHERE mine.id = taken.id
        RETURNING {", ".join(f"mine.{name}" for name in _OWN.names)}
    ),
    clock AS ({_CLOCK.format("SELECT 1, tag FROM claimed")})"""  # noqa: S608

_COLUMNS = ", ".join([*(f"claimed.{name}" for name in _OWN.names), *(f"template.{name}" for name in _TEMPLATE.names)])
_WITH_TEMPLATE = """
    LEFT JOIN generations_templateversion AS version ON version.id = claimed.version_id
    LEFT JOIN generations_workflowtemplate AS template ON template.id = version.template_id"""

_TAKE_FIRST = f"""
    WITH {_ME}, {_FIRST}, {_CLAIMED}
    SELECT {_COLUMNS}, {_IS_SOMETHING} AS is_something, EXISTS (SELECT 1 FROM may) AS was_allowed, EXISTS (
            SELECT 1 FROM (
                SELECT id FROM generations_generation WHERE {_in_line(_POSTGRESQL)} {_ORDER} LIMIT 2
            ) AS two WHERE two.id IS DISTINCT FROM claimed.id
        ) AS is_more
    FROM (SELECT 1) AS always LEFT JOIN claimed ON true {_WITH_TEMPLATE}"""  # noqa: S608

_TAKE_ONE = f"WITH {_ME}, {_ONE}, {_CLAIMED} SELECT {_COLUMNS} FROM claimed {_WITH_TEMPLATE}"  # noqa: S608

# ---------------------------------------------------------------------------------------------- SQLite
_LOOK = f"""
    WITH {_ME}, {_head(_SQLITE)}
    SELECT {_IS_SOMETHING}, EXISTS (SELECT 1 FROM may),
        (SELECT COUNT(*) FROM (SELECT 1 FROM generations_generation WHERE {_in_line(_SQLITE)} {_ORDER} LIMIT 2)) > 1"""  # noqa: S608
_UPDATE = f"""
    UPDATE generations_generation SET {_CLAIM}
    WHERE id = ({_taken(_SQLITE).format("")}) AND EXISTS (SELECT 1 FROM generations_comfyserver WHERE {_MAY_WORK})
    RETURNING *"""  # noqa: S608


# ---------------------------------------------------------------------------------------------- claims
def take_first(server: ComfyServer, known: Known, *, token: int) -> Answer:
    """Claim the first one in line, if that is clear from what is `known`. Outside of transactions."""
    is_postgresql = connection.vendor == "postgresql"
    as_list: Callable[[list[Any]], object] = list if is_postgresql else json.dumps
    values = {
        "server": server.pk,
        "token": token,
        "now": connection.ops.adapt_datetimefield_value(timezone.now()),
        "digest": known.digest,
        "loaded": Jsonb(sorted(known.loaded)) if is_postgresql else _json(known.loaded),
        "fit_versions": as_list(known.fit_versions),
        "unfit_versions": as_list(known.unfit_versions),
        "fit_values": as_list(known.fit_values),
    }
    return _take_first(server, values) if is_postgresql else _look_and_take(server, values)


def _take_first(server: ComfyServer, values: dict[str, Any]) -> Answer:
    (row,) = ask(_TAKE_FIRST, values)
    is_something, was_allowed, is_more = row[-3:]
    return _answer(_complete(row, server), is_something, was_allowed, is_more)


def _look_and_take(server: ComfyServer, values: dict[str, Any]) -> Answer:
    with connection.cursor() as cursor:
        cursor.execute(_LOOK, values)
        is_something, is_allowed, is_more = cursor.fetchone()
        rows: list[Generation] = []
        if is_allowed:
            with transaction.atomic():
                rows = list(Generation.objects.raw(_UPDATE, values))
                for row in rows:
                    cursor.execute(_CLOCK.format("VALUES (1, %s)"), [row.tag])
    generation = _with_parts(rows[0], server, _template_of(rows[0])) if rows else None
    return _answer(generation, is_something, is_allowed, is_more)


def _answer(generation: Generation | None, is_something: bool, was_allowed: bool, is_more: bool) -> Answer:
    return Answer(
        generation,
        is_final=generation is not None or not is_something,
        is_line_done=not is_something or (generation is not None and not is_more),
        was_faster=generation is None and was_allowed,
    )


def take(server: ComfyServer, pk: uuid.UUID, *, token: int, models: Iterable[str] = ()) -> Generation | None:
    """Claim this one for the server, which then loads these model files. None: it is not in line any more, somebody
    else is at it, or the lease is lost.
    """
    if connection.vendor != "postgresql":
        return _take_stepwise(server, pk, token, list(models))
    wanted = _json(models) if models else None
    values = {"server": server.pk, "token": token, "now": timezone.now(), "pk": pk, "models": wanted}
    rows = ask(_TAKE_ONE, values)
    return _complete(rows[0], server) if rows else None


def _complete(row: Sequence[Any], server: ComfyServer) -> Generation | None:
    """The claimed one with everything that submitting it reads; None if none was. Its version never changes; its
    template does.
    """
    own, rest = row[: len(_OWN.names)], row[len(_OWN.names) :]
    if own[0] is None:
        return None
    template = _TEMPLATE.instance(rest[: len(_TEMPLATE.names)]) if rest[0] is not None else None
    return _with_parts(_OWN.instance(own), server, template)


def _with_parts(generation: Generation, server: ComfyServer, template: WorkflowTemplate | None) -> Generation:
    version = TemplateVersion.objects.kept(generation.version_id)
    version.template = template
    generation.version, generation.server = version, server
    return generation


def _json(names: Iterable[str]) -> str:
    return json.dumps(sorted(names))


def _take_stepwise(server: ComfyServer, pk: uuid.UUID, token: int, models: list[str]) -> Generation | None:
    with transaction.atomic():
        may_work = ComfyServer.objects.enabled().filter(pk=server.pk, lease_token=token, is_draining=False)
        if not may_work.exists() or not Generation.objects.claim(pk, server=server):
            return None
        generation = Generation.objects.get(pk=pk)
        QueueClock.objects.advance(generation.tag or 0.0)
        if models:
            ComfyServer.objects.loaded(server.pk, models)
    return _with_parts(generation, server, _template_of(generation))


def _template_of(generation: Generation) -> WorkflowTemplate | None:
    template_id = TemplateVersion.objects.kept(generation.version_id).template_id
    return None if template_id is None else WorkflowTemplate.objects.get(pk=template_id)
