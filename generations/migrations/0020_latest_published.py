"""`published_at` says when a version was last published: of an older version that is published again, that moment."""

from typing import Any

from django.db import migrations, models
from django.db.models import F
from django.utils import timezone


def note_rolled_back(apps: Any, schema_editor: Any) -> None:
    """What users run was published last, also where a newer version was published for the first time after it."""
    versions = apps.get_model("generations", "TemplateVersion").objects
    versions.filter(
        template__published_version=F("pk"), template__versions__published_at__gt=F("published_at")
    ).update(published_at=timezone.now())


class Migration(migrations.Migration):
    dependencies = [("generations", "0019_model_sources")]

    operations = [
        migrations.AlterField(
            model_name="templateversion",
            name="published_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="When it was last published. Empty: it was only tried.",
                null=True,
            ),
        ),
        migrations.RunPython(note_rolled_back, migrations.RunPython.noop),
    ]
