"""Whose turn it is: shares, bands, caps, models, and what the waiting are told."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import Plan, User
from generations import queue, services, snapshot
from generations.fitness import Catalog
from generations.models import ComfyServer, Generation, QueueShare, Status, WorkflowTemplate
from generations.models.generation import Retry
from generations.queue import CANDIDATES, Candidate, QueueFullError, Taste, prefer
from generations.services import CannotRunError
from tests.support.factories import (
    CHECKPOINT,
    make_server,
    make_template,
    make_user,
    parameter,
    txt2img_graph,
    version_of,
)

pytestmark = pytest.mark.django_db
CATALOG = {
    "CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [[CHECKPOINT, "other.safetensors"]]}}},
    **{node["class_type"]: {} for node in txt2img_graph().values() if node["class_type"] != "CheckpointLoaderSimple"},
}


@pytest.fixture
def template() -> WorkflowTemplate:
    return make_template()


@pytest.fixture
def server() -> ComfyServer:
    return make_server(lease_token=1, state="online")


def person(name: str, **plan: Any) -> User:
    return make_user(f"{name}@example.com", plan=Plan.objects.create(name=name, **plan))


def submit(user: User, template: WorkflowTemplate, **inputs: Any) -> Generation:
    return services.submit(user=user, version=version_of(template), inputs={"prompt": "a cat", **inputs})


def claim(server: ComfyServer, taste: Taste | None = None) -> Generation | None:
    return queue.claim(server, taste or Taste(), token=1)


def finish(generation: Generation) -> None:
    """As relay and worker do, as far as the queue is concerned."""
    Generation.objects.filter(pk=generation.pk).update(status=Status.SUCCEEDED, finished_at=timezone.now())
    queue.admit(User.objects.select_related("plan").get(pk=generation.user_id))


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
        submit(flooder, template)
    assert run_all(server, 3) == ["flooder"] * 3
    running = claim(server)
    assert running is not None
    submit(other, template)
    finish(running)
    assert "other" in run_all(server, 2)


def test_the_servers_are_shared_by_weight(server: ComfyServer, template: WorkflowTemplate) -> None:
    light, heavy = person("light", weight=1.0), person("heavy", weight=3.0)
    for _ in range(40):
        submit(light, template)
        submit(heavy, template)
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
        submit(one, cheap)
        submit(two, dear)
    shares = Counter(run_all(server, 40))
    assert 30 <= shares["one"] <= 34


def test_who_was_away_gets_no_credit_for_it(server: ComfyServer, template: WorkflowTemplate) -> None:
    steady, late = person("steady"), person("late")
    for _ in range(60):
        submit(steady, template)
    run_all(server, 30)
    for _ in range(30):
        submit(late, template)
    shares = Counter(run_all(server, 20))
    assert 9 <= shares["late"] <= 12


def test_a_higher_band_goes_first(server: ComfyServer, template: WorkflowTemplate) -> None:
    usual, urgent = person("usual"), person("urgent", priority=1)
    for _ in range(3):
        submit(usual, template)
    for _ in range(2):
        submit(urgent, template)
    assert run_all(server, 5) == ["urgent", "urgent", "usual", "usual", "usual"]


def test_no_more_run_at_a_time_than_the_plan_allows(server: ComfyServer, template: WorkflowTemplate) -> None:
    user = person("capped", max_concurrent=2)
    for _ in range(5):
        submit(user, template)
    first, second = claim(server), claim(server)
    assert first is not None
    assert second is not None
    assert claim(server) is None
    finish(first)
    assert claim(server) is not None
    assert claim(server) is None


def test_what_was_first_submitted_runs_first(server: ComfyServer, template: WorkflowTemplate) -> None:
    user = person("orderly", max_concurrent=2)
    submitted = [submit(user, template).pk for _ in range(6)]
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
        submit(user, template)
    with pytest.raises(QueueFullError, match="already have 3 generations waiting") as refusal:
        submit(user, template)
    assert refusal.value.retry_after > 0
    assert Generation.objects.filter(user=user).count() == 3


def test_a_lost_one_keeps_its_place(server: ComfyServer, template: WorkflowTemplate) -> None:
    one, two = person("one"), person("two")
    lost = submit(one, template)
    submit(two, template)
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
        submit(user, template)
    queries()  # the first one starts the clock
    few = queries()
    version = version_of(template)
    Generation.objects.bulk_create(
        Generation(pk=(pk := uuid.uuid4()), prompt_id=pk, user=user, version=version) for _ in range(3000)
    )
    assert queries() == few
    assert Generation.objects.in_line().count() <= 5


# ---------------------------------------------------------------------------------------------- servers and models
def test_a_server_skips_what_it_cannot_run(server: ComfyServer, template: WorkflowTemplate) -> None:
    strange = txt2img_graph()
    strange["9"]["class_type"] = "SaveHologram"
    other = make_template("strange", graph=strange)
    user = person("user", max_concurrent=100)
    for _ in range(CANDIDATES + 3):
        submit(user, other)
    runnable = submit(user, template)
    classes = {version_of(each).pk: version_of(each).required_node_classes for each in (template, other)}
    catalog = Catalog.read(
        CATALOG | {name: {} for name in version_of(template).required_node_classes if name not in CATALOG}
    )
    taste = Taste(catalog, node_classes=lambda version_id: classes[version_id])
    claimed = claim(server, taste)
    assert claimed is not None
    assert claimed.pk == runnable.pk
    assert claim(server, taste) is None
    assert taste.unfit_versions == [version_of(other).pk]


def test_a_model_that_a_parameter_chooses_decides_the_server(server: ComfyServer) -> None:
    choice = parameter("model", "choice", "4", "ckpt_name", default=CHECKPOINT, choices=[CHECKPOINT, "big.safetensors"])
    template = make_template(parameters=[choice])
    version, user = version_of(template), person("user")
    with_big = services.submit(user=user, version=version, inputs={"model": "big.safetensors"})
    usual = services.submit(user=user, version=version, inputs={"model": CHECKPOINT})
    with_big.refresh_from_db()
    assert with_big.model_files == [["CheckpointLoaderSimple", "ckpt_name", "big.safetensors"]]
    catalog = Catalog.read(CATALOG)
    claimed = claim(server, Taste(catalog))
    assert claimed is not None
    assert claimed.pk == usual.pk
    assert claim(server, Taste(catalog)) is None
    assert claim(server) is not None


def test_what_nothing_can_run_is_refused_with_the_reason(template: WorkflowTemplate) -> None:
    catalog = {name: {} for name in version_of(template).required_node_classes}
    catalog["CheckpointLoaderSimple"] = {"input": {"required": {"ckpt_name": [["other.safetensors"]]}}}
    make_server(object_info=catalog, object_info_at=timezone.now())
    with pytest.raises(CannotRunError, match=CHECKPOINT):
        submit(person("user"), template)
    assert not Generation.objects.exists()
    make_server("new", "http://127.0.0.1:2")  # nobody knows yet what that one has
    assert submit(person("second"), template).status == Status.QUEUED


def test_the_waiting_are_told_what_the_servers_lack(template: WorkflowTemplate) -> None:
    generation = submit(person("user"), template)
    make_server(state="online", object_info={"SaveImage": {}}, object_info_at=timezone.now())
    assert "lack the node type" in snapshot.waiting_message(generation)


def test_the_server_that_lost_it_leaves_it_to_others(server: ComfyServer, template: WorkflowTemplate) -> None:
    generation = submit(person("user"), template)
    claimed = claim(server)
    assert claimed is not None
    Generation.objects.requeue(claimed.prompt_id, Retry.LOST)
    assert claim(server, Taste(others_can_run=lambda _: True)) is None
    again = claim(server, Taste(others_can_run=lambda _: False))
    assert again is not None
    assert (again.pk, again.losses) == (generation.pk, 1)


# ---------------------------------------------------------------------------------------------- affinity
def candidate(tag: float, *files: str, priority: int = 0, overtaken_seconds: float | None = None) -> Candidate:
    now = timezone.now()
    overtaken = None if overtaken_seconds is None else now - timedelta(seconds=overtaken_seconds)
    named = tuple(("Loader", "name", file) for file in files)
    return Candidate(uuid.uuid4(), 1, tag, priority, named, overtaken, None)


def test_one_whose_model_is_loaded_is_preferred() -> None:
    first, other = candidate(0, "a"), candidate(1, "b")
    assert prefer([first, other], frozenset({"b"}), now=timezone.now()) is other


@pytest.mark.parametrize(
    "line",
    [
        [candidate(0, "a"), candidate(1, "c")],  # nobody's is loaded
        [candidate(0, "b"), candidate(1, "b")],  # the first one's is
        [candidate(0), candidate(1, "b")],  # the first one needs none
        [candidate(0, "a"), candidate(queue.AFFINITY_TAG_SECONDS + 1, "b")],  # too far behind
        [candidate(0, "a", priority=1), candidate(0, "b")],  # another band
        [candidate(0, "a", overtaken_seconds=queue.OVERTAKEN_SECONDS + 1), candidate(1, "b")],  # long enough
    ],
)
def test_the_first_keeps_its_turn(line: list[Candidate]) -> None:
    assert prefer(line, frozenset({"b"}), now=timezone.now()) is line[0]


def test_being_passed_over_is_noted_once(server: ComfyServer, template: WorkflowTemplate) -> None:
    one, two = person("one"), person("two")
    passed = submit(one, template)
    Generation.objects.filter(pk=passed.pk).update(model_files=[["L", "n", "a"]])
    for _ in range(2):
        other = submit(two, template)
        Generation.objects.filter(pk=other.pk).update(model_files=[["L", "n", "b"]])
    taste = Taste(loaded=frozenset({"b"}))
    claimed = claim(server, taste)
    assert claimed is not None
    assert claimed.user_id == two.pk
    noted = Generation.objects.get(pk=passed.pk).overtaken_at
    assert noted is not None
    Generation.objects.filter(pk=passed.pk).update(overtaken_at=noted - timedelta(seconds=31))
    claimed = claim(server, taste)
    assert claimed is not None
    assert claimed.pk == passed.pk


# ---------------------------------------------------------------------------------------------- places
def test_places_and_times(server: ComfyServer, template: WorkflowTemplate) -> None:
    user = person("user", max_concurrent=3)
    rows = [submit(user, template) for _ in range(5)]
    places = [queue.place(row) for row in rows]
    assert [place.position for place in places] == [1, 2, 3, 4, 5]
    seconds = [place.starts_in_seconds for place in places]
    assert seconds[0] == 0
    assert seconds == sorted(seconds)  # type: ignore[type-var]
    ComfyServer.objects.update(is_draining=True)
    assert queue.place(rows[0]).starts_in_seconds is None


def test_two_servers_halve_the_wait(server: ComfyServer, template: WorkflowTemplate) -> None:
    rows = [submit(person("user"), template) for _ in range(1)] + [submit(person("other"), template)]
    alone = queue.place(rows[1]).starts_in_seconds
    make_server("two", "http://127.0.0.1:2", state="online")
    assert alone
    assert queue.place(rows[1]).starts_in_seconds == alone / 2


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
    server = make_server(lease_token=1, state="online")
    users = [person(f"u{n}", weight=weight, max_concurrent=caps) for n, weight in enumerate(weights)]
    version = version_of(template)
    for user in users:
        Generation.objects.bulk_create(
            Generation(pk=(pk := uuid.uuid4()), prompt_id=pk, user=user, version=version, inputs={}) for _ in range(25)
        )
        queue.admit(user)
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
