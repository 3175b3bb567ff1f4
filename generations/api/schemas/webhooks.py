"""Shapes of webhooks and of what was sent to them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import Field, StringConstraints

EventName = Literal["job.started", "job.succeeded", "job.failed", "job.canceled"]
Events = Annotated[list[EventName], Field(min_length=1, max_length=4)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class WebhookRequest(Schema):
    """Where to send which events."""

    model_config = {"extra": "forbid"}

    url: Url = Field(examples=["https://example.com/hooks/comfysaas"])
    events: Events = ["job.succeeded", "job.failed", "job.canceled"]
    is_for_every_job: bool = Field(True, description="False sends events only of jobs that name this webhook.")


class WebhookChange(Schema):
    """Changes to a webhook. Fields that you leave out keep their values."""

    model_config = {"extra": "forbid"}

    url: Url | None = None
    events: Events | None = None
    is_for_every_job: bool | None = None
    is_enabled: bool | None = None


class WebhookOut(Schema):
    """One of your webhooks."""

    id: UUID
    url: str
    secret: str = Field(description="Verifies the signatures of messages (Standard Webhooks).")
    events: list[str]
    is_for_every_job: bool = Field(description="False: only jobs that name this webhook send events.")
    is_enabled: bool
    disabled_reason: str
    failing_since: datetime | None
    created_at: datetime


class WebhookList(Schema):
    """Your webhooks, the oldest first, those that are switched off included."""

    webhooks: list[WebhookOut]


class DeliveryOut(Schema):
    """A message to one of your webhooks."""

    id: UUID
    message_id: str = Field(description="The header `webhook-id`, which is the same in every attempt.")
    event: str
    job_id: UUID | None
    state: Literal["delivered", "waiting", "failed"]
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    status_code: int | None = Field(description="The status of the last answer; null when there was none.")
    error: str
    payload: dict[str, Any]


class DeliveryList(Schema):
    """A page of a webhook's log, newest first. Pass `next_cursor` as `?cursor=` for the next page."""

    deliveries: list[DeliveryOut]
    next_cursor: str | None
