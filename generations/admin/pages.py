"""What the admin's pages about one template have in common."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from generations.models import WorkflowTemplate


class TemplatePages:
    """Views that the admin of templates puts into its addresses. They are for staff; each asks for the permission
    itself.
    """

    def __init__(self, admin: Any) -> None:
        self.admin = admin

    def look_up(self, request: HttpRequest, pk: int) -> WorkflowTemplate:
        """The template, for somebody who may change it; PermissionDenied, Http404."""
        found: WorkflowTemplate = self.admin.look_up(request, pk)
        return found


def to_studio(template: WorkflowTemplate) -> HttpResponse:
    """The page of its studio."""
    return HttpResponseRedirect(reverse("admin:template_studio", args=[template.pk]))


def is_number(text: str) -> bool:
    """True for what int() and the database take: isdecimal() alone lets 5,000 digits through."""
    return text.isascii() and text.isdecimal() and len(text) <= 9
