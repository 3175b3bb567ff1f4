"""Shapes of the API. Jobs have theirs in `generations.contract`, because webhooks tell of them, too."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import Field, StringConstraints

from generations.contract import Job, JobSummary

LABEL_KEY = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Labels = Annotated[
    dict[
        Annotated[str, StringConstraints(pattern=LABEL_KEY)],
        Annotated[str, StringConstraints(max_length=500)],
    ],
    Field(max_length=16, description="Labels of your own, up to 16.", examples=[{"client": "acme"}]),
]
ScopeName = Literal["read", "run", "raw", "manage"]


class ErrorDetail(Schema):
    """What went wrong, for programs (`code`) and people (`message`)."""

    code: str = Field(examples=["not_found"])
    message: str
    details: dict[str, Any] | None = None


class ErrorEnvelope(Schema):
    """Every error has this shape."""

    error: ErrorDetail


# ---------------------------------------------------------------------------------------------- templates
class TemplateSummary(Schema):
    """A published template."""

    slug: str = Field(examples=["text-to-image"])
    title: str
    description: str
    category: str
    tags: list[str]
    credits_cost: int
    version: int | None = Field(description="The version that is run; null for one that is not published (staff).")
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
    is_fit: bool = Field(description="It has everything that users cannot choose.")
    is_known: bool
    missing: list[str]
    missing_defaults: list[str] = Field(description="What it lacks for users who leave the settings alone.")


class ImportFlag(Schema):
    """Something to check before users run a workflow. `node_id` is empty when it speaks of no single node."""

    text: str
    node_id: str


class ImportedTemplate(Schema):
    """A template that was made from a workflow. `version` is null while it is a draft."""

    slug: str
    title: str
    version: int | None
    parameters: list[dict[str, Any]]
    notes: list[str] = Field(description="What became of the workflow, in sentences.")
    flags: list[ImportFlag] = Field(description="Those notes that somebody should look at before users run it.")
    servers: list[ServerFitness]
    studio_url: str


class TemplateDetail(TemplateSummary):
    """A template with what it wants."""

    is_workflow_removed: bool = Field(description="Whether results come without the workflow that ComfyUI writes in.")
    parameters: list[dict[str, Any]] = Field(description="`role` says what each stands for; it may be empty.")
    inputs_schema: dict[str, Any] = Field(description="JSON Schema of `inputs`; `x-role` is a parameter's role.")


class TemplateChange(Schema):
    """What staff change of a template without its workflow; what is left out stays."""

    model_config = {"extra": "forbid"}

    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)] | None = None
    description: Annotated[str, StringConstraints(max_length=20_000)] | None = None
    category: Annotated[str, StringConstraints(strip_whitespace=True, max_length=60)] | None = None
    tags: Annotated[list[Name], Field(max_length=30)] | None = None
    position: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] | None = None
    is_workflow_removed: bool | None = Field(None, description="Whether users get results without the workflow.")
    is_published: bool | None = Field(None, description="True publishes its newest version, false withdraws it.")
    accept_flags: bool | None = Field(
        None, description="Publish it although nobody looked at everything that its import flagged."
    )


# ---------------------------------------------------------------------------------------------- jobs
class JobOptions(Schema):
    """What may come along with any job."""

    model_config = {"extra": "forbid"}

    metadata: Labels = {}
    webhook: UUID | None = Field(None, description="A webhook of yours to be told of this job.")


class TemplateJobRequest(JobOptions):
    """What to run a template with."""

    inputs: dict[str, Any] = Field(
        default_factory=dict,
        description="By parameter name. Files: the id of an asset, an https:// address, or a data: URL.",
        examples=[{"prompt": "a lighthouse above the clouds"}],
    )
    count: Annotated[int, Field(ge=1, le=32)] | None = Field(
        None, description="So many variations, each with a seed of its own; the answer is then a list."
    )


class ExtraPngInfo(Schema):
    """What nodes may look up while they run, and ComfyUI writes into files."""

    model_config = {"extra": "forbid"}

    workflow: dict[str, Any] = Field(
        description="The same workflow in the editor's format: properties and places of the nodes that run are kept."
    )


class ExtraData(Schema):
    """Passed on to ComfyUI and forgotten when the job ends."""

    model_config = {"extra": "forbid"}

    api_key_comfy_org: Annotated[str, StringConstraints(max_length=1000)] = Field(
        "", description="Key for partner nodes, which call paid services."
    )
    extra_pnginfo: ExtraPngInfo | None = None


class RawJobRequest(JobOptions):
    """A whole workflow in the API format. Files in it are `core/ASSET` objects."""

    workflow: dict[str, Any] = Field(
        examples=[{"9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "ComfyUI"}}}]
    )
    extra_data: ExtraData | None = None


class RerunRequest(JobOptions):
    """The same again, or nearly."""

    new_seed: bool = Field(False, description="Draw fresh seeds. Otherwise the result is the same.")
    inputs: dict[str, Any] = Field(default_factory=dict, description="What to change of the inputs.")


class JobBatch(Schema):
    """Jobs that were made together."""

    jobs: list[Job]


class JobList(Schema):
    """A page of your jobs, newest first. `next_cursor` goes into `?cursor=`; null on the last page."""

    jobs: list[JobSummary]
    next_cursor: str | None


class JobWorkflow(Schema):
    """The graph that a job ran."""

    workflow: dict[str, Any]
    format: Literal["save", "api"]


class BulkRequest(Schema):
    """The same for many jobs."""

    model_config = {"extra": "forbid"}

    action: Literal["cancel", "delete"]
    ids: Annotated[list[UUID], Field(min_length=1, max_length=200)]


class BulkResult(Schema):
    """What became of one of them."""

    id: UUID
    result: Literal["canceled", "canceling", "already_finished", "deleted", "not_finished", "not_found"]


class BulkResults(Schema):
    """In the order of the request."""

    results: list[BulkResult]


# ---------------------------------------------------------------------------------------------- assets
class AssetOut(Schema):
    """One file of yours."""

    id: UUID
    hash: str | None
    size_bytes: int
    content_type: str = Field(description="As its bytes show it; application/octet-stream when they show nothing.")
    file_path: str | None
    tags: list[str]
    created_at: datetime
    url: str
    url_expires_at: datetime
    expires_at: datetime | None = None
    job_id: UUID | None = None
    created_new: bool | None = None


class FromHash(Schema):
    """Bytes that you have here already."""

    model_config = {"extra": "forbid"}

    hash: Annotated[str, StringConstraints(max_length=100)] = Field(examples=["blake3:" + "0" * 64])
    file_path: Annotated[str, StringConstraints(max_length=255)] = ""
    tags: Annotated[list[str], Field(max_length=32)] = []
    expires_in: Annotated[int, Field(ge=60, le=604_800)] | None = None


# ---------------------------------------------------------------------------------------------- account
class Limits(Schema):
    """What your plan lets you do."""

    plan: str | None
    max_concurrent: int
    max_queued: int
    max_streams: int
    max_sockets: int
    requests_per_minute: int = Field(description="0: as many as you like.")
    uploads_per_minute: int = Field(description="Files; as many may be fetched. 0: as many as you like.")
    max_storage_bytes: int = Field(description="Beyond it, 403 `storage_full`. 0: as much as there is.")
    max_upload_bytes: int


class KeyOut(Schema):
    """An API key. The secret is shown once, when it is made."""

    id: str = Field(examples=["3f2a90c1d4e5"])
    name: str
    hint: str = Field(examples=["csk_3f2a90c1d4e5_…"])
    scopes: list[str]
    requests_per_minute: int
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


class NewKey(KeyOut):
    """With its secret, for this once."""

    secret: str


class KeyRequest(Schema):
    """A key to be made."""

    model_config = {"extra": "forbid"}

    name: Name
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=4)] = ["read", "run"]
    expires_in_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    requests_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class KeyList(Schema):
    """Your keys."""

    keys: list[KeyOut]


class Me(Schema):
    """Who you are here."""

    email: str
    name: str
    is_staff: bool
    may_submit_workflows: bool
    key: KeyOut | None = Field(description="The key that you came with; null for a session.")
    limits: Limits


class DayUsage(Schema):
    """One day, in UTC."""

    date: str = Field(examples=["2026-11-24"])
    jobs: int
    succeeded: int
    execution_seconds: float


class Usage(Schema):
    """What you made in the last days, and what you have."""

    since: datetime
    jobs: dict[str, int] = Field(description="By status.")
    execution_seconds: float
    days: list[DayUsage]
    storage_bytes: int = Field(description="Of all your files; those with the same bytes count once.")
    files: int


# ---------------------------------------------------------------------------------------------- webhooks
EventName = Literal["job.started", "job.succeeded", "job.failed", "job.canceled"]


class WebhookRequest(Schema):
    """An address to be told at."""

    model_config = {"extra": "forbid"}

    url: Annotated[str, StringConstraints(min_length=1, max_length=2000)] = Field(
        examples=["https://example.com/hooks/comfysaas"]
    )
    events: Annotated[list[EventName], Field(min_length=1, max_length=4)] = [
        "job.succeeded",
        "job.failed",
        "job.canceled",
    ]
    is_for_every_job: bool = Field(True, description="False: only for jobs that name it.")


class WebhookChange(Schema):
    """What is left out stays."""

    model_config = {"extra": "forbid"}

    url: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None
    events: Annotated[list[EventName], Field(min_length=1, max_length=4)] | None = None
    is_for_every_job: bool | None = None
    is_enabled: bool | None = None


class WebhookOut(Schema):
    """One of your webhooks. `secret` verifies the signatures (Standard Webhooks)."""

    id: UUID
    url: str
    secret: str
    events: list[str]
    is_for_every_job: bool
    is_enabled: bool
    disabled_reason: str
    failing_since: datetime | None
    created_at: datetime


class WebhookList(Schema):
    """Your webhooks."""

    webhooks: list[WebhookOut]


class DeliveryOut(Schema):
    """A message to one of your webhooks."""

    id: UUID
    message_id: str = Field(description="The `webhook-id` header; the same in every attempt.")
    event: str
    job_id: UUID | None
    state: Literal["delivered", "waiting", "failed"]
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    status_code: int | None
    error: str
    payload: dict[str, Any]


class DeliveryList(Schema):
    """A page of the log, newest first."""

    deliveries: list[DeliveryOut]
    next_cursor: str | None


# ---------------------------------------------------------------------------------------------- servers
class ServerOut(Schema):
    """A ComfyUI server."""

    id: int
    name: str
    url: str
    slots: int
    is_enabled: bool
    is_draining: bool
    is_history_kept: bool
    are_files_offered: bool
    state: str
    state_message: str
    is_online: bool
    comfyui_version: str
    seen_at: datetime | None
    auth_header_name: str


class ServerRequest(Schema):
    """A server to be used. The header's value is stored encrypted and never shown."""

    model_config = {"extra": "forbid"}

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
    url: Annotated[str, StringConstraints(max_length=300)] = Field(examples=["http://10.0.0.5:8188"])
    slots: Annotated[int, Field(ge=1, le=100)] = 2
    is_enabled: bool = True
    is_draining: bool = False
    is_history_kept: bool = False
    are_files_offered: bool = False
    auth_header_name: Annotated[str, StringConstraints(max_length=80)] = ""
    auth_header_value: Annotated[str, StringConstraints(max_length=2000)] = ""


class ServerChange(Schema):
    """What is left out stays."""

    model_config = {"extra": "forbid"}

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)] | None = None
    url: Annotated[str, StringConstraints(max_length=300)] | None = None
    slots: Annotated[int, Field(ge=1, le=100)] | None = None
    is_enabled: bool | None = None
    is_draining: bool | None = None
    is_history_kept: bool | None = None
    are_files_offered: bool | None = None
    auth_header_name: Annotated[str, StringConstraints(max_length=80)] | None = None
    auth_header_value: Annotated[str, StringConstraints(max_length=2000)] | None = None


class ServerList(Schema):
    """All servers."""

    servers: list[ServerOut]


class ServerCheck(Schema):
    """What it answered."""

    is_answering: bool
    message: str
    server: ServerOut
