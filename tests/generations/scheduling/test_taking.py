"""A claim in the database's words: one statement on PostgreSQL, and the same outcome on both."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from generations.models import ComfyServer, Generation, QueueClock, Status, WorkflowTemplate
from generations.scheduling import taking
from generations.scheduling.claims import Memory
from tests.support.factories import CHECKPOINT, make_generation, make_template, make_user, submit, txt2img_graph
from tests.support.queueing import CATALOG, MEMORIES, at_work, claim, finish, person, tell
from tests.support.waiting import patient

pytestmark = pytest.mark.django_db
on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="needs TEST_BACKEND=postgres")


@pytest.fixture
def known(server: ComfyServer, template: WorkflowTemplate) -> WorkflowTemplate:
    """A template that the server's agent has run before."""
    submit(template, person("first"))
    generation = claim(server)
    assert generation is not None
    finish(generation)
    return template


def statements(server: ComfyServer) -> tuple[Generation | None, int]:
    """What is claimed, and how many statements it takes."""
    with CaptureQueriesContext(connection) as captured:
        generation = claim(server)
    return generation, len(captured)


# ---------------------------------------------------------------------------------------------- one statement
def test_the_first_in_line_is_claimed_by_one_statement(server: ComfyServer, known: WorkflowTemplate) -> None:
    """On SQLite, by a look and a transaction: its begin, row, clock and end, and the template."""
    waiting = submit(known, person("second"))
    assert statements(server) == (waiting, 1 if connection.vendor == "postgresql" else 6)


def test_nothing_in_line_is_found_by_one_statement(server: ComfyServer, known: WorkflowTemplate) -> None:
    assert statements(server) == (None, 1)


@on_postgresql
def test_what_is_claimed_asks_for_nothing_more(server: ComfyServer, known: WorkflowTemplate) -> None:
    submit(known, person("second"))
    generation = claim(server)
    assert generation is not None
    with CaptureQueriesContext(connection) as captured:
        version = generation.version
        assert (version.title, version.slug) == (known.title, known.slug)
        assert version.time_limit_seconds == known.time_limit_seconds
        assert generation.graph({})
        assert generation.mark["generation"] == str(generation.pk)
        assert (generation.server, generation.attempt, generation.status) == (server, 1, Status.SUBMITTED)
    assert not len(captured)
    stored = Generation.objects.get(pk=generation.pk)
    fields = [each.attname for each in Generation._meta.concrete_fields]
    assert [getattr(generation, each) for each in fields] == [getattr(stored, each) for each in fields]


def test_a_claim_shows_the_template_as_it_is_now(server: ComfyServer, known: WorkflowTemplate) -> None:
    submit(known, person("second"))
    WorkflowTemplate.objects.update(title="Another", time_limit_seconds=7)
    generation = claim(server)
    assert generation is not None
    assert (generation.version.title, generation.version.time_limit_seconds) == ("Another", 7)


def test_the_clock_shows_the_last_one_and_never_goes_back(server: ComfyServer, known: WorkflowTemplate) -> None:
    submit(known, person("second"))
    QueueClock.objects.update(virtual_time=1000.0)
    assert claim(server)
    assert QueueClock.objects.get().virtual_time == 1000.0
    later = submit(known, person("third"))
    Generation.objects.filter(pk=later.pk).update(tag=2000.0)
    assert claim(server) == later
    assert QueueClock.objects.get().virtual_time == 2000.0


@pytest.mark.parametrize(
    "change", [{"lease_token": 2}, {"is_enabled": False}, {"is_draining": True}], ids=["lease", "enabled", "draining"]
)
def test_a_server_that_may_not_work_claims_nothing(
    server: ComfyServer, known: WorkflowTemplate, change: dict[str, Any]
) -> None:
    waiting = submit(known, person("second"))
    ComfyServer.objects.update(**change)
    assert claim(server) is None
    assert taking.take(server, waiting.pk, token=1) is None
    waiting.refresh_from_db()
    assert waiting.status == Status.QUEUED


# ---------------------------------------------------------------------------------------------- what is weighed
def unknown_version(server: ComfyServer, _known: WorkflowTemplate) -> None:
    submit(make_template("other"), person("second"))


def models_not_loaded(server: ComfyServer, known: WorkflowTemplate) -> None:
    submit(known, person("second"))
    ComfyServer.objects.loaded(server.pk, ["other.safetensors"])


def unknown_value(server: ComfyServer, known: WorkflowTemplate) -> None:
    generation = submit(known, person("second"))
    Generation.objects.filter(pk=generation.pk).update(model_files=[["CheckpointLoaderSimple", "cfg", 3]])


def another_catalog(server: ComfyServer, known: WorkflowTemplate) -> None:
    submit(known, person("second"))
    tell(server, {**CATALOG, "New": {}})


@pytest.mark.parametrize("case", [unknown_version, models_not_loaded, unknown_value, another_catalog])
def test_what_is_not_clear_is_weighed_and_claimed(
    server: ComfyServer, known: WorkflowTemplate, case: Callable[[ComfyServer, WorkflowTemplate], None]
) -> None:
    case(server, known)
    (waiting,) = Generation.objects.in_line()
    generation, number = statements(server)
    assert generation == waiting
    assert number > 1


def test_a_server_that_lost_it_leaves_it(server: ComfyServer, known: WorkflowTemplate) -> None:
    waiting = submit(known, person("second"))
    Generation.objects.filter(pk=waiting.pk).update(avoided_server=server)
    at_work("other", 2)
    assert claim(server) is None


def test_a_busy_server_leaves_it_to_an_idle_one(server: ComfyServer, known: WorkflowTemplate) -> None:
    make_generation(make_user("busy@example.com"), template=known, status=Status.RUNNING, server=server)
    waiting = submit(known, person("second"))
    other = at_work("other", 2)
    assert claim(server) is None
    assert claim(other) == waiting


def test_versions_that_cannot_run_are_passed_over(server: ComfyServer, known: WorkflowTemplate) -> None:
    graph = txt2img_graph()
    graph["9"]["class_type"] = "SaveHologram"
    tell(server, {**CATALOG, "SaveHologram": {}})
    strange = submit(make_template("strange", graph=graph), person("second"))
    tell(server, CATALOG)
    assert claim(server) is None
    waiting = submit(known, person("third"))
    assert claim(server) == waiting
    tell(server, {**CATALOG, "SaveHologram": {}})  # it can, by now
    assert claim(server) == strange


# ---------------------------------------------------------------------------------------------- is there more?
def test_a_claim_knows_whether_there_is_more(server: ComfyServer, known: WorkflowTemplate) -> None:
    memory, users = MEMORIES[server.pk], [person(name) for name in ("second", "third")]
    for user in users:
        submit(known, user)
    seen = [(claim(server) is not None, memory.is_line_done) for _ in range(3)]
    assert seen == [(True, False), (True, True), (False, True)]


def test_what_is_left_to_others_is_still_there(server: ComfyServer, known: WorkflowTemplate) -> None:
    test_a_busy_server_leaves_it_to_an_idle_one(server, known)
    waiting = submit(known, person("third"))
    assert claim(server) in {None, waiting}
    lonely = Memory()
    Generation.objects.filter(pk=waiting.pk).update(status=Status.QUEUED, server=None, avoided_server=server)
    assert claim(server, lonely) is None
    assert not lonely.is_line_done


# ---------------------------------------------------------------------------------------------- several at once
@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_one_that_somebody_is_at_is_passed_over_without_waiting(server: ComfyServer, known: WorkflowTemplate) -> None:
    first, second = (submit(known, person(name)) for name in ("second", "third"))
    claimed: list[Generation | None] = []

    def work() -> None:
        try:
            claimed.append(claim(server))
            claimed.append(claim(server))
        finally:
            connections.close_all()

    with transaction.atomic():
        assert Generation.objects.select_for_update().get(pk=first.pk)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(patient(20))
        assert not thread.is_alive()
    assert claimed == [second, None]
    assert not MEMORIES[server.pk].is_line_done  # it may come back
    assert claim(server) == first


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_agents_at_the_same_time_share_the_line(server: ComfyServer, known: WorkflowTemplate) -> None:
    user = person("crowd", max_concurrent=100)
    waiting = {submit(known, user).pk for _ in range(40)}
    ComfyServer.objects.loaded(server.pk, [CHECKPOINT])
    servers = [server, *(at_work(f"other{n}", n, loaded_models=[CHECKPOINT], slots=50) for n in range(2, 5))]
    for each in servers:
        make_generation(make_user(f"busy{each.pk}@example.com"), template=known, status=Status.RUNNING, server=each)
    claimed: list[Any] = []

    def work(each: ComfyServer) -> None:
        try:
            while (generation := claim(each)) is not None:
                claimed.append(generation.pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(each,)) for each in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patient(60))
    assert sorted(claimed) == sorted(waiting)
