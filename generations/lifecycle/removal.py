"""Deleting generations with everything that belongs to them alone."""

from __future__ import annotations

import uuid

from celery import shared_task
from django.db import transaction
from django.db.models import Q

from generations.files import storage
from generations.files.assets import discard, discard_files
from generations.models import (
    Asset,
    Generation,
    TemplateVersion,
)
from generations.models.generation import TERMINAL, GenerationQuerySet


def remove_outputs(generation: Generation) -> None:
    """Delete its results, inside a transaction."""
    discard(Asset.objects.filter(output__generation=generation))
    generation.outputs.all().delete()


def remove(generation: Generation) -> None:
    """Delete it for good, with its outputs and their files, and the workflow that was sent for it alone."""
    with transaction.atomic():
        _remove(Generation.objects.filter(pk=generation.pk).select_for_update(of=("self",)))


def remove_some(generations: GenerationQuerySet, size: int) -> int:
    """`remove` the first `size` of those that are finished, in one transaction. How many that were.

    Those that somebody else deletes at this moment are left out, so that neither waits for the other.
    """
    with transaction.atomic():
        finished = generations.filter(status__in=TERMINAL).select_for_update(of=("self",), skip_locked=True)
        return _remove(finished[:size])


def _remove(locked: GenerationQuerySet) -> int:
    """The generations first, then what belongs to them: whoever deletes any locks them in this order."""
    versions = dict(locked.values_list("pk", "version_id"))
    discard(Asset.objects.filter(output__generation__in=versions))
    Generation.objects.filter(pk__in=versions).only("pk").delete()
    TemplateVersion.objects.unused_raw().filter(pk__in=set(versions.values())).delete()
    return len(versions)


@shared_task(name="generations.tasks.discard_leftovers", ignore_result=True)
def discard_leftovers(generation_id: str) -> None:
    """Remove the files of attempts that came to nothing, once the generation is finished.

    A relay that is killed between copying and writing the rows leaves some, and so does one that leaves the rest of a
    result to a worker. They are not overwritten if the server forgets the run, or its owner cancels it.
    """
    found = {key for key, _changed_at in storage.walk(storage.output_prefix(uuid.UUID(generation_id)))}
    named = Asset.objects.filter(Q(key__in=found) | Q(thumbnail_key__in=found)).values_list("key", "thumbnail_key")
    discard_files(found - {key for pair in named for key in pair})
