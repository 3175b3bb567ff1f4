"""Gallery, template, history and generation pages."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, BinaryIO, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import user_of
from accounts.current import chosen_membership, chosen_workspace, ensure_may_change, may_change
from accounts.methods import post_only
from accounts.models import Membership, User
from accounts.workspaces import NotAllowedError, WorkspaceError
from generations import origins
from generations.files import naming
from generations.lifecycle import raw, rerunning, services
from generations.live import snapshot
from generations.models import Asset, Generation, WorkflowTemplate
from generations.models.history import cursor_of, read_cursor
from generations.models.usage import StorageFullError
from generations.parameters.form import parameters_form
from generations.parameters.hints import with_hints
from generations.parameters.validate import InvalidInputs
from generations.scheduling import fitness
from generations.scheduling.queue import QueueFullError
from generations.web import markdown, runs

PAGE_SIZE = 24
MOST_DIGITS = 18  # of a number that the database can compare
NO_RESULT = "This file is not one of your results. Choose a picture, video or sound that you downloaded here."


@login_required
@require_GET
def gallery(request: HttpRequest) -> HttpResponse:
    """The templates that this user may run, by category; `?q=` searches, `?tag=` and `?category=` choose."""
    query, tag, category = (request.GET.get(name, "").strip() for name in ("q", "tag", "category"))
    visible = WorkflowTemplate.objects.visible_to(request.user, chosen_workspace(request)).for_lists()
    found = [each for each in visible.search(query) if tag in ("", *each.tags) and category in ("", each.category)]
    fleet = fitness.Fleet.now()
    tiles = [(each, fleet.why_unavailable(services.current_version(each))) for each in found]
    categories = dict.fromkeys(each.category for each, _reason in tiles)
    context = {
        "groups": [(name, [tile for tile in tiles if tile[0].category == name]) for name in categories],
        "tags": sorted({word for each in visible for word in each.tags}, key=str.lower),
        "query": query,
        "tag": tag,
        "category": category,
        "is_filtered": bool(query or tag or category),
    }
    return render(request, "generations/gallery.html", context)


@login_required
@post_only("gallery")
def open_result(request: HttpRequest) -> HttpResponse:
    """From one of the user's results, as a file, to the form that made it, filled in as it was."""
    file = request.FILES.get("file")
    origin = origins.origin_of(cast("BinaryIO", file.file)) if file else None
    if origin is None or not Generation.objects.for_member(request.user).filter(pk=origin.pk).exists():
        messages.error(request, NO_RESULT)
        return redirect("gallery")
    template = origin.version.template
    visible = WorkflowTemplate.objects.visible_to(request.user, chosen_workspace(request))
    if template is None or not visible.filter(pk=template.pk).exists():
        return redirect("generation", pk=origin.pk)
    return redirect(f"{reverse('template', args=[template.slug])}?from={origin.pk}")


@login_required
@require_http_methods(["GET", "POST"])
def template(request: HttpRequest, slug: str) -> HttpResponse:
    """The form of a template, and its live panels. `?from=<id>` fills in the inputs of an earlier generation."""
    visible = WorkflowTemplate.objects.visible_to(request.user, chosen_workspace(request))
    found = get_object_or_404(visible.select_related("published_version"), slug=slug)
    if request.method == "POST":
        return _run(request, found)
    version = services.current_version(found)
    fleet = fitness.Fleet.now()
    parameters = fleet.with_current_choices(version.parsed_parameters, version.graph, version.needs)
    form = parameters_form(with_hints(parameters, version.resolved_inputs), initial=_earlier_inputs(request))
    context = {
        "template": found,
        "form": form,
        "action": reverse("template", args=[found.slug]),
        "description": markdown.render(found.description),
        "unavailable": fleet.why_unavailable(version),
    }
    return render(request, "generations/template.html", context)


def _earlier_inputs(request: HttpRequest) -> dict[str, Any] | None:
    try:
        pk = uuid.UUID(request.GET.get("from", ""))
    except ValueError:
        return None
    earlier = Generation.objects.for_member(request.user).filter(pk=pk).first()
    return earlier.inputs if earlier else None


def _run(request: HttpRequest, found: WorkflowTemplate) -> HttpResponse:
    version = services.current_version(found)
    parameters = fitness.Fleet.now().current_parameters(version)
    form = parameters_form(with_hints(parameters, version.resolved_inputs), data=request.POST, files=request.FILES)
    return runs.run(request, found, version, form, action=reverse("template", args=[found.slug]))


@login_required
@require_GET
def history(request: HttpRequest) -> HttpResponse:
    """The workspace's generations, newest first, in pages; `?before=` is the cursor of the page before.

    `?member=` is the number of the person whose generations alone are shown.
    """
    workspace = chosen_workspace(request)
    rows = Generation.objects.in_workspace(workspace).newest_first()
    member = _member(request)
    if member is not None:
        rows = rows.made_by(member)
    if (cursor := request.GET.get("before")) is not None:
        rows = rows.older_than(*_position(cursor))
    page, has_more = rows.with_details().page(PAGE_SIZE)
    chosen: dict[str, str | int] = {"member": member.pk} if member is not None else {}
    context = {
        "cards": [_card(row) for row in page],
        "next": urlencode({**chosen, "before": cursor_of(page[-1])}) if has_more else "",
        "is_first": cursor is None,
        "workspace": workspace,
        "member": member,
    }
    return render(request, "generations/_cards.html" if runs.is_htmx(request) else "generations/history.html", context)


def _member(request: HttpRequest) -> User | None:
    """Whose generations are asked for; None for everybody's. Http404 for whoever is no member of the workspace."""
    number = request.GET.get("member", "")
    if not number:
        return None
    mine = chosen_membership(request)
    if not number.isdecimal() or len(number) > MOST_DIGITS:
        raise Http404
    rows = Membership.objects.for_member(request.user).filter(workspace=mine.workspace, user=int(number))
    return get_object_or_404(rows.select_related("user")).user


def _position(cursor: str) -> tuple[datetime, uuid.UUID]:
    try:
        return read_cursor(cursor)
    except ValueError:
        msg = "This address does not lead to a page of your history."
        raise BadRequest(msg) from None


def _card(generation: Generation) -> dict[str, Any]:
    outputs = snapshot.shown_outputs(generation)
    pictured = [output for output in outputs if output.asset and output.asset.thumbnail_key]
    text = next((output.value for output in outputs if output.kind == "text"), "")
    first = min(pictured, key=lambda output: output.is_temporary, default=None)
    return {
        "generation": generation,
        "maker": generation.user.shown_name,
        "asset": first.asset if first else None,
        "count": len(outputs),
        "text": text,
    }


@login_required
@require_GET
def generation(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Everything about one generation. For htmx, with `?card=1`, its card of the history."""
    found = _mine(request, pk)
    if runs.is_htmx(request) and "card" in request.GET:
        return render(request, "generations/_card.html", {"card": _card(found), "workspace": found.workspace})
    context = {"inputs": _inputs(found), "workspace": found.workspace, "maker": found.user}
    return render(request, "generations/generation.html", {**_panel(request, found), **context})


def _inputs(found: Generation) -> list[dict[str, Any]]:
    parameters = found.version.parsed_parameters
    ids = [found.inputs[p.name] for p in parameters if p.is_media and found.inputs.get(p.name)]
    kept = Asset.objects.in_workspace(found.workspace).in_bulk(ids) if ids and found.workspace else {}
    assets = {str(key): asset for key, asset in kept.items()}
    resolved = found.resolved_inputs
    return [
        {
            "label": p.label,
            "value": found.inputs.get(p.name),
            "asset": assets.get(str(found.inputs.get(p.name))) if p.is_media else None,
            "resolved": resolved.get(p.name),
            "is_media": p.is_media,
            "type": p.type,
        }
        for p in parameters
        if found.inputs.get(p.name) is not None
    ]


@login_required
@require_GET
def panel(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The live panel alone, as the page's script fetches it when something changed."""
    return render(request, "generations/_panel.html", _panel(request, _mine(request, pk)))


def _panel(request: HttpRequest, found: Generation) -> dict[str, Any]:
    return runs.panel_context(found, may_change=may_change(request, found))


def _mine(request: HttpRequest, pk: uuid.UUID) -> Generation:
    """Of any of the user's workspaces: a link leads there, whichever is chosen."""
    rows = Generation.objects.for_member(request.user).with_details().select_related("workspace__plan")
    return get_object_or_404(rows, pk=pk)


@login_required
@post_only("generation", "pk")
def cancel(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Ask the generation to stop."""
    found = _mine(request, pk)
    try:
        ensure_may_change(request, found)
    except NotAllowedError as refusal:
        messages.error(request, str(refusal))
        return redirect("generation", pk=pk)
    found = services.cancel(found)
    if runs.is_htmx(request):
        return render(request, "generations/_panel.html", runs.panel_context(found))
    return redirect("generation", pk=pk)


@login_required
@post_only("generation", "pk")
def rerun(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Run the same inputs again; `new_seed` draws new seeds."""
    found = _mine(request, pk)
    try:
        new = rerunning.rerun(found, by=user_of(request), is_new_seed="new_seed" in request.POST)
    except InvalidInputs as invalid:
        sentences = " ".join(sentence for each in invalid.errors.values() for sentence in each)
        messages.error(request, f"This generation cannot run again as it was. {sentences}")
        return redirect("generation", pk=pk)
    except (
        services.CannotRunError,
        raw.InvalidWorkflowError,
        naming.MissingAssetError,
        services.NotAllowedError,
        raw.RawNotAllowedError,
        QueueFullError,
        StorageFullError,
        WorkspaceError,
    ) as refusal:
        messages.error(request, str(refusal))
        return redirect("generation", pk=pk)
    return redirect("generation", pk=new.pk)


@login_required
@post_only("generation", "pk")
def delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Delete the generation and its files for good."""
    found = _mine(request, pk)
    try:
        ensure_may_change(request, found)
        services.delete(found)
    except NotAllowedError as refusal:
        messages.error(request, str(refusal))
        return redirect("generation", pk=pk)
    except services.NotFinishedError:
        messages.error(request, "This generation is still under way. Cancel it first.")
        return redirect("generation", pk=pk)
    messages.info(request, "The generation and its files were deleted.")
    return redirect("history")
