"""One index over what is in line or on a server, for one count of both, instead of one for each."""

from django.db import migrations, models

from generations.migrations._concurrently import AddIndexConcurrently, RemoveIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("generations", "0023_search")]

    operations = [
        AddIndexConcurrently(
            "generation",
            models.Index(
                fields=["user"],
                name="generation_in_play",
                condition=models.Q(status__in=("queued", "submitted", "running"), tag__isnull=False),
            ),
        ),
        RemoveIndexConcurrently("generation", "generation_line_of_user"),
        RemoveIndexConcurrently("generation", "generation_upstream_of_user"),
    ]
