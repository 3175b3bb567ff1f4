"""The bytes of results and covers, for those who may see them."""

from __future__ import annotations

import uuid

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponseBase
from django.views.decorators.http import require_safe

from generations.files import delivery
from generations.models import Asset, WorkflowTemplate


@login_required
@require_safe
def asset(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """A file of one of the user's workspaces; `?download=1` saves it instead of showing it."""
    return delivery.serve(request, _mine(request, pk), is_download="download" in request.GET)


@login_required
@require_safe
def thumbnail(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """The thumbnail of a file of one of the user's workspaces."""
    return delivery.serve_thumbnail(_mine(request, pk))


@login_required
@require_safe
def cover(request: HttpRequest, slug: str) -> HttpResponseBase:
    """The cover of a template that the user may run in one of their workspaces."""
    user = request.user
    template = WorkflowTemplate.objects.visible_somewhere_to(user).filter(slug=slug).exclude(cover="").first()
    if template is None:
        raise Http404
    return delivery.serve_picture(template.cover.name or "")


def _mine(request: HttpRequest, pk: uuid.UUID) -> Asset:
    found = Asset.objects.for_member(request.user).filter(pk=pk).first()
    if found is None:
        raise Http404
    return found
