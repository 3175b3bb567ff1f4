"""Whose turn it is: shares, bands, caps, and what the waiting are told."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import Plan, User
from generations.lifecycle import services
from generations.lifecycle.services import CannotRunError
from generations.live import snapshot
from generations.models import ComfyServer, Generation, QueueShare, WorkflowTemplate
from generations.models.generation import Retry
from generations.scheduling import queue
from generations.scheduling.queue import QueueFullError
from tests.support.factories import (
    CHECKPOINT,
    make_server,
    make_template,
    own,
    submit,
    version_of,
)
from tests.support.queueing import CATALOG, at_work, claim, finish, loader, person, tell

pytestmark = pytest.mark.django_db


def run_all(server: ComfyServer, number: int) -> list[str]:
    """The owners of so many generations, in the order in which they run one after the other."""
    order = []
    for _ in range(number):
        generation = claim(server)
        assert generation is not None
        order.append(generation.user.email.split("@")[0])
        finish(generation)
    return order


def test_a_flood_delays_anothers_first_generation_by_one(server: ComfyServer, template: WorkflowTemplate) -> None:
    flooder, other = person("flooder", max_queued=100), person("other")
    for _ in range(60):
        submit(template, flooder)
    assert run_all(server, 3) == ["flooder"] * 3
    running = claim(server)
    assert running is not None
    submit(template, other)
    finish(running)
    assert "other" in run_all(server, 2)


def test_the_servers_are_shared_by_weight(server: ComfyServer, template: WorkflowTemplate) -> None:
    light, heavy = person("light", weight=1.0), person("heavy", weight=3.0)
    for _ in range(40):
        submit(template, light)
        submit(template, heavy)
    shares = Counter(run_all(server, 40))
    assert 28 <= shares["heavy"] <= 32


def test_a_dear_template_counts_for_more(server: ComfyServer) -> None:
    cheap, dear = make_template("cheap"), make_template("dear")
    WorkflowTemplate.objects.filter(pk=cheap.pk).update(mean_seconds=1.0)
    WorkflowTemplate.objects.filter(pk=dear.pk).update(mean_seconds=4.0)
    cheap.refresh_from_db()
    dear.refresh_from_db()
    one, two = person("one"), person("two")
    for _ in range(40):
        submit(cheap, one)
        submit(dear, two)
    shares = Counter(run_all(server, 40))
    assert 30 <= shares["one"] <= 34


def test_who_was_away_gets_no_credit_for_it(server: ComfyServer, template: WorkflowTemplate) -> None:
    steady, late = person("steady"), person("late")
    for _ in range(60):
        submit(template, steady)
    run_all(server, 30)
    for _ in range(30):
        submit(template, late)
    shares = Counter(run_all(server, 20))
    assert 9 <= shares["late"] <= 12


def test_a_higher_band_goes_first(server: ComfyServer, template: WorkflowTemplate) -> None:
    usual, urgent = person("usual"), person("urgent", priority=1)
    for _ in range(3):
        submit(template, usual)
    for _ in range(2):
        submit(template, urgent)
    assert run_all(server, 5) == ["urgent", "urgent", "usual", "usual", "usual"]


def test_no_more_run_at_a_time_than_the_plan_allows(server: ComfyServer, template: WorkflowTemplate) -> None:
    user = person("capped", max_concurrent=2)
    for _ in range(5):
        submit(template, user)
    first, second = claim(server), claim(server)
    assert first is not None
    assert second is not None
    assert claim(server) is None
    finish(first)
    assert claim(server) is not None
    assert claim(server) is None


def test_what_was_first_submitted_runs_first(server: ComfyServer, template: WorkflowTemplate) -> None:
    user = person("orderly", max_concurrent=2)
    submitted = [submit(template, user).pk for _ in range(6)]
    ran = []
    for _ in range(6):
        generation = claim(server)
        assert generation is not None
        ran.append(generation.pk)
        finish(generation)
    assert ran == submitted


def test_one_too_many_is_refused_and_said_why(template: WorkflowTemplate) -> None:
    user = person("greedy", max_queued=3)
    for _ in range(3):
        submit(template, user)
    with pytest.raises(QueueFullError, match="already have 3 generations waiting") as refusal:
        submit(template, user)
    assert refusal.value.retry_after > 0
    assert Generation.objects.filter(user=user).count() == 3


def test_what_nothing_can_run_is_refused_with_the_reason(server: ComfyServer, template: WorkflowTemplate) -> None:
    tell(server, {**CATALOG, **loader("other.safetensors")})
    with pytest.raises(CannotRunError, match=CHECKPOINT):
        submit(template, person("user"))
    make_server("new", "http://127.0.0.1:2", object_info=None)  # what nobody knows yet is no promise
    with pytest.raises(CannotRunError, match="Not every server has been connected yet"):
        submit(template, person("second"))
    assert not Generation.objects.exists()


def test_a_lost_one_keeps_its_place(server: ComfyServer, template: WorkflowTemplate) -> None:
    one, two = person("one"), person("two")
    lost = submit(template, one)
    submit(template, two)
    claimed = claim(server)
    assert claimed is not None
    assert claimed.pk == lost.pk
    Generation.objects.requeue(claimed.prompt_id, Retry.WITHDRAWN)
    again = claim(server)
    assert again is not None
    assert again.pk == lost.pk


def test_a_claim_looks_at_as_much_however_many_wait(server: ComfyServer, template: WorkflowTemplate) -> None:
    user = person("flooder", max_queued=10_000, max_concurrent=5)

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            generation = claim(server)
        assert generation is not None
        finish(generation)
        return len(captured)

    for _ in range(10):
        submit(template, user)
    queries()  # the first one starts the clock
    few = queries()
    version = version_of(template)
    Generation.objects.bulk_create(
        Generation(pk=(pk := uuid.uuid4()), prompt_id=pk, user=user, version=version) for _ in range(3000)
    )
    assert queries() == few
    assert Generation.objects.in_line().count() <= 5


# ---------------------------------------------------------------------------------------------- places
def test_places_and_times(server: ComfyServer, template: WorkflowTemplate) -> None:
    user = person("user", max_concurrent=3)
    rows = [submit(template, user) for _ in range(5)]
    places = [queue.outlook(row) for row in rows]
    assert [place.position for place in places] == [1, 2, 3, 4, 5]
    seconds = [place.starts_in_seconds for place in places]
    assert seconds[0] == 0
    assert seconds == sorted(seconds)  # type: ignore[type-var]
    ComfyServer.objects.update(is_draining=True)
    assert queue.outlook(rows[0]).starts_in_seconds is None


@pytest.mark.parametrize("seed", range(6))
def test_what_is_told_at_once_is_what_is_found_when_asked_again(
    server: ComfyServer, template: WorkflowTemplate, seed: int
) -> None:
    draw = random.Random(seed)
    plans: list[dict[str, Any]] = [{}, {"weight": 3.0}, {"priority": 1}, {"max_concurrent": 1}]
    users = [person(f"u{number}", **plan, max_queued=50) for number, plan in enumerate(plans)]
    for _ in range(40):
        move = draw.random()
        if move < 0.6:
            made = services.submit(user=draw.choice(users), version=version_of(template), inputs={"prompt": "x"})
            assert made.outlook == queue.outlook(made)
        elif move < 0.8 and (claimed := claim(server)) is not None:
            Generation.objects.filter(pk=claimed.pk).update(cost=draw.choice([1.0, 30.0]))
        elif running := list(Generation.objects.upstream()):
            finish(draw.choice(running))


def test_two_servers_halve_the_wait(server: ComfyServer, template: WorkflowTemplate) -> None:
    rows = [submit(template, person("user")) for _ in range(1)] + [submit(template, person("other"))]
    alone = queue.outlook(rows[1]).starts_in_seconds
    at_work("two", 2)
    assert alone
    assert queue.outlook(rows[1]).starts_in_seconds == alone / 2


def test_the_waiting_are_told_what_the_servers_lack(server: ComfyServer, template: WorkflowTemplate) -> None:
    generation = submit(template, person("user"))
    tell(server, {"SaveImage": {}})
    event = snapshot.status_event(generation)
    assert "lack the node type" in event["message"]
    assert event["starts_in_seconds"] is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(6, "10 seconds"), (44, "40 seconds"), (58, "1 minute"), (400, "7 minutes"), (3500, "1 hour"), (7300, "2 hours")],
)
def test_times_are_told_roughly(seconds: float, words: str) -> None:
    assert snapshot._rough_time(seconds) == words


@settings(max_examples=6, deadline=None)
@given(
    weights=st.lists(st.sampled_from([1.0, 2.0, 4.0]), min_size=2, max_size=4),
    caps=st.integers(3, 6),
    seed=st.integers(0, 2**16),
)
def test_nobody_ever_falls_behind_their_share_by_more_than_their_cap(
    weights: list[float], caps: int, seed: int
) -> None:
    """Users who always have work get work in proportion to their weights, whatever ends when."""
    Generation.objects.all().delete()
    QueueShare.objects.all().delete()
    ComfyServer.objects.all().delete()
    Plan.objects.all().delete()
    User.objects.all().delete()
    draw = random.Random(seed)
    template = WorkflowTemplate.objects.first() or make_template()
    server = at_work("one", 1)
    users = [person(f"u{n}", weight=weight, max_concurrent=caps) for n, weight in enumerate(weights)]
    version = version_of(template)
    for user in users:
        Generation.objects.bulk_create(
            Generation(pk=(pk := uuid.uuid4()), prompt_id=pk, user=user, version=version, inputs={}) for _ in range(25)
        )
        queue.admit(own(user))
    under_way: list[Generation] = []
    claims: Counter[int] = Counter()
    for _ in range(30):
        generation = claim(server)
        if generation is not None:
            claims[generation.user_id] += 1
            under_way.append(generation)
        if generation is None or len(under_way) >= 2:
            finish(under_way.pop(draw.randrange(len(under_way))))
    total = sum(claims.values())
    for user, weight in zip(users, weights, strict=True):
        assert claims[user.pk] >= total * weight / sum(weights) - caps - 2


def test_a_job_is_written_as_django_would_write_it(template: WorkflowTemplate) -> None:
    user = person("user", max_concurrent=1)
    extras = services.Extras(metadata={"a": "ü\\"}, partner_key="secret")
    made = [
        services.submit(user=user, version=version_of(template), inputs={"prompt": "it's 100 % “ü”\n"}, extras=extras)
        for _ in range(2)
    ]
    for each in made:
        found = Generation.objects.get(pk=each.pk)
        hidden = {"_state", "_prefetched_objects_cache", "outlook", "model_files"}  # the last has tuples for lists
        assert {name: value for name, value in vars(found).items() if name not in hidden} == {
            name: value for name, value in vars(each).items() if name not in hidden
        }
        assert each._state.adding is False
    assert [each.tag is None for each in made] == [False, True]
