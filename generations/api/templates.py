"""Templates: what may be run, and running it."""

from __future__ import annotations

from typing import Annotated, Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import File, Form, Query, Router
from ninja import Status as Answer
from ninja.errors import HttpError
from ninja.files import UploadedFile

from generations import fitness, importing, services, studio
from generations.api import jobs
from generations.api.schemas import (
    ErrorEnvelope,
    ImportedTemplate,
    Job,
    JobRequest,
    ServerFitness,
    TemplateDetail,
    TemplateList,
)
from generations.models import WorkflowTemplate
from generations.parameters.json_schema import json_schema

router = Router()
NO_NUL = r"^[^\x00]*$"  # PostgreSQL cannot compare with it
HIDDEN = {"bindings"}  # where a parameter goes in the graph stays inside


@router.get(
    "/templates",
    response={200: TemplateList, 401: ErrorEnvelope},
    operation_id="listTemplates",
    summary="List templates",
    url_name="listTemplates",
)
def list_templates(  # noqa: PLR0917  (django-ninja reads query parameters from here)
    request: HttpRequest,
    q: Annotated[str, Query(pattern=NO_NUL)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    tag: Annotated[str, Query(pattern=NO_NUL)] = "",
    category: Annotated[str, Query(pattern=NO_NUL)] = "",
) -> dict[str, Any]:
    """Published templates that you may run, in the gallery's order.

    `q` searches in title, description, category and tags; `tag` and `category` are exact.
    """
    rows = WorkflowTemplate.objects.visible_to(request.user).for_lists().search(q)
    if category:
        rows = rows.filter(category=category)
    found = [row for row in rows.order_by("position", "title", "pk") if tag in ("", *row.tags)]
    page = found[cursor : cursor + limit + 1]
    has_more = len(page) > limit
    fleet = fitness.Fleet()
    return {
        "data": [_summary(request, row, fleet) for row in page[:limit]],
        "next_cursor": str(cursor + limit) if has_more else None,
    }


@router.post(
    "/templates",
    response={201: ImportedTemplate, **dict.fromkeys((401, 403, 409, 422), ErrorEnvelope)},
    operation_id="importTemplate",
    summary="Make a template from a workflow (staff)",
    url_name="importTemplate",
)
def import_template(
    request: HttpRequest,
    file: UploadedFile = File(...),  # type: ignore[type-arg]  # noqa: B008
    title: Annotated[str, Form(max_length=120, pattern=NO_NUL)] = "",
    publish: Annotated[bool, Form()] = False,
) -> Answer[ImportedTemplate]:
    """A new template from any workflow file: JSON as ComfyUI saves or exports it, a package, a result that carries one.

    Parameters are proposed from the graph. It stays a draft unless `publish` is true; 409 when it cannot be published,
    with nothing kept. 422 `invalid_workflow` tells what is wrong with the file.
    """
    user = jobs.caller(request)
    if not (user.is_staff and user.has_perm("generations.add_workflowtemplate")):
        raise HttpError(403, "Making templates is for staff.")
    object_info = importing.known_nodes()
    imported = importing.read(file.read(importing.MAX_BYTES + 1), object_info)
    with transaction.atomic():
        template, notes = studio.create(user, imported, object_info=object_info, title=title, source=file.name or "")
        draft = studio.draft_of(template)
        version = studio.publish(template, user, object_info=object_info) if publish else None
    servers = [
        ServerFitness(server=each.server, is_fit=each.is_fit, is_known=each.is_known, missing=each.missing)
        for each in studio.fitness_of(draft)
    ]
    made = ImportedTemplate(
        slug=template.slug,
        title=template.title,
        version=version.number if version else None,
        parameters=draft.parameters,
        notes=notes,
        servers=servers,
        studio_url=request.build_absolute_uri(reverse("admin:template_studio", args=[template.pk])),
    )
    return Answer(201, made)


@router.get(
    "/templates/{slug:slug}",
    response={200: TemplateDetail, 401: ErrorEnvelope, 404: ErrorEnvelope},
    operation_id="getTemplate",
    summary="Read a template",
    url_name="getTemplate",
)
def get_template(request: HttpRequest, slug: str) -> dict[str, Any]:
    """One template, with the JSON Schema of its inputs."""
    found = _visible(request, slug)
    version, fleet = services.current_version(found), fitness.Fleet()
    parameters = fleet.with_current_choices(version.parsed_parameters, version.graph)
    return {
        **_summary(request, found, fleet),
        "parameters": [each.model_dump(mode="json", exclude=HIDDEN) for each in parameters],
        "inputs_schema": json_schema(parameters),
    }


@router.post(
    "/templates/{slug:slug}/jobs",
    response={201: Job, **dict.fromkeys((401, 403, 404, 409, 422, 429), ErrorEnvelope)},
    operation_id="postTemplateJob",
    summary="Run a template",
    url_name="postTemplateJob",
)
def post_job(request: HttpRequest, slug: str, payload: JobRequest, response: HttpResponse) -> Answer[Job]:
    """Run it. 201 means that the job is durably queued; 422 names each input that is wrong.

    409: no server has what it needs. 429: too many of yours wait already; try again after Retry-After seconds.
    """
    version = services.current_version(_visible(request, slug))
    generation = services.submit(user=jobs.caller(request), version=version, inputs=payload.inputs)
    job = jobs.describe(request, generation)
    response["Location"] = job.urls.self
    return Answer(201, job)


def _visible(request: HttpRequest, slug: str) -> WorkflowTemplate:
    rows = WorkflowTemplate.objects.visible_to(request.user).select_related("published_version")
    return get_object_or_404(rows, slug=slug)


def _summary(request: HttpRequest, template: WorkflowTemplate, fleet: fitness.Fleet) -> dict[str, Any]:
    version = services.current_version(template)
    reason = fleet.why_unavailable(version)
    cover = request.build_absolute_uri(reverse("template-cover", args=[template.slug])) if template.cover else None
    return {
        "slug": template.slug,
        "title": template.title,
        "description": template.description,
        "category": template.category,
        "tags": template.tags,
        "credits_cost": template.credits_cost,
        "version": version.number,
        "is_available": not reason,
        "unavailable_reason": reason or None,
        "cover_url": cover,
        "urls": {
            "self": reverse("api:getTemplate", args=[template.slug]),
            "jobs": reverse("api:postTemplateJob", args=[template.slug]),
        },
    }
