"""Workflow templates in the admin: paste a workflow, choose what users may set, publish."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.decorators import display

from generations import delivery
from generations.admin.expose import BaseExposeFormSet, ExposeFormSet, expose_initial, lost_parameters
from generations.admin.forms import TemplateForm, WorkflowForm, dump, known_nodes
from generations.comfy.graph import Graph
from generations.models import TemplateVersion, WorkflowTemplate
from generations.parameters.detect import NodeDescription, describe


@admin.register(WorkflowTemplate)
class TemplateAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """What it is called and who sees it; graphs and parameters live in its versions."""

    form = TemplateForm
    list_display = ("shown_name", "slug", "shown_state", "visibility", "position", "updated_at")
    list_filter = ("visibility", ("published_version", admin.EmptyFieldListFilter))
    list_select_related = ("published_version",)
    search_fields = ("title", "slug", "description")
    prepopulated_fields = {"slug": ("title",)}
    fields = TemplateForm.Meta.fields
    change_form_outer_after_template = "admin/generations/versions.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkflowTemplate]:
        """Without the graphs, which may be large."""
        rows = super().get_queryset(request).defer("published_version__graph")
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

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Results point at versions: take it out of the gallery instead."""
        is_unused = obj is None or not obj.versions.exists()
        return bool(super().has_delete_permission(request, obj)) and is_unused

    def save_model(self, request: HttpRequest, obj: WorkflowTemplate, form: TemplateForm, change: bool) -> None:
        """A cover that was replaced goes."""
        old = form.initial.get("cover")
        super().save_model(request, obj, form, change)
        if old and "cover" in form.changed_data:
            transaction.on_commit(partial(default_storage.delete, old.name))

    def get_urls(self) -> list[URLPattern]:
        """The pages for versions, beside the model's own."""
        view = self.admin_site.admin_view
        own = [
            path("<int:pk>/new-version/", view(self.new_version), name="template_new_version"),
            path("<int:pk>/publish/", view(require_POST(self.publish)), name="template_publish"),
            path("<int:pk>/versions/<int:number>.json", view(self.download), name="template_version_download"),
            path("<int:pk>/cover/", view(self.cover), name="template_cover"),
        ]
        return [*own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Its versions are listed below the form."""
        pk = int(object_id) if object_id.isdigit() else 0
        versions = TemplateVersion.objects.filter(template_id=pk).select_related("created_by").defer("graph")
        context = {**(extra_context or {}), "versions": versions}
        return cast("HttpResponse", super().change_view(request, object_id, form_url, context))

    def response_add(self, request: HttpRequest, obj: WorkflowTemplate, post_url_continue: Any = None) -> HttpResponse:
        """A template without a workflow is of no use yet: go on with that."""
        return HttpResponseRedirect(reverse("admin:template_new_version", args=[obj.pk]))

    def new_version(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Step one: the workflow. Step two: what users may set. Both in one address; `step` tells which was sent."""
        template = self._template(request, pk)
        current = template.published_version or template.versions.first()
        catalog = known_nodes()
        if request.method == "POST":
            workflow = WorkflowForm(request.POST, request.FILES, catalog=catalog)
            if workflow.is_valid():
                return self._expose(request, template, current, workflow)
        else:
            workflow = WorkflowForm(initial={"workflow": dump(current.graph) if current else ""}, catalog=catalog)
        return self._page(request, "new_version", template, {"workflow": workflow})

    def _expose(
        self, request: HttpRequest, template: WorkflowTemplate, current: TemplateVersion | None, workflow: WorkflowForm
    ) -> HttpResponse:
        graph: Graph = workflow.cleaned_data["graph"]
        nodes = describe(graph, workflow.catalog)
        is_sent = request.POST.get("step") == "expose"
        data = request.POST if is_sent else None
        formset = cast("BaseExposeFormSet", ExposeFormSet(data, initial=expose_initial(nodes, current)))
        formset.graph = graph
        if is_sent and formset.is_valid():
            return self._save(request, template, graph, formset)
        context = {
            "formset": formset,
            "rows": _rows(nodes, formset),
            "graph_text": dump(graph),
            "note": request.POST.get("note", ""),
            "warnings": workflow.warnings,
            "lost": [] if is_sent else lost_parameters(nodes, current),
        }
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
        return self._done(
            request, template, f"Version {version.number} is {'published' if is_published else 'a draft'}."
        )

    def publish(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make the version in `number` the published one; without it, take the template out of the gallery."""
        template = self._template(request, pk)
        number = request.POST.get("number", "")
        if number and not number.isdecimal():
            raise Http404
        version = get_object_or_404(template.versions, number=number) if number else None
        template.publish(version)
        return self._done(request, template, f"Version {number} is published." if version else "It is not published.")

    def download(self, request: HttpRequest, pk: int, number: int) -> HttpResponse:
        """The graph of a version, as it can be opened in ComfyUI."""
        version = get_object_or_404(self._template(request, pk, "view").versions, number=number)
        name = f"{version.template.slug}-v{version.number}.json"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return HttpResponse(dump(version.graph), content_type="application/json", headers=headers)

    def cover(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Its picture, published or not."""
        template = self._template(request, pk, "view")
        if not template.cover:
            raise Http404
        return async_to_sync(delivery.serve_picture)(template.cover.name or "")

    def _template(self, request: HttpRequest, pk: int, permission: str = "change") -> WorkflowTemplate:
        template = get_object_or_404(WorkflowTemplate, pk=pk)
        if not getattr(self, f"has_{permission}_permission")(request, template):
            raise PermissionDenied
        return template

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

    def _done(self, request: HttpRequest, template: WorkflowTemplate, sentence: str) -> HttpResponse:
        self.log_change(request, template, sentence)
        messages.success(request, sentence)
        return HttpResponseRedirect(reverse("admin:generations_workflowtemplate_change", args=[template.pk]))


def _rows(nodes: list[NodeDescription], formset: BaseExposeFormSet) -> list[tuple[NodeDescription, list[Any]]]:
    """Each node with its (input, form or None) pairs."""
    forms = {(form.initial["node_id"], form.initial["input_name"]): form for form in formset.forms}
    return [(node, [(each, forms.get((node.node_id, each.input_name))) for each in node.inputs]) for node in nodes]
