"""Jobs: what the code calls generations."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from ninja import Router
from ninja.errors import HttpError

from generations import events, queue, services, snapshot
from generations.api import schemas
from generations.api.schemas import ErrorEnvelope, Job
from generations.models import Generation, Output, Status

if TYPE_CHECKING:
    from accounts.models import User

router = Router()
NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
STATUS: dict[str, schemas.JobStatus] = {
    Status.QUEUED: "queued",
    Status.SUBMITTED: "queued",
    Status.RUNNING: "running",
    Status.STORING: "running",
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.CANCELED: "canceled",
}
FOUND = {200: Job, 401: ErrorEnvelope, 404: ErrorEnvelope}


@router.get("/jobs/{id}", response=FOUND, operation_id="getJob", summary="Read a job", url_name="getJob")
def get_job(request: HttpRequest, id: uuid.UUID) -> Job:
    """The job: status, progress, every output stored so far, error. Poll this."""
    return describe(request, _mine(request, id))


@router.post(
    "/jobs/{id}/cancel",
    response={**FOUND, 403: ErrorEnvelope},
    operation_id="cancelJob",
    summary="Cancel a job",
    url_name="cancelJob",
)
def cancel_job(request: HttpRequest, id: uuid.UUID) -> Job:
    """Ask it to stop. A finished job stays as it is."""
    return describe(request, services.cancel(_mine(request, id)))


@router.get(
    "/jobs/{id}/events",
    response={401: ErrorEnvelope, 404: ErrorEnvelope, 501: ErrorEnvelope},
    operation_id="getJobEvents",
    summary="Follow a job",
    url_name="getJobEvents",
)
def get_events(request: HttpRequest, id: uuid.UUID) -> NoReturn:
    """This server does not stream events over HTTP: poll the job. (Signed-in browsers use a websocket.)"""
    _mine(request, id)
    raise HttpError(501, "Events are not streamed here. Poll the job instead.")


@router.get(
    "/jobs/{id}/outputs/{position}/content",
    response={200: None, 401: ErrorEnvelope, 404: ErrorEnvelope},
    operation_id="getJobOutputContent",
    summary="Read a text or value",
    url_name="getJobOutputContent",
)
def get_output(request: HttpRequest, id: uuid.UUID, position: int) -> HttpResponse:
    """A text or value that an output node returned without making a file."""
    output = get_object_or_404(_mine(request, id).outputs, position=position, asset=None)
    body, content_type = _inline(output)
    return HttpResponse(body, content_type=content_type, headers={"X-Content-Type-Options": "nosniff"})


def caller(request: HttpRequest) -> User:
    """The authenticated user."""
    return cast("User", request.user)


def _mine(request: HttpRequest, pk: uuid.UUID) -> Generation:
    return get_object_or_404(Generation.objects.for_user(request.user).with_details(), pk=pk)


def describe(request: HttpRequest, generation: Generation) -> Job:
    """The job of a generation."""
    place = queue.place(generation) if generation.status == Status.QUEUED else None
    return Job(
        id=generation.pk,
        status="canceling" if generation.is_canceling else STATUS[generation.status],
        created_at=generation.created_at,
        started_at=generation.started_at,
        completed_at=generation.finished_at,
        expires_at=expiry(generation.finished_at or timezone.now()),
        queue_position=place.position if place else None,
        progress=_progress(snapshot.progress(generation)),
        outputs=[_output(request, output) for output in snapshot.shown_outputs(generation)],
        error=_error(generation),
        metrics={
            "queue_ms": _milliseconds(generation.queue_seconds),
            "execution_ms": _milliseconds(generation.execution_seconds),
        },
        urls=schemas.JobUrls(
            self=reverse("api:getJob", args=[generation.pk]),
            events=reverse("api:getJobEvents", args=[generation.pk]),
            cancel=reverse("api:cancelJob", args=[generation.pk]),
        ),
        template=generation.version.template.slug,
        inputs=generation.inputs,
    )


def expiry(moment: datetime) -> datetime:
    """Until when something that was finished then is kept."""
    days = settings.RETENTION_DAYS
    return moment + timedelta(days=days) if days else NEVER


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _progress(found: events.Progress | None) -> schemas.Progress | None:
    if found is None:
        return None
    step = f" {found['step']}/{found['steps']}" if found["steps"] else ""
    return schemas.Progress(
        value=found["value"],
        nodes_done=found["nodes_done"],
        nodes_total=found["nodes_total"],
        current_node=found["node_id"],
        current_node_class=found["node_class"],
        step=found["step"],
        steps=found["steps"],
        message=f"{found['node_title']}{step}" if found["node_title"] else None,
    )


def _error(generation: Generation) -> schemas.JobError | None:
    found = snapshot.error_item(generation)
    if found is None:
        return None
    return schemas.JobError(
        code=found["code"],
        message=found["message"],
        node_id=found["node_id"] or None,
        class_type=found["class_type"] or None,
    )


def url_expiry() -> datetime:
    """Until when a link in an answer is good for a direct download."""
    return timezone.now() + timedelta(seconds=settings.SIGNED_URL_SECONDS)


def _output(request: HttpRequest, output: Output) -> schemas.JobOutput:
    asset = output.asset
    kind: Any = "file" if output.kind == "data" else output.kind
    if asset is None:
        body, content_type = _inline(output)
        # Stable, although there is no file behind it: made from the generation and the output's place in it.
        asset_id = uuid.uuid5(output.generation_id, str(output.position))
        path = reverse("api:getJobOutputContent", args=[output.generation_id, output.position])
        name, size, digest = f"{output.key}-{output.position}.{'txt' if kind == 'text' else 'json'}", len(body), None
    else:
        content_type, asset_id, digest = asset.content_type, asset.pk, asset.hash
        path = reverse("api:getAssetContent", args=[asset.pk])
        name, size = asset.name, asset.size_bytes
    return schemas.JobOutput(
        node_id=output.node_id,
        name=name,
        type=kind,
        content_type=content_type,
        size_bytes=size,
        id=asset_id,
        hash=digest,
        url=request.build_absolute_uri(path),
        url_expires_at=url_expiry(),
        job_id=output.generation_id,
    )


def _inline(output: Output) -> tuple[bytes, str]:
    if output.kind == "text" and isinstance(output.value, str):
        return output.value.encode(), "text/plain; charset=utf-8"
    return json.dumps(output.value).encode(), "application/json"
