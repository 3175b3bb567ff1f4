"""Shares, storage and limits are counted by workspace, in tables beside those of the release before.

Those stay on PostgreSQL for as long as that release runs; whoever deletes a user does not have to know them.
"""

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

FORMER = ("generations_queueshare", "generations_storageusage")
SHARES = """
    INSERT INTO generations_workspaceshare (workspace_id, finish_tag)
    SELECT team.id, known.finish_tag FROM generations_queueshare AS known
    JOIN accounts_workspace AS team ON team.person_id = known.user_id
    WHERE NOT EXISTS (SELECT 1 FROM generations_workspaceshare AS other WHERE other.workspace_id = team.id)
"""
BYTES = """
    INSERT INTO generations_workspaceusage (workspace_id, stored_bytes)
    SELECT workspace_id, SUM(size_bytes) FROM (
        SELECT DISTINCT workspace_id, key, size_bytes FROM generations_asset WHERE workspace_id IS NOT NULL
    ) AS files
    WHERE NOT EXISTS (SELECT 1 FROM generations_workspaceusage AS other WHERE other.workspace_id = files.workspace_id)
    GROUP BY workspace_id
"""


def copy(apps: Any, schema_editor: Any) -> None:
    for statement in (SHARES, BYTES):
        schema_editor.execute(statement)


def let_go(apps: Any, schema_editor: Any) -> None:
    for table in FORMER:
        if schema_editor.connection.vendor != "postgresql":
            schema_editor.execute(f"DROP TABLE IF EXISTS {table}")
            continue
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'", [table])
            names = [name for (name,) in cursor.fetchall()]
        for name in names:
            schema_editor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')


def workspace_key() -> models.OneToOneField:
    return models.OneToOneField(
        on_delete=django.db.models.deletion.CASCADE,
        primary_key=True,
        related_name="+",
        serialize=False,
        to="accounts.workspace",
    )


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0012_personal_workspaces"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("generations", "0030_audiences"),
    ]
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.DeleteModel("QueueShare"), migrations.DeleteModel("StorageUsage")]
        ),
        migrations.CreateModel(
            name="QueueShare",
            fields=[
                ("workspace", workspace_key()),
                (
                    "finish_tag",
                    models.FloatField(
                        default=0.0, help_text="Virtual seconds: where the workspace's next one begins."
                    ),
                ),
            ],
            options={"db_table": "generations_workspaceshare"},
        ),
        migrations.CreateModel(
            name="StorageUsage",
            fields=[
                ("workspace", workspace_key()),
                ("stored_bytes", models.BigIntegerField(db_default=0, default=0)),
            ],
            options={"db_table": "generations_workspaceusage"},
        ),
        migrations.CreateModel(
            name="MemberMonth",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("month", models.DateField(help_text="Its first day.")),
                ("jobs", models.PositiveIntegerField(default=0)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.workspace"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("workspace", "user", "month"), name="member_month_once")
                ]
            },
        ),
        migrations.RunPython(copy, migrations.RunPython.noop, elidable=True),
        migrations.RunPython(let_go, migrations.RunPython.noop),
    ]
