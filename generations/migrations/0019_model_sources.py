from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('generations', '0018_import_notes'),
    ]

    operations = [
        migrations.AddField(
            model_name='workflowtemplate',
            name='model_sources',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict, editable=False, help_text='What the imported file says of its model files: {name: {url, directory}}.'),
        ),
    ]
