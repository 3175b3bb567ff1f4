"""The studio: a workflow is dropped, inputs are given to users, the form is seen and tried, a version is published.

Each action changes the draft and answers with the parts of the page that look different afterwards.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from csp.constants import SELF
from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import user_of
from generations.admin import several
from generations.admin.cards import missing_files, node_cards, parameter_cards
from generations.admin.settings import SettingsForm
from generations.comfy.graph import GraphError, InputKey, output_nodes
from generations.comfy.object_info import ObjectInfo
from generations.files import storage
from generations.models import Asset, ComfyServer, TemplateDraft, WorkflowTemplate
from generations.parameters.form import parameters_form
from generations.parameters.hints import with_hints
from generations.scheduling import catalogs, fitness
from generations.studio import checks, covers, drafts, editing, importing, intake, making, publishing
from generations.studio.batches import Outcome
from generations.web import runs

COVERS = 12
# The preview is what users see, under the rules of their pages, and shown inside the studio.
PREVIEW_POLICY = {"script-src": [SELF], "style-src": [SELF], "frame-ancestors": [SELF]}


def is_number(text: str) -> bool:
    """True for what int() and the database take: isdecimal() alone lets 5,000 digits through."""
    return text.isascii() and text.isdecimal() and len(text) <= 9


class ImportForm(forms.Form):
    """A workflow as a file or pasted, and the server whose node classes it is read with."""

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

    def clean(self) -> dict[str, Any]:
        """Read it. A chosen file goes before pasted text."""
        data: dict[str, Any] = super().clean() or {}
        if len(self.files.getlist("file") if self.files else ()) > 1:
            raise forms.ValidationError("Choose one file: a template has a single workflow.")
        file: UploadedFile[Any] | None = data.get("file")
        self.object_info = catalogs.known_nodes(data.get("server"))
        self.source = file.name or "" if file else ""
        try:
            content = file.read(importing.MAX_BYTES + 1) if file else data.get("workflow", "").encode()
            self.imported = importing.read(content, self.object_info)
            self.content_hash = storage.hash_of(io.BytesIO(content))
        except GraphError as error:
            self.add_error(None, forms.ValidationError(str(error).splitlines()))
        return data


class StudioPages:
    """Views of one template's studio, for its admin to put into its addresses."""

    def __init__(self, admin: Any) -> None:
        self.admin = admin

    def urls(self) -> list[URLPattern]:
        """All of them are for staff; each asks for the permission itself."""
        post = {
            "expose": self.expose,
            "join": self.join,
            "keep": self.keep,
            "safety": self.safety,
            "flags": self.tick_off,
            "publish": self.publish,
            "discard": self.discard,
            "restore": self.restore,
            "try": self.try_it,
            "cover": self.cover,
        }
        wrap = self.admin.admin_site.admin_view
        base = "<int:pk>/studio/"
        return [
            path("import/", wrap(self.start), name="template_import"),
            path(base, wrap(require_GET(self.page)), name="template_studio"),
            # Its address stays in the browser when a workflow is refused, and is asked for when somebody reloads.
            path(f"{base}import/", wrap(require_http_methods(["GET", "POST"])(self.put)), name="studio_import"),
            path(f"{base}preview/", wrap(require_GET(xframe_options_sameorigin(self.preview))), name="studio_preview"),
            *(path(f"{base}{name}/", wrap(require_POST(view)), name=f"studio_{name}") for name, view in post.items()),
            *(
                path(f"{base}parameters/<int:position>/{name}", wrap(require_POST(view)), name=f"studio_{label}")
                for label, name, view in (
                    ("settings", "", self.settings),
                    ("move", "move/", self.move),
                    ("remove", "remove/", self.remove),
                )
            ),
        ]

    # ---------------------------------------------------------------------------------------- whole pages
    def start(self, request: HttpRequest) -> HttpResponse:
        """A new template from whatever is dropped."""
        if not self.admin.has_add_permission(request):
            raise PermissionDenied
        if request.method == "POST" and several.are_several(request):
            return self._make_several(request)
        form = ImportForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
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
                link = format_html(
                    '<a class="underline" href="{}">“{}”</a>', reverse("admin:template_studio", args=[known.pk]), known
                )
                sentence = format_html("The same file was imported before: {} was made from it, too.", link)
                messages.info(request, sentence)
            return self._to_studio(template)
        return self._import_page(request, form)

    def _import_page(
        self, request: HttpRequest, form: ImportForm, report: several.Report | None = None
    ) -> HttpResponse:
        most_bytes = min(importing.MAX_BYTES, settings.MAX_FORM_BYTES)
        context = {
            "report": report, "outcomes": dict(Outcome.choices),
            "most_files": several.MAX_FILES_IN_ALL, "most_bytes": most_bytes,
        }  # fmt: skip
        return self._response(request, "import", "New template", form, context)

    def _make_several(self, request: HttpRequest) -> HttpResponse:
        """A template of each file: the report alone for the page's script, else the page with it."""
        report = several.read(request)
        for line in report.lines:
            if line.outcome == Outcome.MADE:
                self.admin.log_addition(request, line.template, f"Imported {line.source}.")
        if "one_of_several" in request.POST:
            return several.part(request, report)
        return self._import_page(request, ImportForm(), report)

    def page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Everything at once."""
        template = self._template(request, pk)
        return self._page(request, template, ImportForm())

    def _page(self, request: HttpRequest, template: WorkflowTemplate, form: ImportForm) -> HttpResponse:
        draft = drafts.draft_of(template)
        object_info = catalogs.known_nodes()
        parts = self._parts(template, draft, object_info)
        parts["nodes"] = list(node_cards(draft, object_info, parts["differences"]))
        parts["missing_files"] = missing_files(draft, parts["nodes"], template.model_sources)
        return self._response(request, "studio", template.title, form, parts)

    def _response(
        self, request: HttpRequest, name: str, title: str, form: ImportForm, context: dict[str, Any]
    ) -> HttpResponse:
        response: HttpResponse = self.admin.render_page(request, name, title, {"form": form, **context})
        response.status_code = 422 if form.errors else 200
        return response

    def _parts(
        self, template: WorkflowTemplate, draft: TemplateDraft, object_info: ObjectInfo | None
    ) -> dict[str, Any]:
        """What the parts of the page that change need."""
        found = checks.faults(draft, object_info)
        fleet = fitness.Fleet()
        reports = checks.fitness_of(draft, fleet) if draft.graph else []
        differences = fleet.differences(draft.graph)
        risks = [each.note for each in differences if each.is_risk]
        flagged = {flag["text"] for flag in draft.flags}
        resolved = checks.resolved_inputs(draft, template.versions.first(), object_info)
        cards = list(parameter_cards(draft, found, differences, resolved))
        return {
            "template": template,
            "draft": draft,
            "flags": [(flag, flag["node_id"] in draft.graph) for flag in draft.flags],
            "cards": cards,
            "exposed": [
                {"node_id": key[0], "input_name": key[1], "label": card.definition.get("label", "")}
                for card in cards
                for key in card.inputs
            ],
            "fault_count": sum(len(each) for name, each in found.items() if name),
            "general_faults": [fault.message for fault in found.get("", ())],
            "reports": reports,
            "differences": differences,
            # Those that are new since the import; the others are flags.
            "risks": [each for each in [*risks, *intake.cost_notes(draft.graph, object_info)] if each not in flagged],
            "is_unfit": not any(each.is_fit for each in reports),
            "is_unfit_as_it_is": not any(each.is_fit and not each.missing_defaults for each in reports),
            "published": template.published_version,
            "is_changed": not draft.is_like(template.published_version),
        }

    def put(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Another workflow for a template that exists."""
        template = self._template(request, pk)
        if request.method == "GET":
            return self._to_studio(template)
        form = ImportForm(request.POST, request.FILES)
        if not form.is_valid():
            return self._page(request, template, form)
        intake.put(template, user_of(request), form.imported, object_info=form.object_info, source=form.source)
        return self._to_studio(template)

    @staticmethod
    def _to_studio(template: WorkflowTemplate) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:template_studio", args=[template.pk]))

    # ------------------------------------------------------------------------------------------ actions
    def expose(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Users may set that input, or no longer."""
        key, object_info = _input_key(request), catalogs.known_nodes()

        def action(draft: TemplateDraft) -> None:
            if request.POST.get("on"):
                editing.expose(draft, key, object_info)
            else:
                editing.hide(draft, key)

        return self._change(request, pk, action, object_info)

    def join(self, request: HttpRequest, pk: int) -> HttpResponse:
        """One more input is set by a parameter that there is."""
        key, name = _input_key(request), request.POST.get("name", "")
        return self._change(request, pk, lambda draft: editing.join(draft, key, name))

    def keep(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Whether the results of a node count."""
        object_info = catalogs.known_nodes()
        node_id, is_kept = request.POST.get("node", ""), bool(request.POST.get("on"))

        def action(draft: TemplateDraft) -> None:
            editing.keep_results(draft, node_id, is_kept, output_nodes(draft.graph, object_info or {}))

        return self._change(request, pk, action, object_info)

    def safety(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Whether the result of a node tells if the others are safe."""
        object_info = catalogs.known_nodes()
        node_id, is_on = request.POST.get("node", ""), bool(request.POST.get("on"))

        def action(draft: TemplateDraft) -> None:
            editing.set_safety_node(draft, node_id, is_on, output_nodes(draft.graph, object_info or {}))

        return self._change(request, pk, action, object_info)

    def tick_off(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Somebody looked at what a flag says, or at all of them; or takes that back. The answer to one leaves the
        list alone: somebody is reading there.
        """
        template = self._template(request, pk)
        chosen = request.POST.get("flag")
        draft = drafts.tick_off(
            template, [chosen] if chosen is not None else None, is_checked=bool(request.POST.get("on"))
        )
        if draft is None:
            return _reload()  # another workflow is there meanwhile
        parts = self._parts(template, draft, catalogs.known_nodes())
        return render(request, "admin/generations/_ticked.html", {**parts, "is_list_swapped": chosen is None})

    def move(self, request: HttpRequest, pk: int, position: int) -> HttpResponse:
        """A parameter to another place in the form."""
        self._template(request, pk)
        to = request.POST.get("to", "")
        if not is_number(to):
            raise Http404
        return self._change(request, pk, lambda draft: editing.move(draft, position, int(to)))

    def remove(self, request: HttpRequest, pk: int, position: int) -> HttpResponse:
        """A parameter out of the form."""
        return self._change(request, pk, lambda draft: editing.remove(draft, position))

    def settings(self, request: HttpRequest, pk: int, position: int) -> HttpResponse:
        """One parameter's settings. The answer leaves its fields alone: somebody is typing there."""
        template = self._template(request, pk)
        draft = drafts.draft_of(template)
        if position >= len(draft.parameters) or draft.parameters[position].get("name") != request.POST.get("was"):
            return _reload()  # somebody else moved or renamed it
        form = SettingsForm(draft.parameters[position], request.POST, position=position)
        if form.is_valid():
            draft = drafts.change(
                template, user_of(request), lambda draft: editing.redefine(draft, position, form.definition)
            )
        parts = self._parts(template, draft, catalogs.known_nodes())
        card = parts["cards"][position]
        card.faults = {**card.faults, **{name: list(map(str, each)) for name, each in form.errors.items()}}
        response = render(request, "admin/generations/_changed.html", {**parts, "card": card})
        return _announce(response)

    def _change(
        self,
        request: HttpRequest,
        pk: int,
        action: Callable[[TemplateDraft], None],
        object_info: ObjectInfo | None = None,
    ) -> HttpResponse:
        template = self._template(request, pk)
        draft = drafts.change(template, user_of(request), action)
        object_info = object_info or catalogs.known_nodes()
        context = self._parts(template, draft, object_info)
        return _announce(render(request, "admin/generations/_parameters.html", context))

    def publish(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Publish the draft."""
        template = self._template(request, pk)
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
        return self._to_studio(template)

    def discard(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Back to what is published."""
        template = self._template(request, pk)
        drafts.discard(template)
        messages.info(request, "The draft is discarded.")
        return self._to_studio(template)

    def restore(self, request: HttpRequest, pk: int) -> HttpResponse:
        """An old version becomes the draft."""
        template = self._template(request, pk)
        number = request.POST.get("number", "")
        version = get_object_or_404(template.versions, number=number if is_number(number) else 0)
        drafts.restore(template, user_of(request), version)
        messages.info(request, f"The draft is version {version.number} now.")
        return self._to_studio(template)

    # ------------------------------------------------------------------------------------------ the form
    def preview(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The form as users will see it, in a frame of the studio."""
        template = self._template(request, pk)
        form = parameters_form(self._previewed(template))
        context = {"template": template, "form": form, "action": reverse("admin:studio_try", args=[template.pk])}
        return _as_preview(render(request, "generations/preview.html", context))

    @staticmethod
    def _previewed(template: WorkflowTemplate) -> Any:
        draft = drafts.draft_of(template)
        parameters = checks.valid_parameters(draft)
        current = fitness.Fleet().with_current_choices(parameters, draft.graph, checks.needs_of(draft))
        return with_hints(current, checks.resolved_inputs(draft, template.versions.first(), catalogs.known_nodes()))

    def try_it(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Run the draft as oneself: it becomes a version that is not published."""
        template = self._template(request, pk)
        form = parameters_form(self._previewed(template), data=request.POST, files=request.FILES)
        try:
            version = publishing.freeze(template, user_of(request), object_info=catalogs.known_nodes())
        except publishing.DraftError as error:
            form.add_error(None, f"It cannot run yet. {error}")
            version = None
        action = reverse("admin:studio_try", args=[template.pk])
        return _as_preview(runs.run(request, template, version, form, action=action))

    def cover(self, request: HttpRequest, pk: int) -> HttpResponse:
        """One of one's own results as the template's picture; without `asset`, the list to choose from."""
        template = self._template(request, pk)
        mine = Asset.objects.for_user(request.user).filter(
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
            messages.success(request, "This result is the cover now.")
        return HttpResponseRedirect(reverse("admin:template_studio", args=[template.pk]))

    def _template(self, request: HttpRequest, pk: int) -> WorkflowTemplate:
        found: WorkflowTemplate = self.admin.look_up(request, pk)
        return found


def _uuid(text: str) -> str:
    try:
        return str(forms.UUIDField().clean(text))
    except forms.ValidationError:
        raise Http404 from None


def _input_key(request: HttpRequest) -> InputKey:
    return request.POST.get("node", ""), request.POST.get("input", "")


def _as_preview(response: HttpResponse) -> HttpResponse:
    response._csp_replace = PREVIEW_POLICY  # type: ignore[attr-defined]  # read by csp.middleware
    return response


def _announce(response: HttpResponse) -> HttpResponse:
    """The page's script renews the preview then."""
    response["HX-Trigger"] = "draft-changed"
    return response


def _reload() -> HttpResponse:
    return HttpResponse(status=200, headers={"HX-Refresh": "true"})
