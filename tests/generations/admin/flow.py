"""What a browser does on the pages that make a version."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from generations.comfy.graph import Graph
from generations.models import WorkflowTemplate

Place = tuple[str, str]


def address(template: WorkflowTemplate) -> str:
    """Where a new version of it is made."""
    return f"/admin/generations/workflowtemplate/{template.pk}/new-version/"


def paste(admin: Client, template: WorkflowTemplate, workflow: str | Graph) -> Any:
    """The answer to a pasted workflow."""
    text = workflow if isinstance(workflow, str) else json.dumps(workflow)
    return admin.post(address(template), {"workflow": text})


def form_of(page: Any, place: Place) -> Any:
    """The form of one input."""
    return next(
        form for form in page.context["formset"] if (form.initial["node_id"], form.initial["input_name"]) == place
    )


def filled(page: Any, ticked: set[Place], *, changes: dict[tuple[str, str, str], Any] | None = None) -> dict[str, Any]:
    """What a browser sends with these inputs ticked: as the script has it, nothing of all others.

    `changes`: (node id, input name, setting) -> what is typed in.
    """
    formset = page.context["formset"]
    data: dict[str, Any] = {"step": "expose", "workflow": page.context["graph_text"]}
    data |= {f"{formset.prefix}-{key}": value for key, value in formset.management_form.initial.items()}
    for form in formset:
        place = (form.initial["node_id"], form.initial["input_name"])
        if place not in ticked:
            continue
        data[form["is_exposed"].html_name] = "on"
        for field in form:
            value = (changes or {}).get((*place, field.name), field.value())
            if field.name != "is_exposed" and value not in {False, None}:
                data[field.html_name] = "on" if value is True else value
    return data


def save(admin: Client, template: WorkflowTemplate, page: Any, ticked: set[Place], **options: Any) -> Any:
    """The answer to the second page; `publish` and `note` are its buttons and fields."""
    buttons = {key: options.pop(key) for key in ("publish", "note") if key in options}
    return admin.post(address(template), filled(page, ticked, **options) | buttons)
