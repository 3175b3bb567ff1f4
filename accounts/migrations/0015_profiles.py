"""Time zones and pictures of people."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0014_plans_of_workspaces'),
    ]

    operations = [
        migrations.CreateModel(
            name='Avatar',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='avatar', serialize=False, to=settings.AUTH_USER_MODEL)),
                ('picture', models.BinaryField(help_text='WebP, at most 512 pixels wide and high.')),
            ],
        ),
        migrations.AddField(
            model_name='user',
            name='avatar_hash',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=16),
        ),
        migrations.AddField(
            model_name='user',
            name='time_zone',
            field=models.CharField(blank=True, db_default='', default='', help_text='In which pages show moments. Empty: UTC.', max_length=64),
        ),
    ]
