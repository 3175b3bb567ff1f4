"""Deleting generations with everything that belongs to them alone."""

from __future__ import annotations

from django.db import transaction

from generations.files.assets import discard
from generations.models import (
    Asset,
    Generation,
    TemplateVersion,
)


def remove_outputs(generation: Generation) -> None:
    """Delete its results, inside a transaction."""
    discard(Asset.objects.filter(output__generation=generation))
    generation.outputs.all().delete()


def remove(generation: Generation) -> None:
    """Delete it for good, with its outputs and their files, and the workflow that was sent for it alone."""
    with transaction.atomic():
        remove_outputs(generation)
        version_id = generation.version_id
        generation.delete()
        TemplateVersion.objects.unused_raw().filter(pk=version_id).delete()
