"""Generations, files and webhooks get a workspace. It stays empty until the next migration fills it in."""

import django.db.models.deletion
from django.db import migrations, models

from generations.migrations._concurrently import AddEmptyForeignKey


def _column(model_name: str) -> AddEmptyForeignKey:
    return AddEmptyForeignKey(
        model_name=model_name,
        name="workspace",
        field=models.ForeignKey(
            db_index=False,
            editable=False,
            null=True,
            on_delete=django.db.models.deletion.CASCADE,
            related_name="+",
            to="accounts.workspace",
        ),
    )


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("accounts", "0012_personal_workspaces"), ("generations", "0026_withdrawals")]
    operations = [_column("generation"), _column("asset"), _column("webhook")]
