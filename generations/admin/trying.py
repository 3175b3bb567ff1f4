"""A draft as users would see it: its form, a run of it, and a picture from its results."""

from __future__ import annotations

from typing import Any

from csp.constants import SELF
from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_GET, require_POST

from accounts.access import user_of
from generations.admin.pages import TemplatePages, to_studio
from generations.models import Asset, WorkflowTemplate
from generations.parameters.form import parameters_form
from generations.parameters.hints import with_hints
from generations.scheduling import catalogs, fitness
from generations.studio import checks, covers, drafts, publishing
from generations.web import runs

COVERS = 12
# The preview is what users see, under the rules of their pages, and shown inside the studio.
PREVIEW_POLICY = {"script-src": [SELF], "style-src": [SELF], "frame-ancestors": [SELF]}


class TryPages(TemplatePages):
    """The studio's preview, and what it sends."""

    def urls(self) -> list[URLPattern]:
        """Below the studio's address."""
        wrap = self.admin.admin_site.admin_view
        preview = require_GET(xframe_options_sameorigin(self.preview))
        return [
            path("<int:pk>/studio/preview/", wrap(preview), name="studio_preview"),
            path("<int:pk>/studio/try/", wrap(require_POST(self.try_it)), name="studio_try"),
            path("<int:pk>/studio/cover/", wrap(require_POST(self.cover)), name="studio_cover"),
        ]

    def preview(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The form as users will see it, for a frame of the studio."""
        template = self.look_up(request, pk)
        form = parameters_form(self._previewed(template))
        context = {"template": template, "form": form, "action": reverse("admin:studio_try", args=[template.pk])}
        return _as_preview(render(request, "generations/preview.html", context))

    @staticmethod
    def _previewed(template: WorkflowTemplate) -> Any:
        draft = drafts.draft_of(template)
        parameters = checks.valid_parameters(draft)
        current = fitness.Fleet.now().with_current_choices(parameters, draft.graph, checks.needs_of(draft))
        return with_hints(current, checks.resolved_inputs(draft, template.versions.first(), catalogs.known_nodes()))

    def try_it(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Run the draft for the admin alone: it becomes a version that is not published."""
        template = self.look_up(request, pk)
        form = parameters_form(self._previewed(template), data=request.POST, files=request.FILES)
        try:
            version = publishing.freeze(template, user_of(request), object_info=catalogs.known_nodes())
        except publishing.DraftError as error:
            form.add_error(None, f"The draft cannot run yet. {error}")
            version = None
        action = reverse("admin:studio_try", args=[template.pk])
        return _as_preview(runs.run(request, template, version, form, action=action))

    def cover(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make one of the admin's own results the template's picture; without `asset`, list them."""
        template = self.look_up(request, pk)
        mine = Asset.objects.for_member(request.user).filter(
            output__generation__version__template=template, content_type__startswith="image/"
        )
        chosen = request.POST.get("asset", "")
        if not chosen:
            found = mine.exclude(thumbnail_key="").order_by("-created_at")[:COVERS]
            return render(request, "admin/generations/_covers.html", {"template": template, "assets": found})
        asset = get_object_or_404(mine, pk=_uuid(chosen))
        try:
            covers.set_cover_from(template, asset)
        except ValueError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, "This result is now the cover.")
        return to_studio(template)


def _uuid(text: str) -> str:
    try:
        return str(forms.UUIDField().clean(text))
    except forms.ValidationError:
        raise Http404 from None


def _as_preview(response: HttpResponse) -> HttpResponse:
    response._csp_replace = PREVIEW_POLICY  # type: ignore[attr-defined]  # read by csp.middleware
    return response
