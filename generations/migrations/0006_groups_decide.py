"""ComfyUI's history may be kept; ticked groups alone decide who sees a template."""

from django.db import migrations, models


def restrict(apps, schema_editor):
    """Groups were ticked, but had no effect before "visibility" was changed, too. The form shows them as the rule."""
    WorkflowTemplate = apps.get_model("generations", "WorkflowTemplate")
    WorkflowTemplate.objects.filter(groups__isnull=False).update(visibility="groups")


class Migration(migrations.Migration):
    dependencies = [("auth", "0012_alter_user_first_name_max_length"), ("generations", "0005_texts_and_files")]
    operations = [
        migrations.AddField(
            model_name="comfyserver",
            name="is_history_kept",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text=(
                    "Leave finished jobs in ComfyUI's history. Off: each is deleted there once its results are stored."
                ),
                verbose_name="keep history",
            ),
        ),
        migrations.AlterField(
            model_name="workflowtemplate",
            name="groups",
            field=models.ManyToManyField(
                blank=True,
                help_text="Only members of the ticked groups see it. Tick none, and everyone who is signed in does.",
                to="auth.group",
                verbose_name="who sees it",
            ),
        ),
        migrations.RunPython(restrict, migrations.RunPython.noop),
    ]
