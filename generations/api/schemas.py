"""Shapes of the API, after the Comfy API v2."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import Field

JobStatus = Literal["queued", "running", "succeeded", "canceling", "canceled", "failed", "expired"]
OutputType = Literal["image", "video", "audio", "text", "file", "latent"]


class ErrorDetail(Schema):
    """What went wrong, for programs (`code`) and people (`message`)."""

    code: str = Field(examples=["not_found"])
    message: str
    details: dict[str, Any] | None = None


class ErrorEnvelope(Schema):
    """Every error has this shape."""

    error: ErrorDetail


class TemplateSummary(Schema):
    """A published template."""

    slug: str = Field(examples=["text-to-image"])
    title: str
    description: str
    category: str
    tags: list[str]
    credits_cost: int
    version: int
    is_available: bool = Field(description="False while no server can run it.")
    unavailable_reason: str | None
    cover_url: str | None
    urls: dict[str, str]


class TemplateList(Schema):
    """A page of templates. `next_cursor` goes into `?cursor=`; null on the last page."""

    data: list[TemplateSummary]
    next_cursor: str | None


class ServerFitness(Schema):
    """Whether a server can run a draft. `is_known` is false until it has told what it has."""

    server: str
    is_fit: bool
    is_known: bool
    missing: list[str]


class ImportedTemplate(Schema):
    """A template that was made from a workflow. `version` is null while it is a draft."""

    slug: str
    title: str
    version: int | None
    parameters: list[dict[str, Any]]
    notes: list[str] = Field(description="What became of the workflow, in sentences.")
    servers: list[ServerFitness]
    studio_url: str


class TemplateDetail(TemplateSummary):
    """A template with what it wants."""

    parameters: list[dict[str, Any]]
    inputs_schema: dict[str, Any] = Field(description="JSON Schema of `inputs`.")


class JobRequest(Schema):
    """What to run it with."""

    model_config = {"extra": "forbid"}

    inputs: dict[str, Any] = Field(default_factory=dict, examples=[{"prompt": "a lighthouse above the clouds"}])


class Progress(Schema):
    """A complete snapshot."""

    value: float = Field(ge=0, le=1)
    nodes_done: int
    nodes_total: int
    current_node: str | None = None
    current_node_class: str | None = None
    step: int | None = None
    steps: int | None = None
    message: str | None = None


class JobError(Schema):
    """Why the job failed."""

    code: str
    message: str
    node_id: str | None = None
    class_type: str | None = None
    traceback: str | None = None


class JobUrls(Schema):
    """Links to follow."""

    self: str
    events: str
    cancel: str


class JobOutput(Schema):
    """One result."""

    node_id: str
    name: str
    type: OutputType
    content_type: str
    size_bytes: int
    id: UUID
    hash: str | None
    url: str
    url_expires_at: datetime
    job_id: UUID


class Job(Schema):
    """One run of a template."""

    id: UUID
    status: JobStatus
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    expires_at: datetime
    queue_position: int | None
    progress: Progress | None
    outputs: list[JobOutput]
    error: JobError | None
    metrics: dict[str, int | None]
    urls: JobUrls
    template: str
    inputs: dict[str, Any]


class AssetOut(Schema):
    """One file of yours."""

    id: UUID
    hash: str | None
    size_bytes: int
    content_type: str
    file_path: str | None
    created_at: datetime
    url: str
    url_expires_at: datetime
    expires_at: datetime | None = None
    job_id: UUID | None = None
    created_new: bool | None = None
