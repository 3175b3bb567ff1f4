"""What browsers hear: the payloads of the websocket, and the groups they are sent to.

Everything is addressed to one workspace, previews to those who look at one generation; there is no group for
everybody. A
generation is known by its own id (the prompt_id of its first attempt), whatever later attempts are called upstream.
"""

from __future__ import annotations

import uuid
from typing import Any, Literal, TypedDict

from generations.models.generation import WarningItem

RELAY_GROUP = "relay"
WATCHED_SECONDS = 60


def user_group(user_id: int) -> str:
    """That a user's rights changed: whatever is open on their behalf."""
    return f"user.{user_id}"


def workspace_group(workspace_id: int | None) -> str:
    """Everything of one workspace but previews."""
    return f"workspace.{workspace_id}"


def preview_group(generation_id: uuid.UUID) -> str:
    """Previews of one generation: large, and only for those who look at it."""
    return f"preview.{generation_id}"


def progress_cache_key(generation_id: uuid.UUID) -> str:
    """Where the newest progress snapshot is kept."""
    return f"progress.{generation_id}"


def watched_cache_key(generation_id: uuid.UUID) -> str:
    """Set while somebody looks at this generation: only then are previews worth sending."""
    return f"watched.{generation_id}"


def preview_cache_key(generation_id: uuid.UUID) -> str:
    """Where the newest preview is kept, while somebody looks, for those who come later."""
    return f"preview.{generation_id}"


class ProgressState(TypedDict):
    """A complete snapshot: any single one brings a client up to date."""

    value: float  # 0..1, nodes and sampler steps weighted
    nodes_done: int
    nodes_total: int
    node_id: str | None
    node_title: str | None
    node_class: str | None
    step: int | None
    steps: int | None


class OutputItem(TypedDict):
    """One output, as pages and clients see it."""

    id: str
    kind: str
    node_id: str
    node_title: str
    name: str
    content_type: str
    size_bytes: int
    width: int | None
    height: int | None
    url: str
    thumbnail_url: str
    is_temporary: bool
    value: Any


class ErrorItem(TypedDict):
    """Why it failed, without anything that only staff should see."""

    code: str
    message: str
    node_id: str
    node_title: str
    class_type: str


class Waiting(TypedDict):
    """What somebody who waits wants to know."""

    queue_position: int | None  # 1 is next; None unless it is queued
    starts_in_seconds: int | None  # an estimate; None when nobody can tell
    message: str  # one sentence; may be empty


class Standing(Waiting):
    """Where a generation stands."""

    status: str
    status_label: str  # one word for people
    now: str  # what happens at the moment, in a few words for people; may be empty
    is_canceling: bool
    is_terminal: bool
    error: ErrorItem | None


class State(Standing):
    """The whole state of a generation."""

    id: str
    progress: ProgressState | None
    outputs: list[OutputItem]
    warnings: list[WarningItem]
    template: str | None  # None: a whole workflow
    created_at: str
    started_at: str | None
    finished_at: str | None


class SnapshotEvent(TypedDict):
    """First message on a socket: one per generation it follows."""

    type: Literal["snapshot"]
    prompt_id: str
    generation: State


class StatusEvent(Standing):
    """The generation moved, or its place in the queue did."""

    type: Literal["status"]
    prompt_id: str


class ProgressEvent(TypedDict):
    """At most ten a second for each generation."""

    type: Literal["progress"]
    prompt_id: str
    progress: ProgressState


class PreviewEvent(TypedDict):
    """A picture of the unfinished result; at most four a second, and only while somebody watches."""

    type: Literal["preview"]
    prompt_id: str
    node_id: str | None
    content_type: str
    data_base64: str


class OutputEvent(TypedDict):
    """One output is in the storage and may be shown."""

    type: Literal["output"]
    prompt_id: str
    output: OutputItem


Event = SnapshotEvent | StatusEvent | ProgressEvent | PreviewEvent | OutputEvent
