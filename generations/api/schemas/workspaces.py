"""Shapes of workspaces, members and invitations."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from ninja import Schema
from pydantic import AfterValidator, Field, StringConstraints

from accounts.models import Role
from generations.api.schemas import NO_NUL


def _address(text: str) -> str:
    try:
        validate_email(text)
    except ValidationError:
        msg = "This is not an e-mail address."
        raise ValueError(msg) from None
    return text


Cap = Annotated[int, Field(ge=0, le=2_000_000_000)] | None
TeamName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=NO_NUL)]


class WorkspaceOut(Schema):
    """A workspace that you are a member of."""

    id: uuid.UUID
    name: str
    is_personal: bool = Field(description="True for your own, which nobody else can join.")
    role: Role = Field(description="Your role.")
    created_at: datetime
    dissolve_after: datetime | None = Field(description="When the team is deleted; null unless it is being dissolved.")


class WorkspaceList(Schema):
    """Your workspaces, your own first. With a key: the one that the key works in."""

    workspaces: list[WorkspaceOut]


class WorkspaceRequest(Schema):
    """The name of a team."""

    model_config = {"extra": "forbid"}

    name: TeamName


class MemberOut(Schema):
    """A member, with limits that an admin set; null means as much as the workspace has."""

    id: int
    email: str
    name: str
    role: Role
    max_concurrent: int | None
    max_queued: int | None
    max_jobs_per_month: int | None
    created_at: datetime


class MemberList(Schema):
    """A page of members by e-mail address. Pass `next_cursor` as `?cursor=` for the next page."""

    members: list[MemberOut]
    next_cursor: str | None


class MemberFilter(Schema):
    """Which members to list."""

    q: str = Field("", pattern=NO_NUL, max_length=100, description="Words of the address or the name.")
    limit: int = Field(50, ge=1, le=200)
    cursor: str = Field("", pattern=NO_NUL, max_length=320, description="`next_cursor` of the page before.")


class MemberChange(Schema):
    """What to change. Fields that are left out stay as they are."""

    model_config = {"extra": "forbid"}

    role: Role = Field(Role.MEMBER, description="Only owners make owners, and change what owners are.")
    max_concurrent: Cap = None
    max_queued: Cap = None
    max_jobs_per_month: Cap = None


class InvitationOut(Schema):
    """An open invitation. Its link is shown only when the link is made."""

    id: int
    email: str | None = Field(description="Null lets whoever has the link join, once.")
    role: Role
    created_at: datetime
    expires_at: datetime
    is_expired: bool


class NewInvitation(InvitationOut):
    """An invitation with its link, which is never shown again. Whoever opens it in a browser can accept there."""

    link: str
    token: str = Field(description="For `POST invitations/accept`.")


class InvitationRequest(Schema):
    """Whom to invite, and as what."""

    model_config = {"extra": "forbid"}

    email: Annotated[str, StringConstraints(max_length=254, pattern=NO_NUL), AfterValidator(_address)] | None = Field(
        None, description="Null makes a link for one person, whoever has it."
    )
    role: Literal["admin", "member"] = "member"


class InvitationList(Schema):
    """A page of open invitations, newest first. Pass `next_cursor` as `?cursor=` for the next page."""

    invitations: list[InvitationOut]
    next_cursor: str | None


class InvitationFilter(Schema):
    """Which invitations to list."""

    limit: int = Field(50, ge=1, le=200)
    cursor: str = Field("", pattern=r"^[0-9]{0,18}$", description="`next_cursor` of the page before.")


class Acceptance(Schema):
    """The invitation to accept."""

    model_config = {"extra": "forbid"}

    token: str = Field(pattern=NO_NUL, max_length=200, description="The last part of the link.")
