"""Lines are counted by workspace; what one person has in play is found among all that is."""

from django.db import migrations

from generations.migrations._concurrently import RemoveIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("generations", "0031_shares_of_workspaces")]
    operations = [
        RemoveIndexConcurrently("generation", "generation_in_play"),
        RemoveIndexConcurrently("generation", "generation_held"),
    ]
