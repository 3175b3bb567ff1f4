"""Claims in the database's words: what makes one in line SUBMITTED, and a server's.

On PostgreSQL, a claim is one statement: it checks the lease, takes the row, moves the clock and reads the template.
SQLite cannot write inside a query, and has no round trips to save: there it is a transaction of several statements.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.utils import timezone

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


# ---------------------------------------------------------------------------------------------- PostgreSQL
_ME = """
    me AS (
        SELECT id, catalog_digest, loaded_models, EXISTS (
            SELECT 1 FROM generations_generation AS given
            WHERE given.server_id = server.id AND given.status IN ('submitted', 'running')
        ) AS is_busy
        FROM generations_comfyserver AS server
        WHERE id = %(server)s AND lease_token = %(token)s AND is_enabled AND NOT is_draining
    )"""

_IN_LINE = "status = 'queued' AND tag IS NOT NULL AND version_id <> ALL(%(unfit_versions)s::bigint[])"
_ORDER = "ORDER BY priority DESC, tag, created_at LIMIT 1"

# Nobody has to think about it: the server can run it and has its models loaded, and did not lose it before.
_IS_CLEAR = """
    version_id = ANY(%(fit_versions)s::bigint[])
    AND avoided_server_id IS DISTINCT FROM %(server)s
    AND NOT EXISTS (
        SELECT 1 FROM jsonb_array_elements(model_files) AS needed WHERE needed <> ALL(%(fit_values)s::text[]::jsonb[])
    )"""

# And no idle server should have it rather. What is known is still true.
_MAY_TAKE = """
    me.catalog_digest = %(digest)s
    AND COALESCE(me.loaded_models, '[]') = %(loaded)s::jsonb
    AND NOT (me.is_busy AND EXISTS (
        SELECT 1 FROM generations_comfyserver AS other
        WHERE other.id <> me.id AND other.is_enabled AND NOT other.is_draining AND other.state = 'online'
        AND other.lease_expires_at > %(now)s
        AND NOT EXISTS (
            SELECT 1 FROM generations_generation AS given
            WHERE given.server_id = other.id AND given.status IN ('submitted', 'running')
        )
    ))"""

# The first one is looked at without a lock: a server that leaves it does not hide it, not even for a moment, from one
# that would take it. Among several that take, each gets another one.
_FIRST = f"""
    head AS (
        SELECT {_IS_CLEAR} AS is_clear FROM generations_generation WHERE {_IN_LINE} {_ORDER}
    ),
    may AS (
        SELECT 1 FROM me, head WHERE head.is_clear AND {_MAY_TAKE}
    ),
    taken AS (
        SELECT id FROM generations_generation
        WHERE {_IN_LINE} AND {_IS_CLEAR} AND EXISTS (SELECT 1 FROM may)
        {_ORDER} FOR UPDATE SKIP LOCKED
    )"""  # noqa: S608  (of constants, as those below)

_ONE = """
    taken AS (
        SELECT id FROM generations_generation
        WHERE id = %(pk)s AND status = 'queued' AND tag IS NOT NULL AND EXISTS (SELECT 1 FROM me)
        FOR UPDATE SKIP LOCKED
    ),
    loading AS (
        UPDATE generations_comfyserver SET loaded_models = %(models)s::jsonb
        WHERE id = %(server)s AND %(models)s IS NOT NULL AND EXISTS (SELECT 1 FROM taken)
    )"""

_CLAIMED = """
    claimed AS (
        UPDATE generations_generation AS mine
        SET status = 'submitted', server_id = %(server)s, attempt = attempt + 1, submitted_at = %(now)s
        FROM taken WHERE mine.id = taken.id
        RETURNING mine.*
    ),
    clock AS (
        INSERT INTO generations_queueclock AS clock (id, virtual_time) SELECT 1, tag FROM claimed
        ON CONFLICT (id) DO UPDATE SET virtual_time = excluded.virtual_time
        WHERE clock.virtual_time < excluded.virtual_time
    )"""

_TEMPLATE = ("id", "slug", "title", "time_limit_seconds", "is_workflow_removed", "mean_seconds")
_COLUMNS = "claimed.*, " + ", ".join(f"template.{name} AS template_{name}" for name in _TEMPLATE)
_WITH_TEMPLATE = """
    LEFT JOIN generations_templateversion AS version ON version.id = claimed.version_id
    LEFT JOIN generations_workflowtemplate AS template ON template.id = version.template_id"""

_TAKE_FIRST = f"""
    WITH {_ME}, {_FIRST}, {_CLAIMED}
    SELECT {_COLUMNS}, EXISTS (
            SELECT 1 FROM me WHERE catalog_digest <> %(digest)s OR EXISTS (SELECT 1 FROM head)
        ) AS is_something_there,
        EXISTS (SELECT 1 FROM may) AS was_allowed, EXISTS (
            SELECT 1 FROM generations_generation AS other
            WHERE {_IN_LINE} AND other.id IS DISTINCT FROM claimed.id
        ) AS is_more
    FROM (SELECT 1) AS always LEFT JOIN claimed ON true {_WITH_TEMPLATE}"""  # noqa: S608

_TAKE_ONE = f"WITH {_ME}, {_ONE}, {_CLAIMED} SELECT {_COLUMNS} FROM claimed {_WITH_TEMPLATE}"  # noqa: S608


def take_first(server: ComfyServer, known: Known, *, token: int) -> Answer:
    """Claim the first one in line, if that is clear from what is `known`. On PostgreSQL; one statement."""
    values = {
        "server": server.pk,
        "token": token,
        "now": timezone.now(),
        "digest": known.digest,
        "loaded": _json(known.loaded),
        "fit_versions": known.fit_versions,
        "unfit_versions": known.unfit_versions,
        "fit_values": known.fit_values,
    }
    row: Any
    (row,) = Generation.objects.raw(_TAKE_FIRST, values)
    generation = _complete(row, server) if row.pk is not None else None
    is_nothing = not row.is_something_there
    return Answer(
        generation,
        is_final=generation is not None or is_nothing,
        is_line_done=is_nothing or (generation is not None and not row.is_more),
        was_faster=generation is None and row.was_allowed,
    )


def take(server: ComfyServer, pk: uuid.UUID, *, token: int, models: Iterable[str] = ()) -> Generation | None:
    """Claim this one for the server, which then loads these model files. None: it is not in line any more, somebody
    else is at it, or the lease is lost.
    """
    if connection.vendor != "postgresql":
        return _take_stepwise(server, pk, token, list(models))
    wanted = _json(models) if models else None
    values = {"server": server.pk, "token": token, "now": timezone.now(), "pk": pk, "models": wanted}
    rows = list(Generation.objects.raw(_TAKE_ONE, values))
    return _complete(rows[0], server) if rows else None


def _complete(row: Any, server: ComfyServer) -> Generation:
    """The claimed row with everything that submitting it reads. Its version never changes; its template does."""
    template = None
    if row.template_id is not None:
        values = [getattr(row, f"template_{name}") for name in _TEMPLATE]
        template = WorkflowTemplate.from_db(row._state.db, _TEMPLATE, values)
    return _with_parts(row, server, template)


def _with_parts(generation: Generation, server: ComfyServer, template: WorkflowTemplate | None) -> Generation:
    version = TemplateVersion.objects.kept(generation.version_id)
    version.template = template
    generation.version, generation.server = version, server
    return generation


def _json(names: Iterable[str]) -> str:
    return json.dumps(sorted(names))


# ---------------------------------------------------------------------------------------------- SQLite
def _take_stepwise(server: ComfyServer, pk: uuid.UUID, token: int, models: list[str]) -> Generation | None:
    with transaction.atomic():
        may_work = ComfyServer.objects.enabled().filter(pk=server.pk, lease_token=token, is_draining=False)
        if not may_work.exists() or not Generation.objects.claim(pk, server=server):
            return None
        generation = Generation.objects.get(pk=pk)
        QueueClock.objects.advance(generation.tag or 0.0)
        if models:
            ComfyServer.objects.loaded(server.pk, models)
        template = WorkflowTemplate.objects.filter(versions=generation.version_id).first()
    return _with_parts(generation, server, template)
