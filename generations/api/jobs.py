"""Jobs: what the code calls generations."""

from __future__ import annotations

import base64
import re
import uuid
from datetime import datetime
from typing import Annotated, Any

from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema
from ninja import Status as Answer
from ninja.errors import HttpError
from pydantic import AfterValidator, AwareDatetime, Field

from accounts.access import user_of
from accounts.models import Scope
from generations import contract
from generations.api.auth import need
from generations.api.operations import NO_NUL, IdempotencyKey, operation
from generations.api.schemas import (
    LABEL_KEY,
    BulkRequest,
    BulkResult,
    BulkResults,
    JobList,
    JobOptions,
    JobWorkflow,
    RawJobRequest,
    RerunRequest,
)
from generations.api.streams import stream_job
from generations.contract import Job, JobStatus, describe
from generations.lifecycle import raw, rerunning, services
from generations.models import Generation, Status, Webhook
from generations.models.generation import UPSTREAM
from generations.models.history import cursor_of, in_utc, read_cursor
from generations.parameters.validate import InvalidInputs

router = Router()
_LABEL = re.compile(r"metadata\[(.*)\]")


class InvalidCursorError(Exception):
    """It is none of ours."""


class InvalidLabelsError(Exception):
    """`metadata[…]` of the query cannot be a label."""


Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]


class JobFilter(Schema):
    """Which jobs are wanted."""

    status: list[JobStatus] = Field([], description="One or several.")
    template: str = Field("", pattern=NO_NUL, description="A template's slug.")
    q: str = Field("", pattern=NO_NUL, max_length=500, description="Words in its texts, such as the prompt.")
    created_after: Moment | None = None
    created_before: Moment | None = None
    limit: int = Field(50, ge=1, le=200)
    cursor: str = Field("", pattern=NO_NUL, max_length=200, description="`next_cursor` of the page before.")


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
                "description": "Labels that it carries: `metadata[client]=acme`.",
            }
        ]
    },
)
def list_jobs(request: HttpRequest, wanted: Annotated[JobFilter, Query()]) -> JobList:
    """Yours, newest first."""
    rows = _filtered(Generation.objects.for_user(user_of(request)), wanted).labeled(_labels(request))
    if wanted.cursor:
        rows = rows.older_than(*_decode(wanted.cursor))
    page, has_more = rows.newest_first().with_details().defer("version__graph").page(wanted.limit)
    return JobList(
        jobs=[contract.summarize(row, settings.PUBLIC_ORIGIN) for row in page],
        next_cursor=_encode(page[-1]) if has_more else None,
    )


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
    """Runs the graph as it is: only for users who may (`submit_raw_workflow`). 201 means that it is durably queued.

    422 `invalid_workflow` names the nodes that are wrong, `missing_asset` the files that are not yours,
    `workflow_format_ui` means that this is the editor's format: export it as “API”.
    """
    extra = payload.extra_data
    partner_key = extra.api_key_comfy_org if extra else ""
    generation = raw.submit(
        user=user_of(request),
        workflow=payload.workflow,
        editor=extra.extra_pnginfo.workflow if extra and extra.extra_pnginfo else None,
        extras=extras(request, payload, idempotency_key, partner_key=partner_key),
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
    """Each of them for itself: what became of it is in the answer."""
    act = _cancel_one if payload.action == "cancel" else _delete_one
    found = Generation.objects.for_user(user_of(request)).with_details().in_bulk(payload.ids)
    results = []
    for pk in dict.fromkeys(payload.ids):
        result: Any = act(found[pk]) if pk in found else "not_found"
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
    """The job: status, progress, every output stored so far, error. Poll this."""
    return describe(mine(request, id), settings.PUBLIC_ORIGIN)


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
    """For good, with its outputs. 409 `job_not_finished`: cancel it first."""
    services.delete(mine(request, id))
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
    """The graph that it ran. 403 for a template's: that is hidden from its users."""
    found = mine(request, id)
    version = found.version
    if version.template_id is not None and not user_of(request).has_perm("generations.view_templateversion"):
        raise HttpError(403, "The workflow behind a template is not shown to its users.")
    media = {
        each.name: str(found.inputs[each.name])
        for each in version.parsed_parameters
        if each.is_media and found.inputs.get(each.name)
    }
    return JobWorkflow(workflow=found.graph(media), format="api")


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
            "status": "Where it stands: on connecting, and whenever that changes; with outputs and error at its end.",
            "progress": "A complete snapshot, about two a second.",
            "preview": "The unfinished picture, in base64, about one a second.",
            "output": "A result that is stored now; those that were there before come after the first status.",
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
    """A stream of server-sent events: where it stands now, then whatever changes; it ends with the job.

    Each `progress` is complete in itself. There is no replay: after a break, connect again. 429 `too_many_streams` when
    too many of yours are open.
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
    """Ask it to stop. A finished job stays as it is."""
    return describe(services.cancel(mine(request, id)), settings.PUBLIC_ORIGIN)


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
    """A new job of the same version with the same inputs; with fresh seeds or changed inputs, if you like."""
    found = mine(request, id)
    if found.version.template_id is None:
        need(request, Scope.RAW)
    generation = rerunning.rerun(
        found,
        is_new_seed=payload.new_seed,
        changes=payload.inputs,
        extras=extras(request, payload, idempotency_key),
    )
    return _made(generation, response)


def mine(request: HttpRequest, pk: uuid.UUID) -> Generation:
    """A job of the caller's; Http404."""
    return get_object_or_404(Generation.objects.for_user(user_of(request)).with_details(), pk=pk)


def extras(
    request: HttpRequest, options: JobOptions, idempotency_key: str, *, partner_key: str = ""
) -> services.Extras:
    """What came along with the request; InvalidInputs for a webhook that is not the caller's."""
    webhook = None
    if options.webhook is not None:
        webhook = Webhook.objects.for_user(user_of(request)).filter(pk=options.webhook).first()
        if webhook is None:
            raise InvalidInputs({"webhook": ["There is no such webhook of yours."]})
    return services.Extras(
        idempotency_key=idempotency_key, metadata=options.metadata, webhook=webhook, partner_key=partner_key
    )


def _made(generation: Generation, response: HttpResponse) -> Answer[Job]:
    job = describe(generation, settings.PUBLIC_ORIGIN)
    response["Location"] = job.urls.self
    return Answer(201, job)


def _filtered(rows: Any, wanted: JobFilter) -> Any:
    if wanted.status:
        is_canceling = Q(cancel_requested_at__isnull=False, status__in=UPSTREAM)
        states = {state for state, word in contract.STATUS.items() if word in wanted.status}
        chosen = Q(status__in=states) & ~is_canceling
        rows = rows.filter(chosen | is_canceling if "canceling" in wanted.status else chosen)
    if wanted.template:
        rows = rows.filter(version__template__slug=wanted.template)
    if wanted.created_after:
        rows = rows.filter(created_at__gt=wanted.created_after)
    if wanted.created_before:
        rows = rows.filter(created_at__lt=wanted.created_before)
    return rows.mentioning(wanted.q)


def _labels(request: HttpRequest) -> dict[str, str]:
    labels = {}
    for name, value in request.GET.items():
        match = _LABEL.fullmatch(name)
        if match is None:
            continue
        if not re.fullmatch(LABEL_KEY, match[1]) or "\x00" in str(value):
            raise InvalidLabelsError
        labels[match[1]] = str(value)
    return labels


def _encode(row: Generation) -> str:
    """The row's cursor in base64, so that nobody builds one by hand."""
    return base64.urlsafe_b64encode(cursor_of(row).encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[datetime, uuid.UUID]:
    try:
        return read_cursor(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except ValueError:
        raise InvalidCursorError from None


def _cancel_one(generation: Generation) -> str:
    if generation.is_terminal:
        return "already_finished"
    after = services.cancel(generation)
    return "canceled" if after.status == Status.CANCELED else "canceling" if after.is_canceling else "already_finished"


def _delete_one(generation: Generation) -> str:
    try:
        services.delete(generation)
    except services.NotFinishedError:
        return "not_finished"
    return "deleted"
