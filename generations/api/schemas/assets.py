"""Shapes of files."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from ninja import Schema
from pydantic import Field, StringConstraints


class AssetOut(Schema):
    """One of your files."""

    id: UUID
    hash: str | None
    size_bytes: int
    content_type: str = Field(description="Detected from the bytes; application/octet-stream for an unknown format.")
    file_path: str | None
    tags: list[str]
    created_at: datetime
    url: str
    url_expires_at: datetime
    expires_at: datetime | None = Field(
        default=None, description="When the file is deleted; null for a file that is kept."
    )
    job_id: UUID | None = Field(default=None, description="The job that made the file; null for an upload.")
    created_new: bool | None = Field(
        default=None, description="After an upload: false when you had the same file already."
    )


class FromHash(Schema):
    """The hash of bytes that you have uploaded or made before."""

    model_config = {"extra": "forbid"}

    hash: Annotated[str, StringConstraints(max_length=100)] = Field(examples=["blake3:" + "0" * 64])
    file_path: Annotated[str, StringConstraints(max_length=255)] = Field("", description="The new file's name.")
    tags: Annotated[list[str], Field(max_length=32)] = []
    expires_in: Annotated[int, Field(ge=60, le=604_800)] | None = Field(
        None, description="Seconds until the file is deleted; null keeps it."
    )
