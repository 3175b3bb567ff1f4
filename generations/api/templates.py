"""Templates: what may be run, and running it."""

from __future__ import annotations

import io
from typing import Annotated, Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import UploadedFile as DjangoFile
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import File, Form, Query, Router
from ninja import Status as Answer
from ninja.errors import HttpError
from ninja.files import UploadedFile
from pydantic import ValidationError

from accounts.access import user_of
from accounts.current import workspace_of
from accounts.models import Scope, Workspace
from generations.api.auth import staff
from generations.api.body import InvalidBodyError, parse_json, read_json
from generations.api.operations import IdempotencyKey, operation
from generations.api.schemas import NO_NUL
from generations.api.schemas.jobs import JobBatch, TemplateJobRequest
from generations.api.schemas.templates import (
    Audience,
    ImportedTemplate,
    ImportFlag,
    ServerFitness,
    TemplateChange,
    TemplateDetail,
    TemplateList,
)
from generations.comfy.notes import Note
from generations.contract import Job, job_of
from generations.files import spooling
from generations.files.inputs import gather
from generations.lifecycle import services
from generations.models import TemplateDraft, TemplateVersion, WorkflowTemplate
from generations.parameters.json_schema import json_schema
from generations.parameters.validate import InvalidInputs
from generations.scheduling import catalogs, fitness
from generations.studio import checks, drafts, importing, making, publishing

router = Router()
HIDDEN = {"bindings"}  # where a parameter goes in the graph stays inside
OWN_FIELDS = {"inputs", "count", "metadata", "webhook"}
JOB_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {"schema": TemplateJobRequest.model_json_schema()},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "description": "Files under the names of their parameters; the others as `inputs`, in JSON, or as "
                "fields of their own.",
                "properties": {"inputs": {"type": "string", "contentMediaType": "application/json"}},
                "additionalProperties": True,
            }
        },
    },
}


@operation(
    router,
    "GET",
    "/templates",
    scope=Scope.READ,
    name="listTemplates",
    summary="List templates",
    returns={200: TemplateList},
    errors=(422,),
)
def list_templates(  # noqa: PLR0917  (django-ninja reads query parameters from here)
    request: HttpRequest,
    q: Annotated[str, Query(pattern=NO_NUL)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    tag: Annotated[str, Query(pattern=NO_NUL)] = "",
    category: Annotated[str, Query(pattern=NO_NUL)] = "",
    unpublished: Annotated[bool, Query(description="Staff: those that are not published, instead.")] = False,
) -> dict[str, Any]:
    """Published templates that you may run in this workspace, in the gallery's order.

    `q` searches in title, description, category and tags; `tag` and `category` are exact.
    """
    if unpublished:
        staff(request, "generations.view_workflowtemplate")
        everything = WorkflowTemplate.objects.filter(published_version=None)
    else:
        everything = WorkflowTemplate.objects.visible_to(user_of(request), workspace_of(request))
    rows = everything.for_lists().search(q)
    if category:
        rows = rows.filter(category=category)
    found = [row for row in rows.order_by("position", "title", "pk") if tag in ("", *row.tags)]
    page = found[cursor : cursor + limit + 1]
    has_more = len(page) > limit
    fleet = fitness.Fleet.now()
    return {
        "data": [_summary(row, fleet) for row in page[:limit]],
        "next_cursor": str(cursor + limit) if has_more else None,
    }


@operation(
    router,
    "POST",
    "/templates",
    scope=Scope.MANAGE,
    name="importTemplate",
    summary="Make a template from a workflow (staff)",
    returns={201: ImportedTemplate},
    errors=(409, 422),
)
def import_template(
    request: HttpRequest,
    file: UploadedFile = File(...),  # type: ignore[type-arg]  # noqa: B008
    title: Annotated[str, Form(max_length=120, pattern=NO_NUL)] = "",
    publish: Annotated[bool, Form()] = False,
    *,
    accept_flags: Annotated[bool, Form(description="Publish it although notes flag something to check.")] = False,
    accept_missing: Annotated[
        bool, Form(description="Publish it although no server can run it with its defaults.")
    ] = False,
) -> Answer[ImportedTemplate]:
    """A new template from any workflow file: JSON as ComfyUI saves or exports it, a package, a result that carries one.

    Parameters are proposed from the graph. The template stays a draft unless `publish` is true. 409 when it cannot be
    published, with nothing kept: `not_publishable` when no server can run it with its defaults, unless
    `accept_missing` is true; `unchecked_flags` lists notes that somebody should look at first, unless `accept_flags` is
    true. The studio shows the notes until somebody imports another workflow or publishes the draft. 422
    `invalid_workflow` says what is wrong with the file.
    """
    user = staff(request, "generations.add_workflowtemplate")
    object_info = catalogs.known_nodes()
    content = file.read(importing.MAX_BYTES + 1)
    imported = importing.read(content, object_info, by=user)
    version: TemplateVersion | None = None
    with transaction.atomic():
        template, notes = making.create(
            user,
            imported,
            object_info=object_info,
            title=title,
            source=(file.name or "").replace("\x00", ""),
            content_hash=spooling.hash_of(io.BytesIO(content)),
        )
        draft = drafts.draft_of(template)
        if publish:
            version = publishing.publish(
                template,
                None,
                user=user,
                object_info=object_info,
                is_confirmed=accept_missing,
                are_flags_accepted=accept_flags,
            )
    return Answer(201, _imported(template, draft, version, notes))


def _imported(
    template: WorkflowTemplate, draft: TemplateDraft, version: TemplateVersion | None, notes: list[Note]
) -> ImportedTemplate:
    return ImportedTemplate(
        slug=template.slug,
        title=template.title,
        version=version.number if version else None,
        parameters=draft.parameters,
        notes=[*notes],
        flags=[ImportFlag(text=note, node_id=note.node_id) for note in notes if note.is_flag],
        servers=[_fitness(report) for report in checks.fitness_of(draft)],
        studio_url=settings.PUBLIC_ORIGIN + reverse("admin:template_studio", args=[template.pk]),
    )


def _fitness(report: fitness.Report) -> ServerFitness:
    return ServerFitness(
        server=report.server,
        is_fit=report.is_fit,
        is_known=report.is_known,
        missing=report.missing,
        missing_defaults=[*report.missing_defaults],
    )


@operation(
    router,
    "GET",
    "/templates/{slug:slug}",
    scope=Scope.READ,
    name="getTemplate",
    summary="Read a template",
    returns={200: TemplateDetail},
    errors=(404,),
)
def get_template(request: HttpRequest, slug: str) -> dict[str, Any]:
    """One template, with the JSON Schema of its inputs."""
    found = _visible(request, slug)
    return {**_detail(found), "audience": _audience(found) if _is_editor(request) else None}


@operation(
    router,
    "PATCH",
    "/templates/{slug:slug}",
    scope=Scope.MANAGE,
    name="changeTemplate",
    summary="Change what users see of a template; publish or withdraw it (staff)",
    returns={200: TemplateDetail},
    errors=(404, 409, 422),
)
def change_template(request: HttpRequest, slug: str, payload: TemplateChange) -> dict[str, Any]:
    """Change what users read of a template, or whether they see it. Its workflow and parameters are changed in the
    studio, or by importing a new one.

    `is_published` publishes the version again that users ran last, never one that was only tried; 409 `not_publishable`
    when there is none, and when no server can run it with its defaults, unless `accept_missing` is true.

    `audience` decides who sees it; 422 for one that names nobody, or a group or workspace that does not exist.
    """
    user = staff(request, "generations.change_workflowtemplate")
    changes = payload.model_dump(exclude_unset=True, exclude_none=True, exclude={"audience"})
    is_published = changes.pop("is_published", None)
    accepted = {"is_confirmed": changes.pop("accept_missing", False)}
    accepted["are_flags_accepted"] = changes.pop("accept_flags", False)
    with transaction.atomic():
        rows = WorkflowTemplate.objects.select_for_update(of=("self",)).select_related("published_version")
        found = get_object_or_404(rows, slug=slug)
        for name, value in changes.items():
            setattr(found, name, value)
        found.save(update_fields=[*changes, "updated_at"])
        if payload.audience is not None:
            _open_to(found, payload.audience)
        if is_published is True:
            publishing.publish_again(found, user=user, object_info=catalogs.known_nodes(), **accepted)
        elif is_published is False:
            found.set_published(None)
    return {**_detail(found), "audience": _audience(found)}


def _is_editor(request: HttpRequest) -> bool:
    user = user_of(request)
    return user.is_staff and user.has_perm("generations.change_workflowtemplate")


def _audience(template: WorkflowTemplate) -> dict[str, Any]:
    return {
        "kind": template.visibility,
        "groups": [*template.groups.order_by("name").values_list("name", flat=True)],
        "workspaces": [*template.workspaces.order_by("pk").values_list("public_id", flat=True)],
    }


def _open_to(template: WorkflowTemplate, audience: Audience) -> None:
    """InvalidInputs: a list of another kind, one with nothing in it, or what does not exist."""
    lists: dict[str, list[Any]] = {"groups": [*audience.groups], "workspaces": [*audience.workspaces]}
    groups = Group.objects.filter(name__in=audience.groups)
    workspaces = Workspace.objects.open().filter(public_id__in=audience.workspaces)
    known: dict[str, set[Any]] = {
        "groups": {each.name for each in groups},
        "workspaces": {each.public_id for each in workspaces},
    }
    for name, wanted in lists.items():
        if wanted and audience.kind != name:
            raise InvalidInputs({"audience": [f"“{name}” are named, but “kind” says “{audience.kind.value}”."]})
        if unknown := [str(each) for each in wanted if each not in known[name]]:
            raise InvalidInputs({"audience": [f"There are no such {name}: {', '.join(unknown)}."]})
    try:
        template.open_to(audience.kind, groups=groups, workspaces=workspaces)
    except ValueError as error:
        raise InvalidInputs({"audience": [str(error)]}) from error


@operation(
    router,
    "POST",
    "/templates/{slug:slug}/jobs",
    scope=Scope.RUN,
    name="postTemplateJob",
    summary="Run a template",
    returns={201: Job | JobBatch},
    errors=(404, 409, 422),
    extra={"requestBody": JOB_BODY},
)
def post_job(
    request: HttpRequest, slug: str, response: HttpResponse, idempotency_key: IdempotencyKey = ""
) -> Answer[Job | JobBatch]:
    """Run it. 201 means that the job is durably queued; 422 names each input that is wrong.

    With `count`, the answer has a list of as many jobs, all of them queued or none. 409: no server has what it needs.
    429: too many of your jobs wait already; try again after Retry-After seconds.
    """
    user = user_of(request)
    workspace = workspace_of(request)
    if (template := WorkflowTemplate.objects.runnable(user, workspace, slug)) is None:
        raise Http404
    payload, files = _read(request)
    extras = services.extras_of(
        user,
        workspace=workspace,
        webhook_id=payload.webhook,
        metadata=payload.metadata,
        idempotency_key=idempotency_key,
    )
    services.ensure_unused(user, extras)  # before files are stored for nothing
    parameters = services.current_version(template).parsed_parameters
    has_files = bool(files) or any(each.is_media for each in parameters)
    inputs = gather(user, workspace, parameters, payload.inputs, files) if has_files else payload.inputs
    rows = services.submit_current(
        user=user,
        workspace=workspace,
        template=template,
        inputs=inputs,
        count=payload.count or 1,
        extras=extras,
    )
    made = [job_of(row, settings.PUBLIC_ORIGIN) for row in rows]
    response["Location"] = made[0].urls.self
    return Answer(201, made[0] if payload.count is None else JobBatch(jobs=made))


def _read(request: HttpRequest) -> tuple[TemplateJobRequest, dict[str, DjangoFile[Any]]]:
    """The body, be it JSON or a form with files."""
    if request.content_type not in {"multipart/form-data", "application/x-www-form-urlencoded"}:
        return _checked(read_json(request) if request.body else None), {}
    fields = {name: str(value) for name, value in request.POST.items() if name != "csrfmiddlewaretoken"}
    if any("\x00" in text for pair in fields.items() for text in pair):
        raise HttpError(400, "A form has no NUL characters.")
    data: dict[str, Any] = {name: _parsed(name, fields.pop(name)) for name in OWN_FIELDS & fields.keys()}
    given = data.get("inputs", {})
    data["inputs"] = {**given, **fields} if isinstance(given, dict) else given
    return _checked(data), {name: file for name, file in request.FILES.items() if isinstance(file, DjangoFile)}


def _parsed(name: str, text: str) -> Any:
    if name == "webhook":
        return text
    try:
        return parse_json(text)
    except ValueError as error:
        raise HttpError(400, f"The field “{name}” is not valid JSON: {error}.") from error


def _checked(data: Any) -> TemplateJobRequest:
    try:
        return TemplateJobRequest.model_validate(data)
    except ValidationError as error:
        raise InvalidBodyError(error) from error


def _visible(request: HttpRequest, slug: str) -> WorkflowTemplate:
    rows = WorkflowTemplate.objects.visible_to(user_of(request), workspace_of(request))
    return get_object_or_404(rows.select_related("published_version"), slug=slug)


def _detail(template: WorkflowTemplate) -> dict[str, Any]:
    fleet = fitness.Fleet.now()
    version = template.published_version or template.versions.order_by("-number").first()
    parameters = fleet.with_current_choices(version.parsed_parameters, version.graph, version.needs) if version else ()
    return {
        **_summary(template, fleet),
        "parameters": [each.model_dump(mode="json", exclude=HIDDEN) for each in parameters],
        "inputs_schema": json_schema(parameters),
        "is_workflow_removed": template.is_workflow_removed,
    }


def _summary(template: WorkflowTemplate, fleet: fitness.Fleet) -> dict[str, Any]:
    version: TemplateVersion | None = template.published_version
    reason = fleet.why_unavailable(version) if version else "It is not published."
    cover = settings.PUBLIC_ORIGIN + reverse("template-cover", args=[template.slug]) if template.cover else None
    return {
        "slug": template.slug,
        "title": template.title,
        "description": template.description,
        "category": template.category,
        "tags": template.tags,
        "credits_cost": template.credits_cost,
        "version": version.number if version else None,
        "is_available": not reason,
        "unavailable_reason": reason or None,
        "cover_url": cover,
        "urls": {
            "self": reverse("api:getTemplate", args=[template.slug]),
            "jobs": reverse("api:postTemplateJob", args=[template.slug]),
        },
    }
