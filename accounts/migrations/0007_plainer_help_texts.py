"""Texts of fields in the admin; the database stays as it is."""

import accounts.models
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0006_quotas'),
    ]

    operations = [
        migrations.AlterField(
            model_name='apikey',
            name='requests_per_minute',
            field=models.PositiveIntegerField(default=0, help_text="Requests that this key may make. 0 means that only the user's limit counts."),
        ),
        migrations.AlterField(
            model_name='apikey',
            name='scopes',
            field=models.JSONField(default=accounts.models.all_scopes, help_text='What the key may do.'),
        ),
        migrations.AlterField(
            model_name='plan',
            name='max_concurrent',
            field=models.PositiveIntegerField(default=8, help_text='Generations of a user that may run or be next in the queue. Further ones are held.', validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.AlterField(
            model_name='plan',
            name='max_queued',
            field=models.PositiveIntegerField(default=200, help_text='Generations of a user that may wait. Further ones are refused until some are done.', validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.AlterField(
            model_name='plan',
            name='max_sockets',
            field=models.PositiveIntegerField(db_default=100, default=100, help_text='Websockets that a user may have open. A page needs one for each running generation.', validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.AlterField(
            model_name='plan',
            name='max_storage_mb',
            field=models.PositiveIntegerField(db_default=51200, default=51200, help_text="Size of a user's uploads and results. Above it, new uploads and new jobs are refused; results of accepted jobs are kept. 0 means no limit.", verbose_name='max storage in MB'),
        ),
        migrations.AlterField(
            model_name='plan',
            name='max_streams',
            field=models.PositiveIntegerField(default=20, help_text='Event streams of the API that a user may have open.', validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.AlterField(
            model_name='plan',
            name='pages_per_minute',
            field=models.PositiveIntegerField(db_default=3000, default=3000, help_text='Pages, and pictures in them, that a user may open. 0 means no limit.'),
        ),
        migrations.AlterField(
            model_name='plan',
            name='priority',
            field=models.SmallIntegerField(default=0, help_text='Users with a higher number always come first. Prefer weights.'),
        ),
        migrations.AlterField(
            model_name='plan',
            name='requests_per_minute',
            field=models.PositiveIntegerField(default=1200, help_text='Requests to the API that a user may make, with all keys together. 0 means no limit.'),
        ),
        migrations.AlterField(
            model_name='plan',
            name='uploads_per_minute',
            field=models.PositiveIntegerField(db_default=300, default=300, help_text='Files that a user may upload, and addresses that a user may have fetched. 0 means no limit.'),
        ),
        migrations.AlterField(
            model_name='plan',
            name='weight',
            field=models.FloatField(default=1.0, help_text='Share of the servers when they are busy: a user with 2 gets twice as much as one with 1.', validators=[django.core.validators.MinValueValidator(0.01)]),
        ),
        migrations.AlterField(
            model_name='user',
            name='plan',
            field=models.ForeignKey(blank=True, help_text="This user's share of the servers, and limits. Empty means the usual ones.", null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='users', to='accounts.plan'),
        ),
    ]
