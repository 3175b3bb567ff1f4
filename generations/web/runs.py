"""Runs a version with the inputs of its form: for a template's page, and to try a draft."""

from __future__ import annotations

from typing import Any, cast

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django_htmx.http import reswap, retarget

from accounts.access import user_of
from accounts.concurrency import TooBusyError
from accounts.current import chosen_workspace
from accounts.rates import RateLimitedError
from accounts.workspaces import WorkspaceError
from generations.comfy.decoders import BusyError
from generations.files import accepting, assets
from generations.lifecycle import services
from generations.live import snapshot
from generations.models import Asset, Generation, Status, TemplateVersion, WorkflowTemplate
from generations.models.usage import StorageFullError
from generations.parameters.form import ParametersForm
from generations.parameters.validate import InvalidInputs
from generations.scheduling.queue import QueueFullError


def run(
    request: HttpRequest,
    template: WorkflowTemplate,
    version: TemplateVersion | None,
    form: ParametersForm,
    *,
    action: str,
) -> HttpResponse:
    """The new generation's live panel, or the form with its errors. Without a version, the form says why."""
    _keep_files(request, form)
    generation = _submitted(request, version, form) if version is not None and form.is_valid() else None
    if generation is not None:
        if is_htmx(request):
            return render(request, "generations/_panel.html", panel_context(generation))
        return redirect("generation", pk=generation.pk)
    context = {"template": template, "form": form, "action": action}
    if is_htmx(request):
        response = render(request, "generations/_form.html", context, status=422)
        return reswap(retarget(response, "#run-form"), "outerHTML")
    return render(request, "generations/template.html", context, status=422)


def _keep_files(request: HttpRequest, form: ParametersForm) -> None:
    """Files become assets whatever else is wrong with the form: browsers would have them chosen again."""
    kinds = {parameter.name: parameter.type for parameter in form.parameters if parameter.is_media}
    for name, file in cast("dict[str, UploadedFile[Any]]", request.FILES).items():
        if name not in kinds or name in form.errors:
            continue
        try:
            form.keep(name, _upload(request, file, kinds[name]).pk)
        except (accepting.InvalidUploadError, TooBusyError, BusyError, RateLimitedError, StorageFullError) as error:
            form.add_error(name, str(error))


def _upload(request: HttpRequest, file: UploadedFile[Any], kind: str) -> Asset:
    return assets.upload(user=user_of(request), workspace=chosen_workspace(request), file=file, kind=kind)


def _submitted(request: HttpRequest, version: TemplateVersion, form: ParametersForm) -> Generation | None:
    """The new generation; None with the reason in the form's errors."""
    inputs, user = dict(form.cleaned_data), user_of(request)
    try:
        return services.submit(user=user, workspace=chosen_workspace(request), version=version, inputs=inputs)
    except InvalidInputs as invalid:
        for field, sentences in invalid.errors.items():
            form.add_error(field if field in form.fields else None, sentences)
        return None
    except (
        services.CannotRunError,
        services.NotAllowedError,
        QueueFullError,
        StorageFullError,
        WorkspaceError,
    ) as refusal:
        form.add_error(None, str(refusal))
        return None


def is_htmx(request: HttpRequest) -> bool:
    """True when htmx asks for a part of a page (`request.htmx` comes from django_htmx's middleware)."""
    return bool(getattr(request, "htmx", False))


def panel_context(found: Generation, *, may_change: bool = True) -> dict[str, Any]:
    """What the live panel of a generation shows; only who may change it can cancel it there."""
    state = snapshot.state(found)
    results = [output for output in state["outputs"] if not output["is_temporary"]]
    previews = [output for output in state["outputs"] if output["is_temporary"]]
    # A workflow that only previews has its previews as results.
    return {
        "generation": found,
        "state": state,
        "results": results or previews,
        "previews": previews if results else [],
        "may_change": may_change,
        "is_waiting": found.status in (Status.QUEUED, Status.SUBMITTED),
    }
