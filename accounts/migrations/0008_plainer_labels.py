"""Labels of fields and a status in the admin; the database stays as it is."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_plainer_help_texts'),
    ]

    operations = [
        migrations.AlterField(
            model_name='plan',
            name='max_concurrent',
            field=models.PositiveIntegerField(default=8, help_text='Generations of a user that may run or be next in the queue. Further ones are held.', validators=[django.core.validators.MinValueValidator(1)], verbose_name='max running'),
        ),
        migrations.AlterField(
            model_name='plan',
            name='max_storage_mb',
            field=models.PositiveIntegerField(db_default=51200, default=51200, help_text="Size of a user's uploads and results. Above it, new uploads and new generations are refused; results of accepted ones are kept. 0 means no limit.", verbose_name='max storage in MB'),
        ),
    ]
