"""UPDATE … RETURNING: what a transition changed and what follows from it, in one statement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connections, models
from django.db.models.expressions import BaseExpression
from django.db.models.sql import UpdateQuery


def update_returning(
    rows: models.QuerySet[Any], changes: Mapping[str, Any], *wanted: str | BaseExpression
) -> list[tuple[Any, ...]]:
    """Like `rows.update(**changes)`; for each row that changed, the `wanted` columns and expressions as they are now.

    Django's own update cannot return anything. `rows` filters on its own table alone; expressions do not refer to it.
    """
    query: Any = rows.query.chain(UpdateQuery)
    query.annotations = {}
    query.clear_ordering(force=True)
    query.add_update_values(dict(changes))
    compiler = query.get_compiler(rows.db)
    expressions = [_resolved(each, rows.model, query) for each in wanted]
    update, values = compiler.as_sql()
    columns = [compiler.compile(each) for each in expressions]
    names = ", ".join(sql for sql, _ in columns)
    with connections[rows.db].cursor() as cursor:
        cursor.execute(f"{update} RETURNING {names}", [*values, *(each for _, some in columns for each in some)])
        found = cursor.fetchall()
    return list(map(tuple, compiler.apply_converters(found, compiler.get_converters(expressions))))


def _resolved(wanted: str | BaseExpression, model: type[models.Model], query: UpdateQuery) -> Any:
    if isinstance(wanted, str):
        field: Any = model._meta.get_field(wanted)
        return field.get_col(model._meta.db_table)
    return wanted.resolve_expression(query)
