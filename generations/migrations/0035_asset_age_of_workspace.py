"""Uploads of a workspace by their age: plans say how long they are kept."""

from django.db import migrations, models

from generations.migrations._concurrently import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("generations", "0034_exports")]
    operations = [
        AddIndexConcurrently(
            "asset", models.Index(fields=["workspace", "created_at"], name="asset_age_of_workspace")
        ),
    ]
