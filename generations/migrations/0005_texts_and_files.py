"""What older generations would have had from the start: their texts, the files among their inputs, ids of texts."""

import uuid

from django.db import migrations

TEXTS = {"text", "string"}
FILES = {"image", "mask", "video", "audio"}


def fill(apps, schema_editor):
    Generation = apps.get_model("generations", "Generation")
    Asset = apps.get_model("generations", "Asset")
    Output = apps.get_model("generations", "Output")
    for generation in Generation.objects.select_related("version").only("inputs", "version__parameters").iterator():
        kinds = {each["name"]: each["type"] for each in generation.version.parameters}
        given = {name: str(value) for name, value in generation.inputs.items() if value is not None}
        text = " ".join(value for name, value in given.items() if kinds.get(name) in TEXTS)
        Generation.objects.filter(pk=generation.pk).update(text=text.casefold()[:4000])
        files = [value for name, value in given.items() if kinds.get(name) in FILES]
        if files:
            generation.input_assets.set(Asset.objects.filter(pk__in=files))
    for output in Output.objects.filter(asset=None).iterator():
        stable = uuid.uuid5(output.generation_id, str(output.position))  # as the API called it until now
        Output.objects.filter(pk=output.pk).update(public_id=stable)


class Migration(migrations.Migration):
    dependencies = [("generations", "0004_api")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
