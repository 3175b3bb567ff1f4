"""Running a generation once more, of a template or a whole workflow: as it was, or nearly."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from generations.comfy.graph import Graph
from generations.comfy.object_info import ObjectInfo, node_spec
from generations.comfy.sketch import editor_workflow
from generations.lifecycle import raw, run_values, services
from generations.lifecycle.services import NOTHING, Extras
from generations.models import Generation
from generations.parameters.schema import MAX_SEED
from generations.parameters.validate import InvalidInputs
from generations.scheduling import catalogs

if TYPE_CHECKING:
    from accounts.models import User


def rerun(
    generation: Generation,
    *,
    by: User,
    is_new_seed: bool,
    changes: Mapping[str, object] | None = None,
    extras: Extras = NOTHING,
) -> Generation:
    """The same version and inputs again: exactly, or with seeds and texts drawn anew, and with `changes` to the inputs.

    It becomes this member's, in the workspace that has the first one.

    Errors as of `services.submit`, for whole workflows as of `raw.submit`; those have no inputs to change.
    """
    version, changes = generation.version, changes or {}
    if version.template_id is None:
        return _rerun_raw(generation, by, changes, extras, is_new_seed=is_new_seed)
    inputs = run_values.unseeded(version.parsed_parameters, generation.inputs) if is_new_seed else generation.inputs
    return services.submit_variations(
        user=by,
        workspace=generation.workspace,
        version=version,
        inputs={**inputs, **changes},
        count=1,
        extras=extras,
        kept=None if is_new_seed else run_values.kept_texts(generation, changes),
    )[0]


def _rerun_raw(
    generation: Generation, by: User, changes: Mapping[str, object], extras: Extras, *, is_new_seed: bool
) -> Generation:
    if changes:
        raise InvalidInputs({name: ["This job is a whole workflow: send the changed one."] for name in changes})
    version = generation.version
    graph = _reseeded(version.graph, catalogs.known_nodes()) if is_new_seed else version.graph
    editor = version.editor and editor_workflow(graph, kept=version.editor, before=version.graph)
    return raw.submit(user=by, workspace=generation.workspace, workflow=graph, editor=editor, extras=extras)


def _reseeded(graph: Graph, object_info: ObjectInfo | None) -> Graph:
    """A copy with a fresh number in every input that is a seed."""
    return {
        node_id: {
            **node,
            "inputs": {
                name: _reseeded_value(object_info, node["class_type"], name, value)
                for name, value in node["inputs"].items()
            },
        }
        for node_id, node in graph.items()
    }


def _reseeded_value(object_info: ObjectInfo | None, class_type: str, name: str, value: object) -> object:
    """A fresh number for a seed; any other value as it is. Of unknown classes, the input's name tells."""
    spec = node_spec(object_info, class_type)
    known = spec.input(name) if spec else None
    is_seed = known.is_seed if known else name in {"seed", "noise_seed"}
    if not is_seed or not isinstance(value, int) or isinstance(value, bool):
        return value
    highest = int(known.max) if known and known.max else MAX_SEED
    return secrets.randbelow(min(highest, MAX_SEED) + 1)
