"""What of progress and previews leaves the relay: the newest of all prompts is kept together, large pictures stay."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache

from generations.comfy.messages import PreviewImageWithMetadata, Progress
from generations.live import events, publisher
from generations.relay import broadcast
from generations.relay.broadcast import PREVIEW_BYTES, Broadcast
from tests.support.factories import make_generation, make_user, own
from tests.support.waiting import eventually

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """(group, event) of what goes to browsers."""
    found: list[tuple[str, Any]] = []
    monkeypatch.setattr(publisher.outbox, "put", lambda group, event: found.append((group, event)))
    return found


def test_the_newest_progress_of_every_prompt_is_kept(
    sent: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    write = broadcast._cache().set_many

    def counted(kept: dict[str, Any], seconds: float) -> None:
        writes.append(len(kept))
        write(kept, seconds)

    monkeypatch.setattr(broadcast._cache(), "set_many", counted)
    user, following = make_user(), Broadcast()
    rows = [make_generation(user) for _ in range(5)]
    for row in rows:
        following.follow(row, row.version.graph)
    for step in range(1, 21):
        for row in rows:
            following.hear(Progress(step, 20, str(row.prompt_id), "3"))

    def steps() -> list[Any]:
        return [(cache.get(events.progress_cache_key(row.pk)) or {}).get("step") for row in rows]

    eventually(lambda: steps() == [20] * 5, what="the newest of each")
    assert len(writes) < 5, "one write for all prompts"
    assert {group for group, _ in sent} == {events.workspace_group(own(user).pk)}


def test_a_prompt_that_ended_is_not_kept_again(sent: list[tuple[str, Any]]) -> None:
    following = Broadcast()
    row, other = make_generation(make_user()), make_generation(make_user("other@example.com"))
    for each in (row, other):
        following.follow(each, each.version.graph)
    following.hear(Progress(1, 20, str(other.prompt_id), "3"))  # at once: what follows waits its second
    following.hear(Progress(1, 20, str(row.prompt_id), "3"))
    following.forget(str(row.prompt_id))
    following.hear(Progress(2, 20, str(other.prompt_id), "3"))
    key = events.progress_cache_key(other.pk)
    eventually(lambda: (cache.get(key) or {}).get("step") == 2, what="the other's newest")
    assert cache.get(events.progress_cache_key(row.pk)) is None


def test_a_picture_too_large_for_slow_browsers_is_left_out(sent: list[tuple[str, Any]]) -> None:
    following = Broadcast()
    row = make_generation(make_user())
    following.follow(row, row.version.graph)
    cache.set(events.watched_cache_key(row.pk), True, 60)
    for size in (PREVIEW_BYTES + 1, PREVIEW_BYTES):
        image = b"x" * size
        following.hear(PreviewImageWithMetadata(image, "image/jpeg", "3", str(row.prompt_id), "3", None, "3"))
    eventually(lambda: sent, what="the smaller one")
    assert [len(event["data_base64"]) for _, event in sent] == [(PREVIEW_BYTES + 2) // 3 * 4]
