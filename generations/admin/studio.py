"""The studio of a template: its page, another workflow for it, and what becomes of its draft."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import user_of
from generations.admin.cards import missing_files, node_cards
from generations.admin.imports import ImportForm, form_page
from generations.admin.pages import TemplatePages, is_number, to_studio
from generations.admin.parts import changing_parts
from generations.models import WorkflowTemplate
from generations.scheduling import catalogs
from generations.studio import drafts, intake, publishing


class StudioPages(TemplatePages):
    """The page, and what acts on the draft as a whole."""

    def urls(self) -> list[URLPattern]:
        """Below the template's own address."""
        wrap = self.admin.admin_site.admin_view
        base = "<int:pk>/studio/"
        post = {"publish": self.publish, "discard": self.discard, "restore": self.restore}
        return [
            path(base, wrap(require_GET(self.page)), name="template_studio"),
            # Its address stays in the browser when a workflow is refused, and people reload it.
            path(f"{base}import/", wrap(require_http_methods(["GET", "POST"])(self.put)), name="studio_import"),
            *(path(f"{base}{name}/", wrap(require_POST(view)), name=f"studio_{name}") for name, view in post.items()),
        ]

    def page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The whole studio."""
        return self._page(request, self.look_up(request, pk), ImportForm())

    def _page(self, request: HttpRequest, template: WorkflowTemplate, form: ImportForm) -> HttpResponse:
        draft = drafts.draft_of(template)
        object_info = catalogs.known_nodes()
        parts = changing_parts(template, draft, object_info)
        parts["nodes"] = list(node_cards(draft, object_info, parts["differences"]))
        parts["missing_files"] = missing_files(draft, parts["nodes"], template.model_sources)
        return form_page(self.admin, request, "studio", template.title, form, parts)

    def put(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make another workflow the draft."""
        template = self.look_up(request, pk)
        if request.method == "GET":
            return to_studio(template)
        form = ImportForm(request.POST, request.FILES, by=user_of(request))
        if not form.is_valid():
            return self._page(request, template, form)
        intake.put(template, user_of(request), form.imported, object_info=form.object_info, source=form.source)
        return to_studio(template)

    def publish(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Publish the draft."""
        template = self.look_up(request, pk)
        revision = request.POST.get("revision", "")
        try:
            version = publishing.publish(
                template,
                None,
                user=user_of(request),
                object_info=catalogs.known_nodes(),
                revision=int(revision) if is_number(revision) else None,
                note=request.POST.get("note", "").strip()[:200],
                is_confirmed=bool(request.POST.get("confirmed")),
                are_flags_accepted=bool(request.POST.get("flags_accepted")),
            )
        except publishing.DraftError as error:
            messages.error(request, f"The draft cannot be published yet. {error}")
        except (publishing.UnfitError, publishing.UncheckedError) as error:
            messages.error(request, f"{error} To publish it anyway, tick the box beside the button.")
        except publishing.NotPublishableError as error:
            messages.warning(request, str(error))
        else:
            sentence = f"Version {version.number} is published."
            self.admin.log_change(request, template, sentence)
            messages.success(request, sentence)
        return to_studio(template)

    def discard(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Forget the draft: the studio shows what is published again."""
        template = self.look_up(request, pk)
        drafts.discard(template)
        messages.info(request, "The draft was discarded.")
        return to_studio(template)

    def restore(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make an old version the draft."""
        template = self.look_up(request, pk)
        number = request.POST.get("number", "")
        version = get_object_or_404(template.versions, number=number if is_number(number) else 0)
        drafts.restore(template, user_of(request), version)
        messages.info(request, f"The draft is now like version {version.number}.")
        return to_studio(template)
