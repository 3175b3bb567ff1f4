"""The end of a run and everything that it made, in one statement of PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db import connection

from accounts.statements import Columns, ask
from generations.models.asset import Asset, Output
from generations.models.generation import Generation, Run, Stored
from generations.models.queue import wants_admission_sql

_ASSET = Columns(Asset)
_OUTPUT = Columns(Output, [each.attname for each in Output._meta.concrete_fields if not each.primary_key])


def _insert(table: str, columns: Columns[Any], values: str) -> str:
    names = ", ".join(f'"{name}"' for name in columns.names)
    wanted = ", ".join(f'one."{name}"' for name in columns.names)
    return f"""
        INSERT INTO {table} ({names})
        SELECT {wanted} FROM ended, jsonb_populate_recordset(NULL::{table}, %({values})s::jsonb) AS one"""  # noqa: S608


# Rows are locked in the order in which the same transaction does it step by step: the workspace's number of bytes, then
# the template, which the last part waits for.
_END = f"""
    WITH ended AS (
        UPDATE generations_generation SET
            status = 'succeeded', upstream_outputs = %(outputs)s::jsonb, partner_key = NULL,
            started_at = COALESCE(started_at, %(started_at)s), executed_at = %(executed_at)s,
            finished_at = %(finished_at)s
        WHERE prompt_id = %(prompt_id)s AND status IN ('submitted', 'running') AND cancel_requested_at IS NULL
        AND NOT EXISTS (
            SELECT 1 FROM generations_webhook
            WHERE workspace_id = %(workspace)s AND is_enabled AND (is_for_every_job OR id = %(webhook)s)
        )
        AND (%(template)s::bigint IS NULL OR %(is_bare)s = (
            SELECT is_workflow_removed FROM generations_workflowtemplate WHERE id = %(template)s::bigint
        ))
        RETURNING workspace_id, started_at
    ),
    files AS ({_insert("generations_asset", _ASSET, "assets")}
    ),
    made AS ({_insert("generations_output", _OUTPUT, "made")}
    ),
    counted AS (
        INSERT INTO generations_workspaceusage AS known (workspace_id, stored_bytes)
        SELECT workspace_id, %(size)s::bigint FROM ended WHERE %(size)s::bigint > 0
        ON CONFLICT (workspace_id) DO UPDATE SET stored_bytes = known.stored_bytes + excluded.stored_bytes
        RETURNING 1
    ),
    noted AS (
        UPDATE generations_workflowtemplate SET mean_seconds = mean_seconds * 0.75 + %(seconds)s::float8 * 0.25
        FROM ended, (SELECT COUNT(*) FROM counted) AS first
        WHERE id = %(template)s::bigint AND %(seconds)s::float8 IS NOT NULL
    )
    SELECT started_at, {wants_admission_sql(ended=1)} FROM ended"""  # noqa: S608


def store_whole(
    generation: Generation, run: Run, *, assets: Sequence[Asset], outputs: Sequence[Output], seconds: float | None
) -> Stored | None:
    """SUBMITTED, RUNNING -> SUCCEEDED, with new rows of its files and outputs, which stay without their ids here; the
    workspace's bytes and the template's mean (`seconds` that it ran, if known) count them.

    None, with nothing changed: it waits for no result any more, or somebody has to be told by webhook, or its template
    changed, or the database has no such statement. Then `store_at_once` says more.
    """
    if connection.vendor != "postgresql":
        return None
    found = ask(
        _END,
        {
            "prompt_id": generation.prompt_id,
            "workspace": generation.workspace_id,
            "webhook": generation.webhook_id,
            "template": generation.version.template_id,
            "is_bare": generation.version.is_workflow_removed,
            "outputs": json.dumps(run.outputs),
            "started_at": run.started_at,
            "executed_at": run.executed_at,
            "finished_at": run.finished_at,
            "assets": _ASSET.records(assets),
            "made": _OUTPUT.records(outputs),
            "size": sum(each.size_bytes for each in assets),
            "seconds": seconds,
        },
    )
    for started_at, is_next_wanted in found:
        Columns.are_saved([*assets, *outputs])
        return Stored(started_at, has_webhooks=False, is_bare=None, is_next_wanted=is_next_wanted)
    return None
