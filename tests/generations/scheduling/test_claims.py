"""Which server takes which one: what it can run, models that are loaded, and other servers that should have it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from generations.lifecycle import services
from generations.models import ComfyServer, Generation, Status, WorkflowTemplate
from generations.models.generation import Retry
from generations.scheduling import catalogs, claims
from generations.scheduling.claims import CANDIDATES, Candidate, Memory, prefer
from tests.support.factories import (
    CHECKPOINT,
    make_generation,
    make_template,
    make_user,
    parameter,
    submit,
    txt2img_graph,
    version_of,
)
from tests.support.queueing import CATALOG, at_work, claim, finish, loader, person, tell

pytestmark = pytest.mark.django_db


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
    monkeypatch.setattr(claims, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
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
        [candidate(0, "a"), candidate(claims.AFFINITY_TAG_SECONDS + 1, "b")],  # too far behind
        [candidate(0, "a", priority=1), candidate(0, "b")],  # another band
        [candidate(0, "a", overtaken_seconds=claims.OVERTAKEN_SECONDS + 1), candidate(1, "b")],  # long enough
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
    monkeypatch.setattr(claims, "LEAVE_SECONDS", 0.0)


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
    memory, (waiting,) = Memory(), claims._line([], 0, 1)
    memory.learn([waiting])
    catalogs.kept._known.pop(before, None)  # as in a process that has not read it
    assert not memory.fits(claims.Worker(server.pk, before, 1, frozenset(), 0), waiting)
    tell(server, told.object_info or {})
    assert memory.fits(claims.Worker(server.pk, before, 1, frozenset(), 0), waiting)


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
