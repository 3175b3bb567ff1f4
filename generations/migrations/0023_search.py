"""An index over the texts of generations. It is made beside the running release: see `generations.models.searching`."""

from typing import Any

from django.db import migrations

from generations.models import searching


def make(apps: Any, schema_editor: Any) -> None:
    searching.ensure(schema_editor.connection)


def drop(apps: Any, schema_editor: Any) -> None:
    searching.drop(schema_editor.connection)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("generations", "0022_plainer_labels")]
    operations = [migrations.RunPython(make, drop)]
