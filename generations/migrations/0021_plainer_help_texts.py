"""Texts of fields in the admin; the database stays as it is."""

import django.db.models.deletion
import encrypted_fields.fields
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('generations', '0020_latest_published'),
    ]

    operations = [
        migrations.AlterField(
            model_name='asset',
            name='expires_at',
            field=models.DateTimeField(blank=True, db_index=True, help_text='When it is deleted. Empty: kept as long as everything else.', null=True),
        ),
        migrations.AlterField(
            model_name='asset',
            name='has_audio',
            field=models.BooleanField(blank=True, help_text='Whether a video has sound. Empty: not a video, or not known.', null=True),
        ),
        migrations.AlterField(
            model_name='asset',
            name='key',
            field=models.CharField(db_index=True, help_text='Its key in the storage.', max_length=255),
        ),
        migrations.AlterField(
            model_name='comfyserver',
            name='catalog_digest',
            field=models.CharField(blank=True, db_default='', default='', editable=False, help_text='Digest of object_info. It changes with it, so copies elsewhere are known to be old.', max_length=32),
        ),
        migrations.AlterField(
            model_name='comfyserver',
            name='is_draining',
            field=models.BooleanField(default=False, help_text='Give it no new work, but let it finish what it has: before maintenance.'),
        ),
        migrations.AlterField(
            model_name='comfyserver',
            name='is_enabled',
            field=models.BooleanField(default=True, help_text='Give it work. When you switch it off, its work goes to other servers at once.'),
        ),
        migrations.AlterField(
            model_name='comfyserver',
            name='loaded_models',
            field=models.JSONField(blank=True, editable=False, help_text='Model files of the last generation that named any.', null=True),
        ),
        migrations.AlterField(
            model_name='generation',
            name='avoided_server',
            field=models.ForeignKey(blank=True, help_text='Where it ran last, and should not run next.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='generations.comfyserver'),
        ),
        migrations.AlterField(
            model_name='generation',
            name='cost',
            field=models.FloatField(default=10.0, help_text='How long it is expected to run, in seconds.'),
        ),
        migrations.AlterField(
            model_name='generation',
            name='input_assets',
            field=models.ManyToManyField(blank=True, help_text='Files among the inputs.', related_name='used_by', to='generations.asset'),
        ),
        migrations.AlterField(
            model_name='generation',
            name='inputs',
            field=models.JSONField(default=dict, help_text='Validated inputs. Seeds are strings: the ones that were used.'),
        ),
        migrations.AlterField(
            model_name='generation',
            name='model_files',
            field=models.JSONField(blank=True, default=list, help_text='Model files that it needs: [node class, input, file].'),
        ),
        migrations.AlterField(
            model_name='generation',
            name='partner_key',
            field=encrypted_fields.fields.EncryptedTextField(blank=True, editable=False, help_text='For nodes that call paid services. Deleted when it ends.', null=True),
        ),
        migrations.AlterField(
            model_name='generation',
            name='tag',
            field=models.FloatField(blank=True, help_text='Place in line, in virtual seconds. Empty: held.', null=True),
        ),
        migrations.AlterField(
            model_name='generation',
            name='text',
            field=models.TextField(blank=True, editable=False, help_text='Texts among the inputs, in lower case, to search.'),
        ),
        migrations.AlterField(
            model_name='generation',
            name='webhook',
            field=models.ForeignKey(blank=True, help_text='Gets its events, too.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='generations.webhook'),
        ),
        migrations.AlterField(
            model_name='output',
            name='is_temporary',
            field=models.BooleanField(default=False, help_text="A preview (ComfyUI's type “temp”), not a saved result."),
        ),
        migrations.AlterField(
            model_name='output',
            name='public_id',
            field=models.UUIDField(db_index=True, default=uuid.uuid4, editable=False, help_text='Id of a text or value in the API.'),
        ),
        migrations.AlterField(
            model_name='output',
            name='value',
            field=models.JSONField(blank=True, help_text='The text or value, when it is not a file.', null=True),
        ),
        migrations.AlterField(
            model_name='webhook',
            name='is_for_every_job',
            field=models.BooleanField(default=True, help_text='Send events of every job. Off: only of jobs that name it.'),
        ),
        migrations.AlterField(
            model_name='webhookdelivery',
            name='status_code',
            field=models.PositiveSmallIntegerField(blank=True, help_text='HTTP status of the last answer.', null=True),
        ),
        migrations.AlterField(
            model_name='workflowtemplate',
            name='groups',
            field=models.ManyToManyField(blank=True, help_text='Their members see it, if its visibility says “groups”. Otherwise groups do not matter.', to='auth.group', verbose_name='who sees it'),
        ),
        migrations.AlterField(
            model_name='workflowtemplate',
            name='imported_hash',
            field=models.CharField(blank=True, db_default='', db_index=True, default='', editable=False, help_text='Hash of the file that it was made from, by which the same file is recognized.', max_length=80),
        ),
    ]
