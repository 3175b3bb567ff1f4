"""Jobs, which the code calls generations."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Annotated, Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router
from ninja import Status as Answer
from ninja.errors import HttpError

from accounts.access import user_of
from accounts.current import ensure_may_change, workspace_of
from accounts.models import Scope
from accounts.workspaces import NotAllowedError
from generations import contract
from generations.api import job_queries
from generations.api.auth import need
from generations.api.operations import IdempotencyKey, operation
from generations.api.schemas.jobs import (
    BulkRequest,
    BulkResult,
    BulkResults,
    ExtraData,
    JobFilter,
    JobList,
    JobWorkflow,
    RawJobRequest,
    RerunRequest,
)
from generations.api.streams import stream_job
from generations.contract import Job, job_of
from generations.lifecycle import raw, rerunning, services
from generations.lifecycle.services import extras_of
from generations.models import Generation, Status
from generations.models.reading import read

router = Router()


@operation(
    router,
    "GET",
    "/jobs",
    scope=Scope.READ,
    name="listJobs",
    summary="List jobs",
    returns={200: JobList},
    errors=(422,),
    extra={
        "parameters": [
            {
                "name": "metadata",
                "in": "query",
                "style": "deepObject",
                "explode": True,
                "schema": {"type": "object", "additionalProperties": {"type": "string"}},
                "description": "Labels that the jobs carry, such as `metadata[client]=acme`.",
            }
        ]
    },
)
def list_jobs(request: HttpRequest, wanted: Annotated[JobFilter, Query()]) -> JobList:
    """The jobs of the workspace, newest first, whichever member made them.

    A page may have fewer jobs than `limit`, even none, before the last one: one request looks through so many of the
    jobs for labels, templates and words without three letters or digits in a row. Go on until `next_cursor` is null.
    """
    rows = Generation.objects.in_workspace(workspace_of(request))
    found, next_cursor = job_queries.page(rows, wanted, job_queries.labels_of(request))
    return JobList(jobs=[contract.summary_of(row, settings.PUBLIC_ORIGIN) for row in found], next_cursor=next_cursor)


@operation(
    router,
    "POST",
    "/jobs",
    scope=Scope.RAW,
    name="postJobs",
    summary="Run a whole workflow",
    returns={201: Job},
    errors=(422,),
)
def post_job(
    request: HttpRequest, payload: RawJobRequest, response: HttpResponse, idempotency_key: IdempotencyKey = ""
) -> Answer[Job]:
    """Runs the graph as it is. You need the permission `submit_raw_workflow`. 201 means that the job is durably queued.

    422 `invalid_workflow` names the nodes that are wrong, and `missing_asset` the files that you do not have.
    `workflow_format_ui` means that the workflow is in the editor's format: export it as “API”.
    """
    extra = payload.extra_data or ExtraData()
    generation = raw.submit(
        user=user_of(request),
        workspace=workspace_of(request),
        workflow=payload.workflow,
        editor=extra.extra_pnginfo.workflow if extra.extra_pnginfo else None,
        extras=extras_of(
            user_of(request),
            workspace=workspace_of(request),
            webhook_id=payload.webhook,
            metadata=payload.metadata,
            idempotency_key=idempotency_key,
            partner_key=extra.api_key_comfy_org,
        ),
    )
    return _made(generation, response)


@operation(
    router,
    "POST",
    "/jobs/bulk",
    scope=Scope.RUN,
    name="bulkJobs",
    summary="Cancel or delete many jobs",
    returns={200: BulkResults},
    errors=(422,),
)
def bulk(request: HttpRequest, payload: BulkRequest) -> BulkResults:
    """Each job on its own: the answer has a result for every id."""
    act = _cancel_one if payload.action == "cancel" else _delete_one
    found = Generation.objects.in_workspace(workspace_of(request)).with_details().in_bulk(payload.ids)
    results = []
    for pk in dict.fromkeys(payload.ids):
        result: Any = _act(request, act, found[pk]) if pk in found else "not_found"
        results.append(BulkResult(id=pk, result=result))
    return BulkResults(results=results)


@operation(
    router,
    "GET",
    "/jobs/{id}",
    scope=Scope.READ,
    name="getJob",
    summary="Read a job",
    returns={200: Job},
    errors=(404,),
)
def get_job(request: HttpRequest, id: uuid.UUID) -> Job:
    """Status, progress, error, and every output that is stored so far. Poll this, or follow `GET jobs/{id}/events`."""
    if (found := read(workspace_of(request), id)) is None:
        raise Http404
    return job_of(found, settings.PUBLIC_ORIGIN)


@operation(
    router,
    "DELETE",
    "/jobs/{id}",
    scope=Scope.RUN,
    name="deleteJob",
    summary="Delete a job",
    returns={204: None},
    errors=(404, 409),
)
def delete_job(request: HttpRequest, id: uuid.UUID) -> Answer[None]:
    """Deletes the job and its outputs for good.

    403: another member made it, and you are no admin. 409 `job_not_finished`: cancel the job first."""
    found = mine(request, id)
    ensure_may_change(request, found)
    services.delete(found)
    return Answer(204, None)


@operation(
    router,
    "GET",
    "/jobs/{id}/workflow",
    scope=Scope.READ,
    name="getJobWorkflow",
    summary="Read the workflow of a job",
    returns={200: JobWorkflow},
    errors=(404,),
)
def get_workflow(request: HttpRequest, id: uuid.UUID) -> JobWorkflow:
    """The graph that the job ran. 403 for a job of a template: only staff see the workflows of templates."""
    found = mine(request, id)
    is_template = found.version.template_id is not None
    if is_template and not user_of(request).has_perm("generations.view_templateversion"):
        raise HttpError(403, "Only staff can see the workflow of a template.")
    return JobWorkflow(workflow=found.graph(_media_of(found)), format="api")


@operation(
    router,
    "GET",
    "/jobs/{id}/events",
    scope=Scope.READ,
    name="getJobEvents",
    summary="Follow a job",
    returns={200: None},
    errors=(404, 501),
    extra={
        "x-sse-events": {
            "status": "The job's status: at the start and at every change. The last one has outputs and error.",
            "progress": "A complete snapshot, up to twice a second.",
            "preview": "The unfinished picture in base64, up to once a second.",
            "output": "A result that has just been stored. Earlier results follow the first status.",
        },
        "responses": {
            200: {
                "description": "Server-sent events `status`, `progress`, `preview`, `output`.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }
        },
    },
)
def get_events(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """A stream of server-sent events: the job as it is now, then every change. The stream ends with the job.

    Each `progress` is complete in itself. Events are not replayed: after a break, connect again to get the current
    state. 429 `too_many_streams` when you have as many streams open as your plan allows.
    """
    return stream_job(request, mine(request, id))


@operation(
    router,
    "POST",
    "/jobs/{id}/cancel",
    scope=Scope.RUN,
    name="cancelJob",
    summary="Cancel a job",
    returns={200: Job},
    errors=(404,),
)
def cancel_job(request: HttpRequest, id: uuid.UUID) -> Job:
    """Asks the job to stop. A finished job stays as it is. 403: another member made it, and you are no admin."""
    found = mine(request, id)
    ensure_may_change(request, found)
    return job_of(services.cancel(found), settings.PUBLIC_ORIGIN)


@operation(
    router,
    "POST",
    "/jobs/{id}/rerun",
    scope=Scope.RUN,
    name="rerunJob",
    summary="Run a job again",
    returns={201: Job},
    errors=(404, 409, 422),
)
def rerun_job(
    request: HttpRequest,
    id: uuid.UUID,
    payload: RerunRequest,
    response: HttpResponse,
    idempotency_key: IdempotencyKey = "",
) -> Answer[Job]:
    """Makes a new job of the same version with the same inputs, or with new seeds or changed inputs."""
    found = mine(request, id)
    if found.version.template_id is None:
        need(request, Scope.RAW)
    generation = rerunning.rerun(
        found,
        by=user_of(request),
        is_new_seed=payload.new_seed,
        changes=payload.inputs,
        extras=extras_of(
            user_of(request),
            workspace=workspace_of(request),
            webhook_id=payload.webhook,
            metadata=payload.metadata,
            idempotency_key=idempotency_key,
        ),
    )
    return _made(generation, response)


def mine(request: HttpRequest, pk: uuid.UUID) -> Generation:
    """The workspace's job with this id, and everything that describing it reads; Http404."""
    found = get_object_or_404(Generation.objects.in_workspace(workspace_of(request)).with_details(), pk=pk)
    found.workspace = workspace_of(request)
    return found


def _media_of(generation: Generation) -> dict[str, str]:
    """The ids of the files among its inputs, by parameter."""
    return {
        each.name: str(generation.inputs[each.name])
        for each in generation.version.parsed_parameters
        if each.is_media and generation.inputs.get(each.name)
    }


def _made(generation: Generation, response: HttpResponse) -> Answer[Job]:
    job = job_of(generation, settings.PUBLIC_ORIGIN)
    response["Location"] = job.urls.self
    return Answer(201, job)


def _act(request: HttpRequest, act: Callable[[Generation], str], found: Generation) -> str:
    try:
        ensure_may_change(request, found)
    except NotAllowedError:
        return "forbidden"
    return act(found)


def _cancel_one(generation: Generation) -> str:
    if generation.is_terminal:
        return "already_finished"
    after = services.cancel(generation)
    if after.status == Status.CANCELED:
        return "canceled"
    return "canceling" if after.is_canceling else "already_finished"


def _delete_one(generation: Generation) -> str:
    try:
        services.delete(generation)
    except services.NotFinishedError:
        return "not_finished"
    return "deleted"
