"""Invitations count their mails, each of which makes the next one wait longer."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0019_setbacks'),
    ]

    operations = [
        migrations.AddField(
            model_name='invitation',
            name='mails',
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False, help_text='How many were written.'),
        ),
    ]
