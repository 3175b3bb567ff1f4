"""Whose turn it is: shares, bands, caps, models, and what the waiting are told."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import Plan, User
from generations.lifecycle import services
from generations.lifecycle.services import CannotRunError
from generations.live import snapshot
from generations.models import ComfyServer, Generation, QueueShare, Status, WorkflowTemplate
from generations.models.generation import Retry
from generations.scheduling import catalogs, queue
from generations.scheduling.queue import CANDIDATES, Candidate, Memory, QueueFullError, prefer
from tests.support.factories import (
    CHECKPOINT,
    make_generation,
    make_server,
    make_template,
    make_user,
    parameter,
    submit,
    txt2img_graph,
    version_of,
)

pytestmark = pytest.mark.django_db


def loader(*files: str) -> dict[str, Any]:
    return {"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [list(files)]}}}}


CATALOG = {
    **loader(CHECKPOINT, "other.safetensors"),
    **{node["class_type"]: {} for node in txt2img_graph().values() if node["class_type"] != "CheckpointLoaderSimple"},
}


@pytest.fixture
def server() -> ComfyServer:
    return at_work("one", 1)


@pytest.fixture
def template(server: ComfyServer) -> WorkflowTemplate:
    return make_template()


def at_work(name: str, number: int, **fields: Any) -> ComfyServer:
    """A server that some relay works for."""
    lease = {"lease_token": 1, "lease_expires_at": timezone.now() + timedelta(minutes=1)}
    return make_server(name, f"http://127.0.0.1:{number}", state="online", **lease, **fields)


def person(name: str, **plan: Any) -> User:
    return make_user(f"{name}@example.com", plan=Plan.objects.create(name=name, **plan))


def claim(server: ComfyServer, memory: Memory | None = None) -> Generation | None:
    return queue.claim(server, memory or Memory(), token=1)


def tell(server: ComfyServer, catalog: dict[str, Any]) -> None:
    """It has other nodes and models now."""
    ComfyServer.objects.saw_nodes(server.pk, object_info=catalog)


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


# ---------------------------------------------------------------------------------------------- servers and models
def test_a_server_skips_what_it_cannot_run(server: ComfyServer, template: WorkflowTemplate) -> None:
    strange = txt2img_graph()
    strange["9"]["class_type"] = "SaveHologram"
    other = make_template("strange", graph=strange)
    user = person("user", max_concurrent=100)
    tell(server, {**CATALOG, "SaveHologram": {}})
    for _ in range(CANDIDATES + 3):
        submit(other, user)
    runnable = submit(template, user)
    tell(server, CATALOG)
    memory = Memory()
    claimed = claim(server, memory)
    assert claimed is not None
    assert claimed.pk == runnable.pk
    with CaptureQueriesContext(connection) as captured:
        assert claim(server, memory) is None
    assert len([each for each in captured if "model_files" in each["sql"]]) == 1  # its versions are not looked at again


def test_a_model_that_a_parameter_chooses_decides_the_server(server: ComfyServer) -> None:
    choice = parameter("model", "choice", "4", "ckpt_name", default=CHECKPOINT, choices=[CHECKPOINT, "big.safetensors"])
    template = make_template(parameters=[choice])
    version, user = version_of(template), person("user")
    tell(server, {**CATALOG, **loader(CHECKPOINT, "big.safetensors")})
    with_big = services.submit(user=user, version=version, inputs={"model": "big.safetensors"})
    usual = services.submit(user=user, version=version, inputs={"model": CHECKPOINT})
    with_big.refresh_from_db()
    assert with_big.model_files == [["CheckpointLoaderSimple", "ckpt_name", "big.safetensors"]]
    tell(server, CATALOG)
    memory = Memory()
    claimed = claim(server, memory)
    assert claimed is not None
    assert claimed.pk == usual.pk
    assert claim(server, memory) is None
    tell(server, {**CATALOG, **loader("big.safetensors")})
    assert claim(server, memory) is not None


def test_what_nothing_can_run_is_refused_with_the_reason(server: ComfyServer, template: WorkflowTemplate) -> None:
    tell(server, {**CATALOG, **loader("other.safetensors")})
    with pytest.raises(CannotRunError, match=CHECKPOINT):
        submit(template, person("user"))
    make_server("new", "http://127.0.0.1:2", object_info=None)  # what nobody knows yet is no promise
    with pytest.raises(CannotRunError, match="Not every server has been connected yet"):
        submit(template, person("second"))
    assert not Generation.objects.exists()


def test_the_waiting_are_told_what_the_servers_lack(server: ComfyServer, template: WorkflowTemplate) -> None:
    generation = submit(template, person("user"))
    tell(server, {"SaveImage": {}})
    event = snapshot.status_event(generation)
    assert "lack the node type" in event["message"]
    assert event["starts_in_seconds"] is None


def test_the_server_that_lost_it_leaves_it_to_others(server: ComfyServer, template: WorkflowTemplate) -> None:
    generation = submit(template, person("user"))
    claimed = claim(server)
    assert claimed is not None
    Generation.objects.requeue(claimed.prompt_id, Retry.LOST)
    other = at_work("other", 2)
    assert claim(server) is None
    ComfyServer.objects.filter(pk=other.pk).update(is_draining=True)
    again = claim(server)
    assert again is not None
    assert (again.pk, again.losses) == (generation.pk, 1)


def test_what_no_other_takes_goes_back_to_the_server_that_lost_it(
    server: ComfyServer, template: WorkflowTemplate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one seems fit and online, but never asks for it."""
    seconds = [0.0]
    monkeypatch.setattr(queue, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    at_work("other", 2)
    memory, generation = Memory(), submit(template, person("user"))
    assert claim(server, memory) == generation
    for start in (100.0, 200.0):  # once more each time that it is lost
        lost = Generation.objects.get(pk=generation.pk)
        Generation.objects.requeue(lost.prompt_id, Retry.LOST)
        taken = []
        for seconds[0] in (start, start + 29.0, start + 31.0):
            taken.append(claim(server, memory))
        assert taken == [None, None, generation]


# ---------------------------------------------------------------------------------------------- affinity
def candidate(
    tag: float, *files: str, priority: int = 0, overtaken_seconds: float | None = None, version_id: int = 1
) -> Candidate:
    now = timezone.now()
    overtaken = None if overtaken_seconds is None else now - timedelta(seconds=overtaken_seconds)
    named = tuple(("Loader", "name", f"{file}.ckpt") for file in files)
    return Candidate(uuid.uuid4(), version_id, tag, priority, named, overtaken, None)


def test_one_whose_model_is_loaded_is_preferred() -> None:
    first, other = candidate(0, "a"), candidate(1, "b")
    assert prefer([first, other], frozenset({"b.ckpt"}), now=timezone.now()) is other


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
    assert prefer(line, frozenset({"b.ckpt"}), now=timezone.now()) is line[0]


def test_being_passed_over_is_noted_once(server: ComfyServer, template: WorkflowTemplate) -> None:
    one, two = person("one"), person("two")
    passed = submit(template, one)
    Generation.objects.filter(pk=passed.pk).update(model_files=[["L", "n", "a.ckpt"]])
    for _ in range(2):
        other = submit(template, two)
        Generation.objects.filter(pk=other.pk).update(model_files=[["L", "n", "b.ckpt"]])
    ComfyServer.objects.loaded(server.pk, ["b.ckpt"])
    claimed = claim(server)
    assert claimed is not None
    assert claimed.user_id == two.pk
    noted = Generation.objects.get(pk=passed.pk).overtaken_at
    assert noted is not None
    Generation.objects.filter(pk=passed.pk).update(overtaken_at=noted - timedelta(seconds=31))
    claimed = claim(server)
    assert claimed is not None
    assert claimed.pk == passed.pk


# ---------------------------------------------------------------------------------------------- other servers
def give(server: ComfyServer, template: WorkflowTemplate) -> None:
    """It has work from now on."""
    make_generation(make_user(f"busy{server.pk}@example.com"), template=template, status=Status.RUNNING, server=server)


def naming(generation: Generation, *files: str) -> Generation:
    """It needs these model files."""
    rows = [["CheckpointLoaderSimple", "ckpt_name", file] for file in files]
    Generation.objects.filter(pk=generation.pk).update(model_files=rows)
    return generation


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left to others for long."""
    monkeypatch.setattr(queue, "LEAVE_SECONDS", 0.0)


def test_a_busy_server_leaves_work_to_an_idle_one(server: ComfyServer, template: WorkflowTemplate) -> None:
    user, other = person("user"), at_work("other", 2)
    first, second = submit(template, user), submit(template, user)
    memory = Memory()
    claimed = claim(server, memory)
    assert claimed == first
    assert claim(server, memory) is None
    assert claim(other) == second


@pytest.mark.usefixtures("impatience")
def test_nothing_is_left_lying_when_the_idle_server_does_not_take_it(
    server: ComfyServer, template: WorkflowTemplate
) -> None:
    at_work("other", 2)
    give(server, template)
    generation = submit(template, person("user"))
    assert claim(server) == generation


@pytest.mark.parametrize(
    "obstacle",
    [
        {"is_draining": True},
        {"is_enabled": False},
        {"state": "unreachable"},
        {"state": "wedged"},
        {"lease_expires_at": None},
        {"catalog_digest": "", "object_info": None},
    ],
)
def test_work_is_left_only_to_servers_that_can_take_it(
    server: ComfyServer, template: WorkflowTemplate, obstacle: dict[str, Any]
) -> None:
    other = at_work("other", 2)
    ComfyServer.objects.filter(pk=other.pk).update(**obstacle)
    give(server, template)
    generation = submit(template, person("user"))
    assert claim(server) == generation


def test_work_is_left_only_to_servers_that_have_what_it_needs(server: ComfyServer, template: WorkflowTemplate) -> None:
    at_work("other", 2, object_info={**CATALOG, **loader("other.safetensors")})
    give(server, template)
    generation = submit(template, person("user"))
    assert claim(server) == generation


def test_one_idle_server_holds_back_one_generation(server: ComfyServer, template: WorkflowTemplate) -> None:
    """A busy one takes the second at once: its queue does not run dry for that."""
    at_work("other", 2)
    give(server, template)
    user = person("user")
    submit(template, user)
    second = submit(template, user)
    assert claim(server) == second


def test_the_server_with_the_models_loaded_goes_first(server: ComfyServer, template: WorkflowTemplate) -> None:
    other = at_work("other", 2, loaded_models=[CHECKPOINT])
    generation = submit(template, person("user"))
    assert claim(server) is None
    assert claim(other) == generation


def test_a_server_with_nothing_loaded_goes_before_one_that_would_throw_models_out(
    server: ComfyServer, template: WorkflowTemplate
) -> None:
    ComfyServer.objects.loaded(server.pk, ["other.safetensors"])
    fresh = at_work("fresh", 2)
    generation = submit(template, person("user"))
    assert claim(server) is None
    assert claim(fresh) == generation
    assert ComfyServer.objects.get(pk=fresh.pk).loaded_models == [CHECKPOINT]


@pytest.mark.usefixtures("impatience")
def test_models_elsewhere_do_not_keep_work_waiting(server: ComfyServer, template: WorkflowTemplate) -> None:
    at_work("other", 2, loaded_models=[CHECKPOINT])
    generation = submit(template, person("user"))
    assert claim(server) == generation


def test_an_idle_server_goes_before_a_busy_one_with_the_models(server: ComfyServer, template: WorkflowTemplate) -> None:
    other = at_work("other", 2, loaded_models=[CHECKPOINT])
    give(other, template)
    generation = submit(template, person("user"))
    assert claim(server) == generation


def test_two_kinds_of_work_stay_where_their_models_are(server: ComfyServer, template: WorkflowTemplate) -> None:
    """One at a time, whoever looks first."""
    other, user = at_work("other", 2), person("user")
    ran = []
    for number in range(8):
        file = (CHECKPOINT, "dreamshaper_8.safetensors")[number % 2]
        naming(submit(template, user), file)
        for each in (server, other) if number % 3 else (other, server):
            if (claimed := claim(each)) is not None:
                ran.append((each.name, file))
                finish(claimed)
                break
    assert len(ran) == 8
    assert len(set(ran)) == 2


def test_verdicts_on_catalogs_of_the_past_are_forgotten(server: ComfyServer, template: WorkflowTemplate) -> None:
    memory = Memory()
    submit(template, person("user"))
    for number in range(5):  # as uploads do
        tell(server, {f"Other{number}": {}})
        assert claim(server, memory) is None
    (digest,) = ComfyServer.objects.values_list("catalog_digest", flat=True)
    assert list(memory._verdicts) == [digest]
    tell(server, CATALOG)
    assert claim(server, memory) is not None


def test_a_catalog_is_never_judged_under_the_digest_of_another(server: ComfyServer, template: WorkflowTemplate) -> None:
    """The server told something else between two looks at its row."""
    submit(template, person("user"))
    told = ComfyServer.objects.get()
    before = told.catalog_digest
    tell(server, {"Other": {}})
    memory, (waiting,) = Memory(), queue._line([], 0, 1)
    memory.learn([waiting])
    catalogs.kept._known.pop(before, None)  # as in a process that has not read it
    assert not memory.fits(queue.Worker(server.pk, before, 1, frozenset(), 0), waiting)
    tell(server, told.object_info or {})
    assert memory.fits(queue.Worker(server.pk, before, 1, frozenset(), 0), waiting)


def test_looking_at_other_servers_costs_no_query(server: ComfyServer, template: WorkflowTemplate) -> None:
    def queries() -> int:
        generation = submit(template, person(f"user{Generation.objects.count()}"))
        memory = Memory()
        memory.learn([candidate(0, version_id=version_of(template).pk)])
        with CaptureQueriesContext(connection) as captured:
            assert claim(server, memory) == generation
        finish(generation)
        return len(captured)

    queries()  # starts the clock
    alone = queries()
    for number in range(2, 6):
        give(at_work(f"other{number}", number), template)
    assert queries() == alone


# ---------------------------------------------------------------------------------------------- places
def test_places_and_times(server: ComfyServer, template: WorkflowTemplate) -> None:
    user = person("user", max_concurrent=3)
    rows = [submit(template, user) for _ in range(5)]
    places = [queue.place(row) for row in rows]
    assert [place.position for place in places] == [1, 2, 3, 4, 5]
    seconds = [place.starts_in_seconds for place in places]
    assert seconds[0] == 0
    assert seconds == sorted(seconds)  # type: ignore[type-var]
    ComfyServer.objects.update(is_draining=True)
    assert queue.place(rows[0]).starts_in_seconds is None


def test_two_servers_halve_the_wait(server: ComfyServer, template: WorkflowTemplate) -> None:
    rows = [submit(template, person("user")) for _ in range(1)] + [submit(template, person("other"))]
    alone = queue.place(rows[1]).starts_in_seconds
    at_work("two", 2)
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
    server = at_work("one", 1)
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
