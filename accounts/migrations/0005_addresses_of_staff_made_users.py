from django.db import migrations


def vouch(apps, schema_editor):
    """Who has no row was made by staff: signing up always writes one. Whoever runs the site vouches for the address."""
    User, EmailAddress = apps.get_model("accounts", "User"), apps.get_model("account", "EmailAddress")
    listed = EmailAddress.objects.values("user")
    rows = [
        EmailAddress(user_id=pk, email=email.lower(), verified=True, primary=True)
        for pk, email in User.objects.exclude(pk__in=listed).values_list("pk", "email").iterator()
    ]
    EmailAddress.objects.bulk_create(rows, batch_size=1000, ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_max_sockets"), ("account", "0009_emailaddress_unique_primary_email")]
    operations = [migrations.RunPython(vouch, migrations.RunPython.noop, elidable=True)]
