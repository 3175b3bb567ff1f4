"""The words in which pages say how a generation stands."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from generations.lifecycle.transitions import transition
from generations.live import events, publisher, snapshot
from generations.models import Generation, Status
from tests.support.factories import make_generation, make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("status", "label", "now"),
    [
        (Status.QUEUED, "Queued", "Place 1 in the queue"),
        (Status.SUBMITTED, "Waiting", ""),
        (Status.RUNNING, "Running", "Starting …"),
        (Status.STORING, "Saving results", "Saving your results …"),
        (Status.SUCCEEDED, "Done", ""),
    ],
)
def test_each_status_says_what_happens_now(status: Status, label: str, now: str) -> None:
    event = snapshot.status_event(make_generation(make_user(), status=status))
    assert (event["status_label"], event["now"]) == (label, now)


def test_a_running_generation_names_the_node_that_it_has_reached() -> None:
    generation = make_generation(make_user(), status=Status.RUNNING)
    reached: dict[str, Any] = {"value": 0.5, "node_title": "KSampler"}
    cache.set(events.progress_cache_key(generation.pk), reached)
    event = snapshot.status_event(generation, snapshot.progress(generation))
    assert snapshot.state(generation)["now"] == event["now"] == "KSampler"


@pytest.mark.django_db(transaction=True)
def test_a_run_that_starts_again_is_not_at_the_node_of_the_run_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the cache, which may be slow to answer, asked while the transition holds the row."""
    heard: list[Any] = []
    monkeypatch.setattr(publisher, "publish", lambda _generation, event: heard.append(event))
    generation = make_generation(make_user(), status=Status.SUBMITTED)
    cache.set(events.progress_cache_key(generation.pk), {"value": 0.9, "node_title": "Save Image"})
    monkeypatch.setattr(cache, "get", None)
    assert transition(lambda: Generation.objects.start(generation.prompt_id), pk=generation.pk)
    assert [event["now"] for event in heard] == ["Starting …"]


def test_a_generation_that_is_being_canceled_is_stopping_everywhere(client: Any) -> None:
    user = make_user()
    generation = make_generation(user, status=Status.RUNNING, cancel_requested_at=timezone.now())
    event = snapshot.status_event(generation)
    assert (event["status_label"], event["now"], event["message"]) == ("Stopping", "", "Stopping …")
    client.force_login(user)
    for path in ("/generations/", f"/generations/{generation.pk}/"):
        assert "Stopping</span>" in client.get(path).content.decode(), path
