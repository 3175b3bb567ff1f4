"""Templates that a new installation begins with: real ComfyUI graphs that the bundled simulator runs, too."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from django.db import transaction

from generations.comfy.graph import load_api_graph
from generations.models import WorkflowTemplate
from generations.parameters.schema import check_bindings, parse_parameters


def packages() -> list[dict[str, Any]]:
    """The starters as they lie in this folder, in the gallery's order."""
    found = [json.loads(entry.read_text()) for entry in files(__name__).iterdir() if entry.name.endswith(".json")]
    return sorted(found, key=lambda package: package["position"])


def install() -> list[WorkflowTemplate]:
    """Add and publish the starters whose slug is not taken. Returns the new ones; repeating it adds nothing."""
    added = []
    for package in packages():
        graph = load_api_graph(package["graph"])
        check_bindings(parse_parameters(package["parameters"]), graph)
        with transaction.atomic():
            template, is_new = WorkflowTemplate.objects.get_or_create(
                slug=package["slug"],
                defaults={key: package[key] for key in ("title", "description", "tags", "position")},
            )
            if is_new:
                template.add_version(graph=graph, parameters=package["parameters"], note="Starter", publish=True)
                added.append(template)
    return added
