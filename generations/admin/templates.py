"""Workflow templates in the admin: how they present themselves, and their versions."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_GET, require_POST
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts.access import user_of
from generations.admin.edits import EditPages
from generations.admin.forms import TemplateForm
from generations.admin.imports import ImportPages
from generations.admin.pages import is_number
from generations.admin.studio import StudioPages
from generations.admin.trying import TryPages
from generations.files import delivery
from generations.models import TemplateDraft, TemplateVersion, WorkflowTemplate
from generations.scheduling import catalogs, fitness
from generations.studio import covers, drafts, making, packages, publishing
from generations.studio.comparing import compare


@admin.register(WorkflowTemplate)
class TemplateAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """What it is called and who sees it; graphs and parameters live in its versions."""

    form = TemplateForm
    list_display = ("shown_name", "slug", "shown_state", "category", "shown_audience", "position", "updated_at")
    list_filter = ("visibility", "category", ("published_version", admin.EmptyFieldListFilter))
    list_select_related = ("published_version",)
    search_fields = ("title", "slug", "description")
    fields = TemplateForm.Meta.fields
    autocomplete_fields = ("workspaces",)
    conditional_fields = {
        "groups": "visibility == 'groups'",
        "workspaces": "visibility == 'workspaces'",
    }
    change_form_outer_after_template = "admin/generations/versions.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkflowTemplate]:
        """Without the graphs, which may be large; with whether it is for nobody."""
        empty = WorkflowTemplate.objects.for_nobody().filter(pk=OuterRef("pk"))
        rows = super().get_queryset(request).defer("published_version__graph").annotate(is_for_nobody=Exists(empty))
        return cast("QuerySet[WorkflowTemplate]", rows)

    @display(description="Template", ordering="title", header=True)  # type: ignore[untyped-decorator]
    def shown_name(self, template: WorkflowTemplate) -> list[Any]:
        """Its title, beside its cover."""
        if not template.cover:
            return [template.title, None, template.title[:2]]
        cover = {"path": reverse("admin:template_cover", args=[template.pk]), "squared": True, "width": 48}
        return [template.title, None, None, {**cover, "height": 48}]

    @display(description="Published", label={"yes": "success", "no": "warning"})  # type: ignore[untyped-decorator]
    def shown_state(self, template: WorkflowTemplate) -> tuple[str, str]:
        """Its published version's number."""
        version = template.published_version
        return ("yes", f"Version {version.number}") if version else ("no", "Not published")

    @display(description="Who sees it", ordering="visibility")  # type: ignore[untyped-decorator]
    def shown_audience(self, template: Any) -> str:
        """Its audience, or that there is nobody in it."""
        said = str(template.get_visibility_display())
        return f"{said}: nobody at the moment" if template.is_for_nobody else said

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Says so when there is nobody in what was chosen."""
        super().save_related(request, form, formsets, change)
        if form.instance.has_nobody:
            said = "Nobody sees this template but staff: there is nobody in the {} that you chose."
            messages.warning(request, said.format(form.instance.visibility))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only templates without versions, because results point at versions: withdraw others instead."""
        is_unused = obj is None or not obj.versions.exists()
        return bool(super().has_delete_permission(request, obj)) and is_unused

    def save_model(self, request: HttpRequest, obj: WorkflowTemplate, form: TemplateForm, change: bool) -> None:
        """A new cover is stored after the commit, because the admin saves in a transaction; the one before goes."""
        old, new = form.initial.get("cover"), form.cleaned_data["cover"]
        if isinstance(new, UploadedFile):
            obj.cover = old.name if old else ""
            transaction.on_commit(partial(covers.set_cover, obj, new))
        elif old and not new:
            transaction.on_commit(partial(default_storage.delete, old.name))
        super().save_model(request, obj, form, change)

    def get_urls(self) -> list[URLPattern]:
        """The pages for versions, beside the model's own."""
        view = self.admin_site.admin_view
        own = [
            *(url for pages in (ImportPages, StudioPages, EditPages, TryPages) for url in pages(self).urls()),
            path("<int:pk>/publish/", view(require_POST(self.publish)), name="template_publish"),
            path("<int:pk>/duplicate/", view(require_POST(self.duplicate)), name="template_duplicate"),
            path("<int:pk>/export/", view(require_GET(self.export)), name="template_export"),
            path("<int:pk>/compare/", view(require_GET(self.compare)), name="template_compare"),
            path(
                "<int:pk>/versions/<int:number>.json",
                view(require_GET(self.download)),
                name="template_version_download",
            ),
            path("<int:pk>/cover/", view(require_GET(self.cover)), name="template_cover"),
        ]
        return [*own, *super().get_urls()]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A template begins with its workflow."""
        return HttpResponseRedirect(reverse("admin:template_import"))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Its versions are listed below the form."""
        pk = int(object_id) if is_number(object_id) else 0
        versions = list(TemplateVersion.objects.filter(template_id=pk).select_related("created_by"))
        fleet = fitness.Fleet.now()
        listed = [(version, fleet.report(version.needs)) for version in versions]
        context = {**(extra_context or {}), "versions": listed}
        return cast("HttpResponse", super().change_view(request, object_id, form_url, context))

    def publish(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Publish the version in `number`; without it, take the template out of the gallery."""
        template = self.look_up(request, pk)
        number = request.POST.get("number", "")
        if number and not is_number(number):
            raise Http404
        if not number:
            template.set_published(None)
            return self._done(request, template, "The template is not published any more.")
        version = get_object_or_404(template.versions, number=number)
        try:
            publishing.publish(
                template,
                version,
                user=user_of(request),
                object_info=catalogs.known_nodes(),
                is_confirmed=bool(request.POST.get("confirmed")),
                are_flags_accepted=bool(request.POST.get("flags_accepted")),
            )
        except publishing.UncheckedError as error:
            sentence = f"{error} Version {number} was not published. Open the studio to check them."
        except publishing.UnfitError as error:
            sentence = f"{error} Version {number} was not published. Restore it in the studio to publish it anyway."
        except publishing.NotPublishableError as error:
            sentence = f"{error} Version {number} was not published. Restore it in the studio to change it."
        else:
            return self._done(request, template, f"Version {number} is published.")
        messages.error(request, sentence)
        return self._to_template(template)

    def duplicate(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A copy to change."""
        template = self.look_up(request, pk, "view")
        if not self.has_add_permission(request):
            raise PermissionDenied
        copy = making.duplicate(template, user_of(request))
        self.log_addition(request, copy, f"Copied from {template.slug}.")
        messages.success(request, f"This is a copy of “{template}”. It is not published.")
        return HttpResponseRedirect(reverse("admin:template_studio", args=[copy.pk]))

    def export(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The template as a file for another installation."""
        template = self.look_up(request, pk, "view")
        version = drafts.current_version(template)
        if version is None:
            raise Http404
        return _download(packages.write(template, version), f"{template.slug}.template.json")

    def compare(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What changed from the version in `from` to the one in `to`; “draft” stands for the draft."""
        template = self.look_up(request, pk, "view")
        versions = list(template.versions.all())
        names = [str(version.number) for version in versions]
        published = template.published_version
        old = request.GET.get("from") or str(published.number if published else names[0] if names else "draft")
        new = request.GET.get("to") or "draft"
        sides = [_side(template, versions, each) for each in (old, new)]
        context = {"template": template, "names": names, "old": old, "new": new, "changes": compare(*sides)}
        return self.render_page(request, "compare", f"Versions of “{template}”", context)

    def download(self, request: HttpRequest, pk: int, number: int) -> HttpResponse:
        """The graph of a version, as it can be opened in ComfyUI."""
        version = get_object_or_404(self.look_up(request, pk, "view").versions, number=number)
        return _download(version.graph, f"{version.slug}-v{version.number}.json")

    def cover(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Its picture, published or not."""
        template = self.look_up(request, pk, "view")
        if not template.cover:
            raise Http404
        return delivery.serve_picture(template.cover.name or "")

    def look_up(self, request: HttpRequest, pk: int, permission: str = "change") -> WorkflowTemplate:
        """The template, for somebody with that permission; PermissionDenied, Http404."""
        template = get_object_or_404(WorkflowTemplate.objects.select_related("published_version"), pk=pk)
        if not getattr(self, f"has_{permission}_permission")(request, template):
            raise PermissionDenied
        return template

    def render_page(self, request: HttpRequest, name: str, title: str, context: dict[str, Any]) -> TemplateResponse:
        """A page in the admin's frame."""
        frame = {**self.admin_site.each_context(request), "opts": self.model._meta, "title": title}
        return TemplateResponse(request, f"admin/generations/{name}.html", {**frame, **context})

    def _done(self, request: HttpRequest, template: WorkflowTemplate, sentence: str) -> HttpResponse:
        self.log_change(request, template, sentence)
        messages.success(request, sentence)
        return self._to_template(template)

    @staticmethod
    def _to_template(template: WorkflowTemplate) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:generations_workflowtemplate_change", args=[template.pk]))


def _download(value: object, name: str) -> HttpResponse:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(text, content_type="application/json", headers=headers)


def _side(template: WorkflowTemplate, versions: list[TemplateVersion], name: str) -> TemplateVersion | TemplateDraft:
    if name == "draft":
        return drafts.draft_of(template)
    found = next((version for version in versions if str(version.number) == name), None)
    if found is None:
        raise Http404
    return found
