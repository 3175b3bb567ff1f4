"""Workflow templates in the admin: paste a workflow, choose what users may set, publish."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.decorators import display

from generations.admin.forms import BaseExposeFormSet, ExposeFormSet, WorkflowForm, dump, expose_initial, nodes_of
from generations.comfy.graph import Graph
from generations.models import TemplateVersion, WorkflowTemplate


@admin.register(WorkflowTemplate)
class TemplateAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """What it is called and who sees it; graphs and parameters live in its versions."""

    list_display = ("title", "slug", "shown_state", "visibility", "position", "updated_at")
    list_filter = ("visibility",)
    search_fields = ("title", "slug", "description")
    prepopulated_fields = {"slug": ("title",)}
    filter_horizontal = ("groups",)
    fields = ("title", "slug", "description", "cover", "tags", "visibility", "groups", "position")
    change_form_template = "admin/generations/template_change.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkflowTemplate]:
        """With the published version."""
        return super().get_queryset(request).select_related("published_version")  # type: ignore[no-any-return]

    @display(description="Published", label={"Not published": "warning"})  # type: ignore[untyped-decorator]
    def shown_state(self, template: WorkflowTemplate) -> str:
        """Its published version's number."""
        return f"Version {template.published_version.number}" if template.published_version else "Not published"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Results point at versions: take it out of the gallery instead."""
        is_unused = obj is not None and not obj.versions.exists()
        return bool(super().has_delete_permission(request, obj)) and is_unused

    def get_urls(self) -> list[URLPattern]:
        """The pages for versions, beside the model's own."""
        own = [
            path("<int:pk>/new-version/", self.admin_site.admin_view(self.new_version), name="template_new_version"),
            path("<int:pk>/publish/", self.admin_site.admin_view(require_POST(self.publish)), name="template_publish"),
            path(
                "<int:pk>/versions/<int:number>.json",
                self.admin_site.admin_view(self.download),
                name="template_version_download",
            ),
        ]
        return [*own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Its versions are listed below the form."""
        pk = int(object_id) if object_id.isdigit() else 0
        versions = TemplateVersion.objects.filter(template_id=pk).select_related("created_by")
        context = {**(extra_context or {}), "versions": versions.defer("graph")}
        return cast("HttpResponse", super().change_view(request, object_id, form_url, context))

    def response_add(self, request: HttpRequest, obj: WorkflowTemplate, post_url_continue: Any = None) -> HttpResponse:
        """A template without a workflow is of no use yet: go on with that."""
        return HttpResponseRedirect(reverse("admin:template_new_version", args=[obj.pk]))

    def _template(self, request: HttpRequest, pk: int) -> WorkflowTemplate:
        template = get_object_or_404(WorkflowTemplate, pk=pk)
        if not self.has_change_permission(request, template):
            raise PermissionDenied
        return template

    def new_version(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Step one: the workflow. Step two: what users may set. Both in one address; `step` tells which was sent."""
        template = self._template(request, pk)
        current = template.versions.first()
        if request.method == "POST":
            workflow = WorkflowForm(request.POST, request.FILES)
            if workflow.is_valid():
                return self._expose(request, template, current, workflow.cleaned_data["graph"])
        else:
            workflow = WorkflowForm(initial={"workflow": dump(current.graph) if current else ""})
        return self._page(request, "new_version", template, {"workflow": workflow})

    def _expose(
        self, request: HttpRequest, template: WorkflowTemplate, current: TemplateVersion | None, graph: Graph
    ) -> HttpResponse:
        nodes = nodes_of(graph)
        initial = expose_initial(nodes, current)
        is_sent = request.POST.get("step") == "expose"
        formset = cast("BaseExposeFormSet", ExposeFormSet(request.POST if is_sent else None, initial=initial))
        formset.graph = graph
        if is_sent and formset.is_valid():
            return self._save(request, template, graph, formset)
        forms = {(form["node_id"].value(), form["input_name"].value()): form for form in formset.forms}
        rows = [(node, [(each, forms.get((node.node_id, each.input_name))) for each in node.inputs]) for node in nodes]
        context = {"formset": formset, "rows": rows, "graph_text": dump(graph), "note": request.POST.get("note", "")}
        return self._page(request, "expose", template, context)

    def _save(
        self, request: HttpRequest, template: WorkflowTemplate, graph: Graph, formset: BaseExposeFormSet
    ) -> HttpResponse:
        is_published = "publish" in request.POST
        version = template.add_version(
            graph=graph,
            parameters=formset.parameters,
            created_by=cast("Any", request.user),
            note=request.POST.get("note", "")[:200],
            publish=is_published,
        )
        verb = "is published" if is_published else "is saved as a draft"
        messages.info(request, f"Version {version.number} {verb}.")
        return HttpResponseRedirect(reverse("admin:generations_workflowtemplate_change", args=[template.pk]))

    def _page(
        self, request: HttpRequest, name: str, template: WorkflowTemplate, context: dict[str, Any]
    ) -> TemplateResponse:
        page = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "title": f"New version of “{template}”",
            "template": template,
            **context,
        }
        return TemplateResponse(request, f"admin/generations/{name}.html", page)

    def publish(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make the version in `number` the published one; without it, take the template out of the gallery."""
        template = self._template(request, pk)
        number = request.POST.get("number")
        version = get_object_or_404(template.versions, number=number) if number else None
        template.publish(version)
        messages.info(
            request, f"Version {version.number} is published." if version else "It is not published any more."
        )
        return HttpResponseRedirect(reverse("admin:generations_workflowtemplate_change", args=[pk]))

    def download(self, request: HttpRequest, pk: int, number: int) -> HttpResponse:
        """The graph of a version, as it can be opened in ComfyUI."""
        version = get_object_or_404(self._template(request, pk).versions, number=number)
        name = f"{version.template.slug}-v{version.number}.json"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return HttpResponse(dump(version.graph), content_type="application/json", headers=headers)
