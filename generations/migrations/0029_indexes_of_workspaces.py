"""Indexes that begin with the workspace, built when the rows have one."""

from django.db import migrations, models

from generations.migrations._concurrently import AddIndexConcurrently, RemoveIndexConcurrently

IN_PLAY = models.Q(status__in=("queued", "submitted", "running"), tag__isnull=False)
HELD = models.Q(status="queued", tag__isnull=True)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("generations", "0028_personal_rows")]
    operations = [
        AddIndexConcurrently(
            "generation", models.Index(fields=["workspace", "-created_at", "-id"], name="generation_of_workspace")
        ),
        AddIndexConcurrently(
            "generation",
            models.Index(fields=["workspace", "status", "-created_at", "-id"], name="generation_by_status"),
        ),
        AddIndexConcurrently(
            "generation",
            models.Index(fields=["workspace"], name="generation_play_of_workspace", condition=IN_PLAY),
        ),
        AddIndexConcurrently(
            "generation",
            models.Index(fields=["workspace", "created_at", "id"], name="generation_held_of_workspace", condition=HELD),
        ),
        AddIndexConcurrently("asset", models.Index(fields=["workspace", "hash"], name="asset_of_workspace")),
        AddIndexConcurrently("webhook", models.Index(fields=["workspace"], name="webhook_of_workspace")),
        RemoveIndexConcurrently("generation", "generation_history_by_status"),
    ]
