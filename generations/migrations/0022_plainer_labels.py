"""Labels of fields and a status in the admin; the database stays as it is."""

import django.core.validators
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('generations', '0021_plainer_help_texts'),
    ]

    operations = [
        migrations.AlterField(
            model_name='comfyserver',
            name='is_draining',
            field=models.BooleanField(default=False, help_text='Give it no new work, but let it finish what it has: before maintenance.', verbose_name='draining'),
        ),
        migrations.AlterField(
            model_name='comfyserver',
            name='is_enabled',
            field=models.BooleanField(default=True, help_text='Give it work. When you switch it off, its work goes to other servers at once.', verbose_name='enabled'),
        ),
        migrations.AlterField(
            model_name='comfyserver',
            name='seen_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='last seen'),
        ),
        migrations.AlterField(
            model_name='generation',
            name='error_node_id',
            field=models.CharField(blank=True, max_length=200, verbose_name='error node ID'),
        ),
        migrations.AlterField(
            model_name='generation',
            name='id',
            field=models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False, verbose_name='ID'),
        ),
        migrations.AlterField(
            model_name='generation',
            name='prompt_id',
            field=models.UUIDField(help_text="ComfyUI's id of the current attempt.", unique=True, verbose_name='prompt ID'),
        ),
        migrations.AlterField(
            model_name='generation',
            name='status',
            field=models.CharField(choices=[('queued', 'Queued'), ('submitted', 'Waiting'), ('running', 'Running'), ('storing', 'Saving results'), ('succeeded', 'Done'), ('failed', 'Failed'), ('canceled', 'Canceled')], default='queued', max_length=12),
        ),
        migrations.AlterField(
            model_name='webhook',
            name='is_enabled',
            field=models.BooleanField(default=True, verbose_name='enabled'),
        ),
        migrations.AlterField(
            model_name='webhook',
            name='is_for_every_job',
            field=models.BooleanField(default=True, help_text='Send events of every job. Off: only of jobs that name it.', verbose_name='for every job'),
        ),
        migrations.AlterField(
            model_name='workflowtemplate',
            name='credits_cost',
            field=models.PositiveIntegerField(default=1, help_text='Credits that one run costs.', verbose_name='cost in credits'),
        ),
        migrations.AlterField(
            model_name='workflowtemplate',
            name='time_limit_seconds',
            field=models.PositiveIntegerField(default=3600, help_text='A run that ComfyUI works on for longer is stopped and counts as failed.', validators=[django.core.validators.MinValueValidator(1)], verbose_name='time limit (seconds)'),
        ),
    ]
