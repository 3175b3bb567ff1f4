"""Templates that a new installation begins with: real ComfyUI graphs that the bundled simulator runs, too."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from django.db import transaction

from generations.comfy import queued
from generations.models import WorkflowTemplate
from generations.scheduling import catalogs
from generations.studio import packages, publishing


def starters() -> list[dict[str, Any]]:
    """The template packages in this folder, in the gallery's order."""
    found = [json.loads(entry.read_text()) for entry in files(__name__).iterdir() if entry.name.endswith(".json")]
    return sorted(found, key=lambda package: package["position"])


def install() -> list[WorkflowTemplate]:
    """Add and publish the starters whose slug is not taken. Returns the new ones; repeating it adds nothing."""
    added = []
    for starter in starters():
        package = packages.read({"revision": packages.REVISION, **starter})
        with transaction.atomic():
            template, is_new = WorkflowTemplate.objects.get_or_create(
                slug=starter["slug"], defaults={**package.details, "position": starter["position"]}
            )
            if is_new:
                version = template.add_version(
                    graph=package.graph,
                    parameters=package.parameters,
                    output_nodes=package.output_nodes,
                    resolved_inputs=queued.inputs_to_resolve(package.graph, catalogs.known_nodes()),
                    safety_node=package.safety_node,
                    note="Starter",
                )
                # A new installation has no server yet: whether one can run it shows later.
                publishing.publish(template, version, user=None, object_info=None, is_confirmed=True)
                added.append(template)
    return added
