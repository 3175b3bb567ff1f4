"""A transition brings its event, its messages and the next in line, or none of them."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Plan, User
from generations.lifecycle.transitions import transition
from generations.live import snapshot
from generations.models import Generation, Status, Webhook, WebhookDelivery
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
