"""A transition brings its event, its messages and the next in line, or none of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Plan, User
from generations.comfy.messages import ExecutionError
from generations.comfy.state import HistoryEntry
from generations.lifecycle import transitions
from generations.lifecycle.removal import discard_leftovers
from generations.lifecycle.transitions import publish_state, retried, transition
from generations.live import snapshot
from generations.models import ComfyServer, Generation, Status, Webhook, WebhookDelivery
from generations.models.generation import GenerationQuerySet, Retry
from generations.relay import apply
from generations.scheduling import claims
from generations.scheduling.claims import Memory
from generations.webhooks import outbox
from tests.support.factories import make_generation, make_server

pytestmark = pytest.mark.django_db


def running(owner: User) -> Generation:
    """All that the owner's plan lets run, with a webhook that wants to hear of its end."""
    owner.plan = Plan.objects.create(name="One at a time", max_concurrent=1)
    owner.save()
    Webhook.objects.create(user=owner, url="https://example.com/hook")
    return make_generation(owner, status=Status.RUNNING, server=make_server())


def cancel(generation: Generation) -> bool:
    return transition(lambda: Generation.objects.cancel(generation.prompt_id), pk=generation.pk)


def test_an_end_is_written_for_webhooks_and_lets_the_next_one_in(
    owner: User, django_capture_on_commit_callbacks: Any
) -> None:
    first, held = running(owner), make_generation(owner, tag=None)
    with django_capture_on_commit_callbacks(execute=True):
        assert cancel(first)
    assert [delivery.event for delivery in WebhookDelivery.objects.all()] == ["job.canceled"]
    assert Generation.objects.in_line().get() == held


def test_whoever_was_too_late_tells_nothing_and_lets_nobody_in(
    owner: User, django_capture_on_commit_callbacks: Any
) -> None:
    running(owner)
    ended = make_generation(owner, status=Status.CANCELED)
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        assert not cancel(ended)
    assert callbacks == []
    assert not WebhookDelivery.objects.exists()


def test_what_is_still_on_a_server_lets_nobody_in(owner: User, django_capture_on_commit_callbacks: Any) -> None:
    first = running(owner)
    make_generation(owner, tag=None)
    with django_capture_on_commit_callbacks(execute=True):
        assert transition(lambda: Generation.objects.request_cancel(first.pk), pk=first.pk)
    assert not Generation.objects.in_line().exists()


MEMORY = ExecutionError("", "3", "KSampler", "out of memory", "torch.OutOfMemoryError")
WAYS_BACK: dict[str, Callable[[Generation], object]] = {
    "released": apply.released,
    "lost": apply.lost,
    "out of memory": lambda row: apply.ended(row, HistoryEntry(str(row.prompt_id), {}, "error", False, (MEMORY,))),
    "withdrawn": lambda row: retried(row.pk, row.prompt_id, Retry.WITHDRAWN),
    "file gone": lambda row: retried(row.pk, row.prompt_id, Retry.FILE_GONE),
}


@pytest.mark.parametrize("name", list(WAYS_BACK))
def test_what_is_canceled_on_its_way_back_into_the_queue_does_not_get_there(
    owner: User, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The wish comes after the last look and before the statement."""
    status = Status.STORING if name == "file gone" else Status.SUBMITTED
    generation = make_generation(owner, status=status, server=make_server(lease_token=1), attempt=1, tag=1.0)

    def late(change: Callable[..., int]) -> Callable[..., int]:
        def changed(*args: Any) -> int:
            assert Generation.objects.request_cancel(generation.pk)
            return change(*args)

        return changed

    for each in ("release", "requeue"):
        monkeypatch.setattr(GenerationQuerySet, each, late(getattr(GenerationQuerySet, each)))
    WAYS_BACK[name](generation)
    generation.refresh_from_db()
    assert generation.status == Status.CANCELED
    assert claims.claim(ComfyServer.objects.get(), Memory(), token=1) is None


@pytest.mark.parametrize(
    ("attempt", "end", "is_asked"),
    [
        (0, Status.CANCELED, False),
        (1, Status.CANCELED, True),
        (1, Status.FAILED, True),
        (1, Status.SUCCEEDED, False),
        (2, Status.SUCCEEDED, True),
    ],
)
def test_files_without_rows_are_looked_for_where_there_may_be_some(  # noqa: PLR0917
    owner: User,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
    attempt: int,
    end: Status,
    is_asked: bool,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(transitions, "ask", lambda task, *_: asked.append(task))
    generation = make_generation(owner, status=end, attempt=attempt)
    with django_capture_on_commit_callbacks(execute=True):
        publish_state(generation)
    assert (discard_leftovers in asked) == is_asked


def test_no_status_changes_whose_message_cannot_be_written(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(generation: Generation) -> None:
        raise RuntimeError

    monkeypatch.setattr(outbox, "notify", failing)
    first = running(owner)
    with pytest.raises(RuntimeError):
        cancel(first)
    first.refresh_from_db()
    assert first.status == Status.RUNNING


def test_the_next_one_gets_in_although_nobody_can_be_told(
    owner: User, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    def failing(generation: Generation) -> dict[str, Any]:
        raise RuntimeError

    monkeypatch.setattr(snapshot, "snapshot_event", failing)
    first, held = running(owner), make_generation(owner, tag=None)
    with django_capture_on_commit_callbacks(execute=True):
        assert cancel(first)
    assert Generation.objects.in_line().get() == held
