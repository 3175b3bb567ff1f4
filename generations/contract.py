"""A generation as the API and webhooks describe it: a job, in the shapes of the Comfy API v2."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from django.conf import settings
from django.utils import timezone
from pydantic import BaseModel, Field

from generations.live import events, snapshot
from generations.live.links import link
from generations.models import Generation, Output, Status
from generations.models.generation import UPSTREAM

JobStatus = Literal["queued", "running", "succeeded", "canceling", "canceled", "failed", "expired"]
OutputType = Literal["image", "video", "audio", "text", "file", "latent"]
NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
STATUS: dict[str, JobStatus] = {
    Status.QUEUED: "queued",
    Status.SUBMITTED: "queued",
    Status.RUNNING: "running",
    Status.STORING: "running",
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.CANCELED: "canceled",
}


class Progress(BaseModel):
    """A complete snapshot."""

    value: float = Field(ge=0, le=1, examples=[0.42])
    nodes_done: int = Field(examples=[11])
    nodes_total: int = Field(examples=[31])
    current_node: str | None = None
    current_node_class: str | None = None
    step: int | None = None
    steps: int | None = None
    message: str | None = None


class JobError(BaseModel):
    """Why the job failed."""

    code: str
    message: str
    node_id: str | None = None
    class_type: str | None = None
    traceback: str | None = None


class JobWarning(BaseModel):
    """What is missing from the result of a job that succeeded."""

    code: str = Field(examples=["output_missing"])
    message: str
    node_id: str | None = None
    name: str | None = Field(None, description="Of the missing file, as ComfyUI called it.")


class JobUrls(BaseModel):
    """Links to follow; resolve them against this server's address."""

    self: str
    events: str
    cancel: str
    workflow: str
    rerun: str


class JobOutput(BaseModel):
    """One result."""

    node_id: str
    name: str
    type: OutputType
    content_type: str
    size_bytes: int
    id: uuid.UUID
    hash: str | None
    url: str
    url_expires_at: datetime
    job_id: uuid.UUID
    width: int | None = Field(description="In pixels, of a picture.")
    height: int | None


class Maker(BaseModel):
    """The member who made a job."""

    email: str
    name: str = Field(description="Empty when the member gave none.")


class JobSummary(BaseModel):
    """A job in a list."""

    id: uuid.UUID
    status: JobStatus
    template: str | None = Field(description="Its template's slug; null for a whole workflow.")
    created_by: Maker
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    outputs: list[JobOutput]
    error: JobError | None
    warnings: list[JobWarning] = Field(description="Missing results; empty when it is complete.")
    metadata: dict[str, str]
    urls: JobUrls
    create_time: datetime = Field(description="created_at, as the official SDKs look for it.")
    update_time: datetime = Field(description="When its status last changed.")


class Job(BaseModel):
    """One run of a template, or of a whole workflow."""

    id: uuid.UUID
    status: JobStatus
    created_by: Maker
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    expires_at: datetime
    queue_position: int | None
    message: str | None = Field(description="For the person who waits: why it has not started, or about when it does.")
    progress: Progress | None
    outputs: list[JobOutput]
    error: JobError | None
    warnings: list[JobWarning] = Field(description="Missing results; empty when it is complete.")
    metrics: dict[str, int | None]
    urls: JobUrls
    template: str | None = Field(description="Its template's slug; null for a whole workflow.")
    template_version: int | None
    inputs: dict[str, Any] = Field(description="As they were used; seeds are texts.")
    resolved_inputs: dict[str, str] = Field(
        description="The texts that ran, for inputs with {alternatives}, // comments or %patterns%. Others are absent."
    )
    metadata: dict[str, str]


def job_of(generation: Generation, site: str, *, has_progress: bool = True) -> Job:
    """The job that a generation is. `site` is the address that links to files begin with, such as https://example.com.

    Without `has_progress`, only the database is asked: progress is kept in the cache.
    """
    waiting = snapshot.waiting(generation)
    return Job(
        **_shared(generation, site),
        expires_at=expiry(generation),
        queue_position=waiting["queue_position"],
        message=waiting["message"] or None,
        progress=progress_of(snapshot.progress(generation)) if has_progress else None,
        metrics={
            "queue_ms": _milliseconds(generation.queue_seconds),
            "execution_ms": _milliseconds(generation.execution_seconds),
        },
        template_version=generation.version.number if generation.version.template_id else None,
        inputs=generation.inputs,
        resolved_inputs=generation.resolved_inputs,
    )


def summary_of(generation: Generation, site: str) -> JobSummary:
    """The job in a list: nothing that would cost a query of its own."""
    moments = (generation.finished_at, generation.executed_at, generation.started_at, generation.submitted_at)
    return JobSummary(
        **_shared(generation, site),
        create_time=generation.created_at,
        update_time=next((moment for moment in moments if moment), generation.created_at),
    )


def _shared(generation: Generation, site: str) -> dict[str, Any]:
    """What a job shows in a list and by itself."""
    return {
        "id": generation.pk,
        "status": status_of(generation),
        "template": generation.version.slug,
        "created_by": Maker(email=generation.user.email, name=generation.user.get_full_name()),
        "created_at": generation.created_at,
        "started_at": generation.started_at,
        "completed_at": generation.finished_at,
        "outputs": outputs_of(generation, site),
        "error": error_of(generation),
        "warnings": warnings_of(generation),
        "metadata": generation.metadata,
        "urls": _urls(generation),
    }


def status_of(generation: Generation) -> JobStatus:
    """In the contract's words. What was asked to stop while a server has it is canceling."""
    if generation.is_canceling and generation.status in UPSTREAM:
        return "canceling"
    return STATUS[generation.status]


def outputs_of(generation: Generation, site: str) -> list[JobOutput]:
    """Every result that is stored by now."""
    return [_output(output, site) for output in snapshot.shown_outputs(generation)]


def expiry(generation: Generation) -> datetime:
    """Until when it is kept, as its workspace's plan and the site say now; before its end, as if that were now."""
    days = generation.workspace.limits.kept_days if generation.workspace else settings.RETENTION_DAYS
    return (generation.finished_at or timezone.now()) + timedelta(days=days) if days else NEVER


def url_expiry() -> datetime:
    """Until when a link in an answer is good for a direct download."""
    return timezone.now() + timedelta(seconds=settings.SIGNED_URL_SECONDS)


def progress_of(found: events.ProgressState | None) -> Progress | None:
    """In the contract's shape."""
    if found is None:
        return None
    step = f" {found['step']}/{found['steps']}" if found["steps"] else ""
    return Progress(
        value=found["value"],
        nodes_done=found["nodes_done"],
        nodes_total=found["nodes_total"],
        current_node=found["node_id"],
        current_node_class=found["node_class"],
        step=found["step"],
        steps=found["steps"],
        message=f"{found['node_title']}{step}" if found["node_title"] else None,
    )


def error_of(generation: Generation) -> JobError | None:
    """Why it failed; None unless it did."""
    found = snapshot.error_item(generation)
    if found is None:
        return None
    return JobError(
        code=found["code"],
        message=found["message"],
        node_id=found["node_id"] or None,
        class_type=found["class_type"] or None,
    )


def warnings_of(generation: Generation) -> list[JobWarning]:
    """What is missing from its result."""
    return [
        JobWarning(
            code=each["code"],
            message=each["message"],
            node_id=each["node_id"] or None,
            name=each["name"] or None,
        )
        for each in snapshot.warning_items(generation)
    ]


def inline(output: Output) -> tuple[bytes, str]:
    """(bytes, content type) of an output that has no file: a text or some other value."""
    if output.kind == "text" and isinstance(output.value, str):
        return output.value.encode(), "text/plain; charset=utf-8"
    return json.dumps(output.value).encode(), "application/json"


def inline_name(output: Output) -> str:
    """What to call it as a file."""
    return f"{output.key}-{output.position}.{'txt' if output.kind == 'text' else 'json'}"


def _urls(generation: Generation) -> JobUrls:
    return JobUrls(
        self=link("api:getJob", generation.pk),
        events=link("api:getJobEvents", generation.pk),
        cancel=link("api:cancelJob", generation.pk),
        workflow=link("api:getJobWorkflow", generation.pk),
        rerun=link("api:rerunJob", generation.pk),
    )


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _output(output: Output, site: str) -> JobOutput:
    asset = output.asset
    kind: Any = "file" if output.kind == "data" else output.kind
    if asset is None:
        body, content_type = inline(output)
        asset_id, name, size, digest = output.public_id, inline_name(output), len(body), None
    else:
        content_type, asset_id, digest = asset.content_type, asset.pk, asset.hash
        name, size = asset.name, asset.size_bytes
    return JobOutput(
        node_id=output.node_id,
        name=name,
        type=kind,
        content_type=content_type,
        size_bytes=size,
        id=asset_id,
        hash=digest,
        url=site + link("api:getAssetContent", asset_id),
        url_expires_at=url_expiry(),
        job_id=output.generation_id,
        width=asset.width if asset else None,
        height=asset.height if asset else None,
    )
