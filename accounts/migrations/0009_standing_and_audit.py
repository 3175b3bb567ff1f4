"""Suspension of people, and the audit log, whose rows PostgreSQL lets nobody change or delete."""

from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

_ADD = [
    """
    CREATE FUNCTION accounts_auditentry_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'The audit log is only ever added to'; END $$
    """,
    """
    CREATE TRIGGER accounts_auditentry_append_only BEFORE UPDATE OR DELETE ON accounts_auditentry
    FOR EACH ROW EXECUTE FUNCTION accounts_auditentry_append_only()
    """,
]
_REMOVE = [
    "DROP TRIGGER IF EXISTS accounts_auditentry_append_only ON accounts_auditentry",
    "DROP FUNCTION IF EXISTS accounts_auditentry_append_only()",
]


def add_guard(apps: Any, schema_editor: Any) -> None:
    """Not on SQLite, which drops triggers whenever Django changes the table."""
    if schema_editor.connection.vendor == "postgresql":
        for statement in _ADD:
            schema_editor.execute(statement)


def remove_guard(apps: Any, schema_editor: Any) -> None:
    """The table goes next."""
    if schema_editor.connection.vendor == "postgresql":
        for statement in _REMOVE:
            schema_editor.execute(statement)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0008_plainer_labels'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='user',
            options={'permissions': [('suspend_user', 'Can suspend and reinstate people, and sign them out'), ('impersonate_user', 'Can impersonate people')]},
        ),
        migrations.AddField(
            model_name='user',
            name='session_epoch',
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False, help_text='Counts up when all sessions end at once.'),
        ),
        migrations.AddField(
            model_name='user',
            name='suspended_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='user',
            name='suspended_by',
            field=models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='user',
            name='suspension_reason',
            field=models.TextField(blank=True, db_default='', default='', editable=False),
        ),
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name='time')),
                ('actor_label', models.CharField(max_length=254, verbose_name='by')),
                ('verb', models.CharField(max_length=60, verbose_name='what')),
                ('target_type', models.CharField(max_length=60)),
                ('target_id', models.CharField(max_length=64)),
                ('target_label', models.CharField(max_length=254, verbose_name='to')),
                ('address', models.CharField(blank=True, help_text='Of IPv6, the network.', max_length=64, verbose_name='from')),
                ('details', models.JSONField(default=dict)),
                ('actor', models.ForeignKey(db_constraint=False, db_index=False, help_text="The member of staff. Empty: an operator's command.", null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('person', models.ForeignKey(db_constraint=False, db_index=False, help_text='Whom it concerns: the owner of the target, or the target.', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name_plural': 'audit entries',
                'indexes': [models.Index(fields=['-at', '-id'], name='audit_newest'), models.Index(fields=['person', '-at', '-id'], name='audit_person'), models.Index(fields=['actor', '-at', '-id'], name='audit_actor')],
            },
        ),
        migrations.RunPython(add_guard, remove_guard),
    ]
