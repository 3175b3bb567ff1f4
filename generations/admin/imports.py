"""New templates from whatever an admin drops: one workflow, or several files at once."""

from __future__ import annotations

import io
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from accounts.access import user_of
from accounts.models import User
from generations.admin import several
from generations.admin.pages import TemplatePages, to_studio
from generations.comfy.graph import GraphError
from generations.comfy.object_info import ObjectInfo
from generations.files import spooling
from generations.models import ComfyServer, WorkflowTemplate
from generations.scheduling import catalogs
from generations.studio import importing, making
from generations.studio.batches import Outcome


class ImportForm(forms.Form):
    """A workflow as a file or pasted, and the server whose node types it is read with."""

    file = forms.FileField(required=False, allow_empty_file=True)
    workflow = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}))
    title = forms.CharField(required=False, max_length=120)
    server = forms.ModelChoiceField(
        ComfyServer.objects.enabled(), required=False, empty_label="All servers", label="Check against"
    )
    imported: importing.Imported
    object_info: ObjectInfo | None = None
    source = ""
    content_hash = ""

    def __init__(self, *args: Any, by: User | None = None, **kwargs: Any) -> None:
        """`by`: who imports it."""
        super().__init__(*args, **kwargs)
        self._by = by

    def clean(self) -> dict[str, Any]:
        """Read the workflow: the file, or the pasted text where no file was chosen."""
        data: dict[str, Any] = super().clean() or {}
        if len(self.files.getlist("file") if self.files else ()) > 1:
            raise forms.ValidationError("Choose one file: a template has a single workflow.")
        file: UploadedFile[Any] | None = data.get("file")
        self.object_info = catalogs.known_nodes(data.get("server"))
        self.source = file.name or "" if file else ""
        try:
            content = file.read(importing.MAX_BYTES + 1) if file else data.get("workflow", "").encode()
            self.imported = importing.read(content, self.object_info, by=self._by)
            self.content_hash = spooling.hash_of(io.BytesIO(content))
        except GraphError as error:
            self.add_error(None, forms.ValidationError(str(error).splitlines()))
        return data


class ImportPages(TemplatePages):
    """The page that makes templates."""

    def urls(self) -> list[URLPattern]:
        """The address below the list of templates, for the model's admin to add to its own."""
        return [path("import/", self.admin.admin_site.admin_view(self.start), name="template_import")]

    def start(self, request: HttpRequest) -> HttpResponse:
        """A new template from whatever is dropped."""
        if not self.admin.has_add_permission(request):
            raise PermissionDenied
        if request.method == "POST" and several.are_several(request):
            return self._make_several(request)
        form = ImportForm(request.POST or None, request.FILES or None, by=user_of(request))
        if request.method == "POST" and form.is_valid():
            return to_studio(self._make(request, form))
        return self._page(request, form)

    def _make(self, request: HttpRequest, form: ImportForm) -> WorkflowTemplate:
        known = WorkflowTemplate.objects.all().made_from(form.content_hash)
        template, _notes = making.create(
            user_of(request),
            form.imported,
            object_info=form.object_info,
            title=form.cleaned_data["title"],
            source=form.source,
            content_hash=form.content_hash,
        )
        self.admin.log_addition(request, template, f"Imported {form.source or 'a workflow'}.")
        if known is not None:
            messages.info(request, _known(known))
        return template

    def _make_several(self, request: HttpRequest) -> HttpResponse:
        """A template of each file: the report alone for the page's script, else the page with it."""
        report = several.read(request)
        for line in report.lines:
            if line.outcome == Outcome.MADE:
                self.admin.log_addition(request, line.template, f"Imported {line.source}.")
        if "one_of_several" in request.POST:
            return several.part(request, report)
        return self._page(request, ImportForm(), report)

    def _page(self, request: HttpRequest, form: ImportForm, report: several.Report | None = None) -> HttpResponse:
        most_bytes = min(importing.MAX_BYTES, settings.MAX_FORM_BYTES)
        context = {
            "report": report, "outcomes": dict(Outcome.choices),
            "most_files": several.MAX_FILES_IN_ALL, "most_bytes": most_bytes,
        }  # fmt: skip
        return form_page(self.admin, request, "import", "New template", form, context)


def _known(template: WorkflowTemplate) -> str:
    """The note that a template was made of the same file before, with a link to it."""
    address = reverse("admin:template_studio", args=[template.pk])
    link = format_html('<a class="underline" href="{}">“{}”</a>', address, template)
    return format_html("The same file was imported before: {} was made from it, too.", link)


def form_page(  # noqa: PLR0917
    admin: Any, request: HttpRequest, name: str, title: str, form: ImportForm, context: dict[str, Any]
) -> HttpResponse:
    """A page with the form; its status is 422 when the form has errors."""
    response: HttpResponse = admin.render_page(request, name, title, {"form": form, **context})
    response.status_code = 422 if form.errors else 200
    return response
