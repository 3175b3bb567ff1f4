"""Who asked for mails about long runs, by how far they heard of them: built beside the running release."""

from django.db import migrations, models

from accounts.migrations._concurrently import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("accounts", "0017_notices")]
    operations = [
        AddIndexConcurrently(
            "user",
            models.Index(
                models.F("notified_until"),
                condition=models.Q(("notify_after_minutes__isnull", False)),
                name="user_notified",
            ),
        ),
    ]
