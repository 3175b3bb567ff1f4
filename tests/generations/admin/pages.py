"""The studio's pages, as a browser asks for them."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from generations.models import WorkflowTemplate
from generations.studio import drafts

BASE = "/admin/generations/workflowtemplate/"
HTMX = {"HX-Request": "true"}


def address(template: WorkflowTemplate, path: str = "") -> str:
    """Of the studio's page, or of something below it."""
    return f"{BASE}{template.pk}/studio/{path}"


def upload(admin: Client, content: bytes, name: str = "cats.png", **data: Any) -> Any:
    """Drop a file on the import."""
    return admin.post(f"{BASE}import/", {"file": SimpleUploadedFile(name, content), **data})


def post(admin: Client, template: WorkflowTemplate, path: str, **data: Any) -> Any:
    """A click in the studio, as its page sends it."""
    return admin.post(address(template, path), data, headers=HTMX)


def draft_names(template: WorkflowTemplate) -> list[str]:
    """The parameters' names, in order."""
    return [each["name"] for each in drafts.draft_of(template).parameters]
