"""Changes that let the release before go on writing while they run. Their migrations say `atomic = False`."""

from __future__ import annotations

from typing import Any

from django.db.migrations import AddIndex


class AddIndexConcurrently(AddIndex):
    """On PostgreSQL, built beside the writers. Should it be interrupted, run it again: what was left is replaced."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop what an interrupted try left behind, then build."""
        if schema_editor.connection.vendor != "postgresql":
            schema_editor.execute(f'DROP INDEX IF EXISTS "{self.index.name}"')
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        schema_editor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{self.index.name}"')
        schema_editor.add_index(model, self.index, concurrently=True)
