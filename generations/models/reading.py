"""One generation as members read it: what programs poll for, so it is asked in kept statements."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db.models import BigIntegerField, UUIDField

from accounts.statements import Kept, Slot
from generations.models.asset import Output
from generations.models.generation import ACTIVE, Generation, Status
from generations.models.template import TemplateVersion

if TYPE_CHECKING:
    from accounts.models import Workspace

LARGE = ("graph", "parameters", "editor", "required_inputs", "required_choices")  # columns of a version
_PK = Slot("pk", UUIDField())
_MINE = Kept(
    lambda: (
        Generation.objects.filter(pk=_PK, workspace=Slot("workspace", BigIntegerField()))
        .select_related("version__template", "user")
        .defer(*(f"version__{name}" for name in LARGE))
    )
)
_OUTPUTS = Kept(lambda: Output.objects.filter(generation=_PK).select_related("asset").order_by("position"))
_SHOWS_NONE = {*ACTIVE, Status.CANCELED} - {Status.STORING}


def read(workspace: Workspace, pk: uuid.UUID) -> Generation | None:
    """This workspace's generation with everything that describing it to members reads, in two statements at most.
    None: there is no such one.
    """
    generation = _MINE.first(pk=pk, workspace=workspace.pk)
    if generation is None:
        return None
    generation.workspace = workspace
    complete(generation)
    if generation.status not in _SHOWS_NONE:
        attach(generation, _OUTPUTS.all(pk=pk))
    return generation


def complete(generation: Generation) -> None:
    """Give it what never changes of its version, which may be large, and which the process has."""
    if LARGE[0] in generation.version.get_deferred_fields():
        template = generation.version.template
        generation.version = TemplateVersion.objects.kept(generation.version_id)
        generation.version.template = template


def attach(generation: Generation, outputs: Sequence[Output]) -> None:
    """Let this object know its outputs without a query, as prefetch_related would."""
    rows = generation.outputs.all()
    rows._result_cache, rows._prefetch_done = list(outputs), True  # type: ignore[attr-defined]  # as Django does it
    generation._prefetched_objects_cache = {"outputs": rows}  # type: ignore[attr-defined]
