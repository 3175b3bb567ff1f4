"""Which catalog each server has now, what it has loaded, and which inputs a version's nodes are given."""

from django.db import migrations, models

from generations.comfy.catalog import digest_of, node_needs


def fill(apps, schema_editor):
    ComfyServer = apps.get_model("generations", "ComfyServer")
    for pk, object_info in ComfyServer.objects.exclude(object_info=None).values_list("pk", "object_info").iterator(1):
        ComfyServer.objects.filter(pk=pk).update(catalog_digest=digest_of(object_info))
    TemplateVersion = apps.get_model("generations", "TemplateVersion")
    for version in TemplateVersion.objects.exclude(template=None).only("graph", "parameters").iterator(50):
        bound = {(at["node_id"], at["input_name"]) for each in version.parameters for at in each["bindings"]}
        needs = node_needs(version.graph, leaving_out=bound)
        TemplateVersion.objects.filter(pk=version.pk).update(required_inputs=needs)


class Migration(migrations.Migration):

    dependencies = [
        ('generations', '0010_workflow_is_removed'),
    ]

    operations = [
        migrations.AddField(
            model_name='comfyserver',
            name='catalog_digest',
            field=models.CharField(blank=True, db_default='', default='', editable=False, help_text='Of object_info: whoever keeps something made of that looks here whether it is still true.', max_length=32),
        ),
        migrations.AddField(
            model_name='comfyserver',
            name='loaded_models',
            field=models.JSONField(blank=True, editable=False, help_text='Model files of the last work that named some.', null=True),
        ),
        migrations.AddField(
            model_name='templateversion',
            name='required_inputs',
            field=models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list, help_text='Per kind of node: [class, {input: fixed number, or null}, classes at the ends of what it feeds].'),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
