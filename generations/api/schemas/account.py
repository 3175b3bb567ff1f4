"""Shapes of the caller's account: limits, keys and usage."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from ninja import Schema
from pydantic import Field, StringConstraints

from accounts.models import Role
from accounts.profile import NAME_LENGTH
from generations.api.schemas import NO_NUL, Name

ScopeName = Literal["read", "run", "raw", "manage"]
ExportState = Literal["waiting", "ready", "failed"]


class Limits(Schema):
    """What your plan allows."""

    plan: str | None = Field(description="The plan's name; null for the usual limits.")
    max_concurrent: int = Field(description="Jobs that run or are next in the queue at the same time.")
    max_queued: int = Field(description="Jobs that may wait.")
    max_streams: int = Field(description="Event streams that may be open at the same time.")
    max_sockets: int = Field(description="Websockets that may be open at the same time.")
    requests_per_minute: int = Field(description="0 means no limit.")
    uploads_per_minute: int = Field(
        description="Files that you may upload, and addresses that you may have fetched. 0 means no limit."
    )
    max_storage_bytes: int = Field(
        description="Above it, uploads and new jobs get 403 `storage_full`. 0 means no limit."
    )
    max_upload_bytes: int


class Export(Schema):
    """An archive of everything that is yours, or a team's. It is fetched on the page “Your data”, by whoever is signed
    in as you.
    """

    id: uuid.UUID
    workspace_id: uuid.UUID | None = Field(description="The team that it is of. Null: it is of you.")
    state: ExportState
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="When it is deleted.")
    size_bytes: int


class ExportList(Schema):
    """Your exports that are kept, newest first."""

    exports: list[Export]


class KeyOut(Schema):
    """An API key. Its secret is shown only when the key is made."""

    id: str = Field(examples=["3f2a90c1d4e5"])
    name: str
    hint: str = Field(examples=["csk_3f2a90c1d4e5_…"])
    workspace_id: uuid.UUID | None = Field(
        description="Where the key works. Null for old keys, which work in your personal workspace."
    )
    scopes: list[str]
    requests_per_minute: int = Field(description="0 means that only your plan's limit counts.")
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


class NewKey(KeyOut):
    """A new API key with its secret. Store the secret: it is never shown again."""

    secret: str


class KeyRequest(Schema):
    """The key to make."""

    model_config = {"extra": "forbid"}

    name: Name
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=4)] = ["read", "run"]
    expires_in_days: Annotated[int, Field(ge=1, le=3650)] | None = Field(
        None, description="Null makes a key that does not expire."
    )
    requests_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        0, description="0 means that only your plan's limit counts."
    )


class KeyList(Schema):
    """Your API keys that are not revoked, newest first. Only the answer that makes a key has its secret."""

    keys: list[KeyOut]


class CurrentWorkspace(Schema):
    """The workspace in which a request works, and your role in it."""

    id: uuid.UUID
    name: str
    is_personal: bool
    role: Role


class Me(Schema):
    """Your account, the workspace and the key of this request, and what your plan allows."""

    email: str
    name: str
    time_zone: str = Field(description="In which pages show moments, such as Europe/Berlin; empty for UTC.")
    is_staff: bool
    may_submit_workflows: bool = Field(description="True when you may run whole workflows (`POST jobs`).")
    workspace: CurrentWorkspace = Field(
        description="The key's; for a session that which `X-Comfy-Workspace-ID` names, or which the page shows."
    )
    key: KeyOut | None = Field(description="The key of this request; null for a session.")
    limits: Limits


class MeChange(Schema):
    """Changes to your profile. Fields that you leave out keep their values."""

    model_config = {"extra": "forbid"}

    name: Annotated[str, StringConstraints(max_length=NAME_LENGTH, pattern=NO_NUL)] | None = Field(
        None, description="What other members of your workspaces call you."
    )
    time_zone: Annotated[str, StringConstraints(max_length=64, pattern=NO_NUL)] | None = Field(
        None, description="A name of the IANA's database; empty for UTC."
    )


class DayUsage(Schema):
    """One day, in UTC."""

    date: str = Field(examples=["2026-11-24"])
    jobs: int
    succeeded: int
    execution_seconds: float


class Usage(Schema):
    """What you used since a moment, and what is stored now."""

    since: datetime
    jobs: dict[str, int] = Field(description="How many jobs have each status.")
    execution_seconds: float
    days: list[DayUsage]
    storage_bytes: int = Field(description="The size of all your files. Files with the same bytes count once.")
    files: int
