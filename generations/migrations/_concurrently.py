"""Changes that let the release before go on writing while they run. Their migrations say `atomic = False`."""

from __future__ import annotations

from typing import Any

from django.db.migrations import AddField, RemoveIndex

from accounts.migrations._concurrently import AddIndexConcurrently

__all__ = ["AddEmptyForeignKey", "AddIndexConcurrently", "RemoveIndexConcurrently"]


class RemoveIndexConcurrently(RemoveIndex):
    """On PostgreSQL, dropped without waiting for writers while they wait for it."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop it, if it is there."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            schema_editor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{self.name}"')


class AddEmptyForeignKey(AddField):
    """A nullable foreign key without an index. On PostgreSQL, no row is looked at while writers wait."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Add the column, then its constraint for new rows, then look at the old ones. It may be run again."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        field = model._meta.get_field(self.name)
        table, column = (schema_editor.quote_name(name) for name in (model._meta.db_table, field.column))
        kind = field.db_type(schema_editor.connection)
        schema_editor.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column} {kind} NULL")
        constraint = schema_editor._create_fk_sql(model, field, "_fk_%(to_table)s_%(to_column)s")
        name = constraint.parts["name"]
        schema_editor.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
        schema_editor.execute(f"{constraint} NOT VALID")
        schema_editor.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
