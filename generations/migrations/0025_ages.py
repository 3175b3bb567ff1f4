"""Indexes by age, for what is deleted when it is old, and for staff's list of generations."""

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from generations.migrations._concurrently import AddIndexConcurrently


def _index_of_users(apps: Any, schema_editor: Any) -> str:
    """The name of the index that Django makes for the foreign key."""
    model = apps.get_model("generations", "Generation")
    name = schema_editor._create_index_name(model._meta.db_table, ["user_id"], suffix="")
    return str(schema_editor.quote_name(name))


def _beside(schema_editor: Any) -> str:
    return "CONCURRENTLY" if schema_editor.connection.vendor == "postgresql" else ""


def drop(apps: Any, schema_editor: Any) -> None:
    schema_editor.execute(f"DROP INDEX {_beside(schema_editor)} IF EXISTS {_index_of_users(apps, schema_editor)}")


def make(apps: Any, schema_editor: Any) -> None:
    name = _index_of_users(apps, schema_editor)
    schema_editor.execute(f"CREATE INDEX {_beside(schema_editor)} {name} ON generations_generation (user_id)")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("generations", "0024_in_play"),
    ]
    operations = [
        AddIndexConcurrently("asset", models.Index(fields=["created_at"], name="asset_age")),
        AddIndexConcurrently("webhookdelivery", models.Index(fields=["created_at"], name="delivery_age")),
        AddIndexConcurrently("generation", models.Index(fields=["-created_at", "-id"], name="generation_newest")),
        AddIndexConcurrently(
            "generation",
            models.Index(
                condition=models.Q(("finished_at__isnull", False)), fields=["finished_at"], name="generation_finished"
            ),
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="generation",
                    name="user",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="generations",
                        to=settings.AUTH_USER_MODEL,
                    ),
                )
            ],
            database_operations=[migrations.RunPython(drop, make)],
        ),
    ]
