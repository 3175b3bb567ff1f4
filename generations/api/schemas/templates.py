"""Shapes of templates."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from ninja import Schema
from pydantic import Field, StringConstraints

from generations.api.schemas import Name
from generations.models.template import Visibility


class TemplateSummary(Schema):
    """A template in a list."""

    slug: str = Field(examples=["text-to-image"])
    title: str
    description: str = Field(description="In Markdown.")
    category: str
    tags: list[str]
    credits_cost: int
    version: int | None = Field(description="The published version, which jobs run; null when none is published.")
    is_available: bool = Field(description="False while no server can run the template.")
    unavailable_reason: str | None
    cover_url: str | None
    urls: dict[str, str]


class TemplateList(Schema):
    """A page of templates. Pass `next_cursor` as `?cursor=` for the next page; null on the last page."""

    data: list[TemplateSummary]
    next_cursor: str | None


class ServerFitness(Schema):
    """Whether a server can run a draft."""

    server: str
    is_fit: bool = Field(description="The server has everything that the draft needs and users cannot choose.")
    is_known: bool = Field(description="False until the server has reported its node types.")
    missing: list[str]
    missing_defaults: list[str] = Field(
        description="What the server lacks to run the draft with its defaults; users can choose something else."
    )


class ImportFlag(Schema):
    """Something to check before users run a workflow."""

    text: str
    node_id: str = Field(description="The node that the text is about; empty when it concerns the whole workflow.")


class ImportedTemplate(Schema):
    """A template that was made from a workflow."""

    slug: str
    title: str
    version: int | None = Field(description="The published version; null while the template is a draft.")
    parameters: list[dict[str, Any]]
    notes: list[str] = Field(description="What the import did with the workflow, in sentences.")
    flags: list[ImportFlag] = Field(description="The notes that somebody should check before users run the template.")
    servers: list[ServerFitness]
    studio_url: str


class Audience(Schema):
    """Who sees a template, besides staff."""

    model_config = {"extra": "forbid"}

    kind: Visibility = Field(description="Whom it is for. Lists of another kind are empty.")
    groups: Annotated[list[Name], Field(max_length=200)] = Field([], description="Names of groups.")
    workspaces: Annotated[list[uuid.UUID], Field(max_length=200)] = Field(
        [], description="Their members see the template while they work in one of them."
    )


class TemplateDetail(TemplateSummary):
    """A template and its parameters."""

    audience: Audience | None = Field(description="Who sees it; null unless you are staff who may change templates.")

    is_workflow_removed: bool = Field(
        description="True when ComfyUI's workflow is removed from the metadata of results."
    )
    parameters: list[dict[str, Any]] = Field(description="`role` says what a parameter stands for; it may be empty.")
    inputs_schema: dict[str, Any] = Field(description="JSON Schema of `inputs`; `x-role` is a parameter's role.")


class TemplateChange(Schema):
    """Changes to a template's texts and to its publication. Fields that you leave out keep their values."""

    model_config = {"extra": "forbid"}

    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)] | None = None
    description: Annotated[str, StringConstraints(max_length=20_000)] | None = Field(None, description="In Markdown.")
    category: Annotated[str, StringConstraints(strip_whitespace=True, max_length=60)] | None = None
    tags: Annotated[list[Name], Field(max_length=30)] | None = None
    position: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] | None = Field(
        None, description="Templates with smaller numbers come first in the gallery."
    )
    is_workflow_removed: bool | None = Field(
        None, description="True removes ComfyUI's workflow from the metadata of results."
    )
    audience: Audience | None = Field(None, description="Who sees it. Takes the place of the one before.")
    is_published: bool | None = Field(
        None, description="True publishes the version that users ran last, false withdraws it."
    )
    accept_flags: bool | None = Field(
        None, description="True publishes the template although nobody has checked what its import flagged."
    )
    accept_missing: bool | None = Field(
        None, description="True publishes the template although no server can run it with its defaults."
    )
