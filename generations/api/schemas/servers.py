"""Shapes of ComfyUI servers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from ninja import Schema
from pydantic import Field, StringConstraints

ServerName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
ServerUrl = Annotated[str, StringConstraints(max_length=300)]
Slots = Annotated[int, Field(ge=1, le=100)]
HeaderName = Annotated[str, StringConstraints(max_length=80)]
HeaderValue = Annotated[str, StringConstraints(max_length=2000)]
SLOTS = "Jobs that the server gets at a time: one runs, the others wait inside ComfyUI."
DRAINING = "True lets the server finish its jobs and gives it no new ones."
HISTORY = "True leaves finished jobs in ComfyUI's history."
FILES = "True lets whole workflows name files that the server lists itself, such as those in its input folder."
HEADER = "A header for every request to the server, such as Authorization. Its value is stored encrypted."


class ServerOut(Schema):
    """A ComfyUI server."""

    id: int
    name: str
    url: str
    slots: int = Field(description=SLOTS)
    is_enabled: bool
    is_draining: bool = Field(description=DRAINING)
    is_history_kept: bool = Field(description=HISTORY)
    are_files_offered: bool = Field(description=FILES)
    state: str
    state_message: str
    is_online: bool
    comfyui_version: str
    seen_at: datetime | None
    auth_header_name: str


class ServerRequest(Schema):
    """The server to add."""

    model_config = {"extra": "forbid"}

    name: ServerName
    url: ServerUrl = Field(examples=["http://10.0.0.5:8188"])
    slots: Slots = Field(2, description=SLOTS)
    is_enabled: bool = True
    is_draining: bool = Field(False, description=DRAINING)
    is_history_kept: bool = Field(False, description=HISTORY)
    are_files_offered: bool = Field(False, description=FILES)
    auth_header_name: HeaderName = Field("", description=HEADER)
    auth_header_value: HeaderValue = Field("", description="Never shown again.")


class ServerChange(Schema):
    """Changes to a server. Fields that you leave out keep their values."""

    model_config = {"extra": "forbid"}

    name: ServerName | None = None
    url: ServerUrl | None = None
    slots: Slots | None = None
    is_enabled: bool | None = None
    is_draining: bool | None = None
    is_history_kept: bool | None = None
    are_files_offered: bool | None = None
    auth_header_name: HeaderName | None = None
    auth_header_value: HeaderValue | None = None


class ServerList(Schema):
    """All ComfyUI servers by name, those that are switched off or cannot be reached included."""

    servers: list[ServerOut]


class ServerCheck(Schema):
    """What the server answered."""

    is_answering: bool
    message: str
    server: ServerOut
