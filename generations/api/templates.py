"""Templates: what may be run, and running it."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import Query, Router
from ninja import Status as Answer

from generations import services
from generations.api import jobs
from generations.api.schemas import ErrorEnvelope, Job, JobRequest, TemplateDetail, TemplateList
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
def list_templates(
    request: HttpRequest,
    q: Annotated[str, Query(pattern=NO_NUL)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> dict[str, Any]:
    """Published templates that you may run, in the gallery's order. `q` searches in the title."""
    rows = WorkflowTemplate.objects.visible_to(request.user).select_related("published_version")
    if q:
        rows = rows.filter(title__icontains=q)
    page = list(rows.order_by("position", "title", "pk")[cursor : cursor + limit + 1])
    has_more = len(page) > limit
    return {
        "data": [_summary(request, row) for row in page[:limit]],
        "next_cursor": str(cursor + limit) if has_more else None,
    }


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
    parameters = services.current_version(found).parsed_parameters
    return {
        **_summary(request, found),
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


def _summary(request: HttpRequest, template: WorkflowTemplate) -> dict[str, Any]:
    cover = request.build_absolute_uri(reverse("template-cover", args=[template.slug])) if template.cover else None
    return {
        "slug": template.slug,
        "title": template.title,
        "description": template.description,
        "tags": template.tags,
        "version": services.current_version(template).number,
        "cover_url": cover,
        "urls": {
            "self": reverse("api:getTemplate", args=[template.slug]),
            "jobs": reverse("api:postTemplateJob", args=[template.slug]),
        },
    }
