"""Changes of a draft in the studio. Each answers with the parts of the page that look different afterwards."""

from __future__ import annotations

from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from accounts.access import user_of
from generations.admin.pages import TemplatePages, is_number
from generations.admin.parts import changing_parts
from generations.admin.settings import SettingsForm
from generations.comfy.graph import InputKey, output_nodes
from generations.comfy.object_info import ObjectInfo
from generations.models import TemplateDraft
from generations.scheduling import catalogs
from generations.studio import drafts, editing


class EditPages(TemplatePages):
    """What the page's script sends for each change."""

    def urls(self) -> list[URLPattern]:
        """Below the studio's address."""
        wrap = self.admin.admin_site.admin_view
        base = "<int:pk>/studio/"
        of_draft = {
            "expose": self.expose,
            "join": self.join,
            "keep": self.keep,
            "safety": self.safety,
            "flags": self.tick_off,
        }
        of_parameter = {"settings": self.settings, "move": self.move, "remove": self.remove}
        ends = {"settings": "", "move": "move/", "remove": "remove/"}
        addresses: list[tuple[str, str, Callable[..., HttpResponse]]] = [
            *((f"{base}{name}/", name, view) for name, view in of_draft.items()),
            *((f"{base}parameters/<int:position>/{ends[name]}", name, view) for name, view in of_parameter.items()),
        ]
        return [path(address, wrap(require_POST(view)), name=f"studio_{name}") for address, name, view in addresses]

    def expose(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Let users set an input, or no longer."""
        key, object_info = _input_key(request), catalogs.known_nodes()

        def action(draft: TemplateDraft) -> None:
            if request.POST.get("on"):
                editing.expose(draft, key, object_info)
            else:
                editing.hide(draft, key)

        return self._change(request, pk, action, object_info)

    def join(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Have a parameter set one more input."""
        key, name = _input_key(request), request.POST.get("name", "")
        return self._change(request, pk, lambda draft: editing.join(draft, key, name))

    def keep(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Set whether the results of a node count."""
        object_info = catalogs.known_nodes()
        node_id, is_kept = request.POST.get("node", ""), bool(request.POST.get("on"))

        def action(draft: TemplateDraft) -> None:
            editing.keep_results(draft, node_id, is_kept, output_nodes(draft.graph, object_info or {}))

        return self._change(request, pk, action, object_info)

    def safety(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Set whether the result of a node tells if the others are safe."""
        object_info = catalogs.known_nodes()
        node_id, is_on = request.POST.get("node", ""), bool(request.POST.get("on"))

        def action(draft: TemplateDraft) -> None:
            editing.set_safety_node(draft, node_id, is_on, output_nodes(draft.graph, object_info or {}))

        return self._change(request, pk, action, object_info)

    def tick_off(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Note that somebody checked one flag or all of them, or take that back. The answer to one leaves the list
        alone: somebody is reading there.
        """
        template = self.look_up(request, pk)
        chosen = request.POST.get("flag")
        draft = drafts.tick_off(
            template, [chosen] if chosen is not None else None, is_checked=bool(request.POST.get("on"))
        )
        if draft is None:
            return _reload()  # somebody imported another workflow meanwhile
        parts = changing_parts(template, draft, catalogs.known_nodes())
        return render(request, "admin/generations/_ticked.html", {**parts, "is_list_swapped": chosen is None})

    def move(self, request: HttpRequest, pk: int, position: int) -> HttpResponse:
        """Move a parameter up or down in the form."""
        self.look_up(request, pk)
        to = request.POST.get("to", "")
        if not is_number(to):
            raise Http404
        return self._change(request, pk, lambda draft: editing.move(draft, position, int(to)))

    def remove(self, request: HttpRequest, pk: int, position: int) -> HttpResponse:
        """Take a parameter out of the form."""
        return self._change(request, pk, lambda draft: editing.remove(draft, position))

    def settings(self, request: HttpRequest, pk: int, position: int) -> HttpResponse:
        """Change one parameter's settings. The answer leaves its fields alone: somebody is typing there."""
        template = self.look_up(request, pk)
        draft = drafts.draft_of(template)
        if position >= len(draft.parameters) or draft.parameters[position].get("name") != request.POST.get("was"):
            return _reload()  # somebody else moved or renamed it
        form = SettingsForm(draft.parameters[position], request.POST, position=position)
        if form.is_valid():
            draft = drafts.change(
                template, user_of(request), lambda draft: editing.redefine(draft, position, form.definition)
            )
        parts = changing_parts(template, draft, catalogs.known_nodes())
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
        template = self.look_up(request, pk)
        draft = drafts.change(template, user_of(request), action)
        object_info = object_info or catalogs.known_nodes()
        context = changing_parts(template, draft, object_info)
        return _announce(render(request, "admin/generations/_parameters.html", context))


def _input_key(request: HttpRequest) -> InputKey:
    return request.POST.get("node", ""), request.POST.get("input", "")


def _announce(response: HttpResponse) -> HttpResponse:
    """Have the page's script renew the preview."""
    response["HX-Trigger"] = "draft-changed"
    return response


def _reload() -> HttpResponse:
    return HttpResponse(status=200, headers={"HX-Refresh": "true"})
