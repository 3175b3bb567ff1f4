"""People choose whether mails tell them of long runs that ended."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0016_retention_by_plan'),
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.AddField(
            model_name='user',
            name='notified_until',
            field=models.DateTimeField(blank=True, editable=False, help_text='Of runs that ended before, no mail is sent any more.', null=True),
        ),
        migrations.AddField(
            model_name='user',
            name='notify_after_minutes',
            field=models.PositiveSmallIntegerField(blank=True, editable=False, help_text='A mail says when a run that took as long or longer has ended. Empty: none does.', null=True),
        ),
    ]
