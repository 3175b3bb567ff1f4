"""Shapes of requests that make jobs, and of answers with several jobs."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from generations.api.schemas import NO_NUL
from generations.contract import Job, JobStatus, JobSummary
from generations.models.history import in_utc

LABEL_KEY = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"
Labels = Annotated[
    dict[
        Annotated[str, StringConstraints(pattern=LABEL_KEY)],
        Annotated[str, StringConstraints(max_length=500)],
    ],
    Field(max_length=16, description="Up to 16 labels that you choose.", examples=[{"client": "acme"}]),
]
Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]


class JobFilter(Schema):
    """Which jobs to list."""

    status: list[JobStatus] = Field([], description="Jobs with one of these statuses.")
    template: str = Field("", pattern=NO_NUL, description="Jobs of the template with this slug.")
    member: str = Field("", pattern=NO_NUL, max_length=320, description="Jobs that the member with this address made.")
    q: str = Field("", pattern=NO_NUL, max_length=500, description="Jobs whose texts have all these words.")
    created_after: Moment | None = None
    created_before: Moment | None = None
    limit: int = Field(50, ge=1, le=200)
    cursor: str = Field("", pattern=NO_NUL, max_length=200, description="`next_cursor` of the page before.")


class JobOptions(Schema):
    """What every request for a job may carry."""

    model_config = {"extra": "forbid"}

    metadata: Labels = {}
    webhook: UUID | None = Field(None, description="The id of your webhook that gets the events of this job.")


class TemplateJobRequest(JobOptions):
    """The inputs of a template, and options."""

    inputs: dict[str, Any] = Field(
        default_factory=dict,
        description="Values by parameter name. A file is the id of an asset, an https:// address, or a data: URL.",
        examples=[{"prompt": "a lighthouse above the clouds"}],
    )
    count: Annotated[int, Field(ge=1, le=32)] | None = Field(
        None, description="How many variations to make, each with its own seed. The answer is then a list of jobs."
    )


class ExtraPngInfo(Schema):
    """What nodes can read while they run, and what ComfyUI writes into files."""

    model_config = {"extra": "forbid"}

    workflow: dict[str, Any] = Field(
        description="The same workflow in the editor's format. Properties and positions of the nodes that run are kept."
    )


class ExtraData(Schema):
    """Passed on to ComfyUI, and deleted when the job ends."""

    model_config = {"extra": "forbid"}

    api_key_comfy_org: Annotated[str, StringConstraints(max_length=1000)] = Field(
        default="", description="Key for partner nodes, which call paid services."
    )
    extra_pnginfo: ExtraPngInfo | None = None


class RawJobRequest(JobOptions):
    """A whole workflow in the API format. Files in it are `core/ASSET` objects."""

    workflow: dict[str, Any] = Field(
        examples=[{"9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "ComfyUI"}}}]
    )
    extra_data: ExtraData | None = None


class RerunRequest(JobOptions):
    """What to change when a job runs again."""

    new_seed: bool = Field(False, description="True draws new seeds; false repeats the result.")
    inputs: dict[str, Any] = Field(default_factory=dict, description="New values for some inputs; the others stay.")


class JobBatch(Schema):
    """Jobs that were made together."""

    jobs: list[Job]


class JobList(Schema):
    """A page of jobs, newest first. Pass `next_cursor` as `?cursor=` for the next page; null on the last page."""

    jobs: list[JobSummary]
    next_cursor: str | None


class JobWorkflow(Schema):
    """The graph that a job ran."""

    workflow: dict[str, Any]
    format: Literal["save", "api"]


class BulkRequest(Schema):
    """One action for many jobs."""

    model_config = {"extra": "forbid"}

    action: Literal["cancel", "delete"]
    ids: Annotated[list[UUID], Field(min_length=1, max_length=200)]


class BulkResult(Schema):
    """What the action did to one job."""

    id: UUID
    result: Literal["canceled", "canceling", "already_finished", "deleted", "not_finished", "not_found", "forbidden"]


class BulkResults(Schema):
    """One result for each job, in the order of the request."""

    results: list[BulkResult]
