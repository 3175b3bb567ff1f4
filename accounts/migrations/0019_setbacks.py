"""What housekeeping failed at, object by object."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0018_index_of_notices'),
    ]

    operations = [
        migrations.CreateModel(
            name='Setback',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('task', models.CharField(max_length=40)),
                ('object_id', models.BigIntegerField()),
                ('failures', models.PositiveSmallIntegerField(default=0)),
                ('retry_at', models.DateTimeField()),
                ('error', models.CharField(blank=True, help_text='Why it failed the last time.', max_length=300)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('task', 'object_id'), name='setback_once')],
            },
        ),
    ]
