"""Shapes of people, for staff."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from ninja import Schema
from pydantic import Field, StringConstraints

from accounts.standing import REASON_LENGTH

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=REASON_LENGTH)]


class PersonOut(Schema):
    """A person, as staff see them: nothing of what they wrote or made."""

    id: int
    email: str
    name: str
    plan: str | None = Field(description="The plan's name; null for the usual limits.")
    is_staff: bool
    is_active: bool
    joined_at: datetime
    last_signed_in_at: datetime | None
    suspended_at: datetime | None = Field(description="Null unless the person is suspended.")
    suspension_reason: str
    suspended_by: str | None = Field(description="The address of the member of staff, if their account still exists.")


class PersonDetail(PersonOut):
    """A person with what they use."""

    storage_bytes: int
    active_jobs: int = Field(description="Jobs that wait or run.")


class PersonList(Schema):
    """People, by when they joined, newest first."""

    people: list[PersonOut]
    next_before: int | None = Field(description="Send it as `before` for the next page; null on the last one.")


class AppointmentRequest(Schema):
    """Of which team."""

    model_config = {"extra": "forbid"}

    workspace: uuid.UUID = Field(description="The id of the team.")


class SuspensionRequest(Schema):
    """Why. Staff read it in the audit log; the person does not."""

    model_config = {"extra": "forbid"}

    reason: Reason
