"""The state machine: each transition from each status, and who wins when two want the same row."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from generations.models import ComfyServer, Generation, Status
from generations.models.generation import ACTIVE, TERMINAL, UPSTREAM, Failure, Retry, Run
from generations.scheduling import claims
from generations.scheduling.claims import Memory
from tests.support.factories import make_generation, make_server, make_template, make_user
from tests.support.waiting import eventually, patient

Transition = Callable[[Generation], int]
FAILURE = Failure("node_execution_error", "boom")
G = Generation.objects
RUN = Run({}, *[timezone.now()] * 3)

# transition -> (statuses it leaves, status it leads to)
TRANSITIONS: dict[str, tuple[Transition, tuple[Status, ...], Status]] = {
    "release": (lambda g: G.release(g.prompt_id), (Status.SUBMITTED,), Status.QUEUED),
    "claim": (
        lambda g: G.claim(g.pk, server=make_server("two", "http://127.0.0.1:2")),
        (Status.QUEUED,),
        Status.SUBMITTED,
    ),
    "requeue, lost": (lambda g: G.requeue(g.prompt_id, Retry.LOST), UPSTREAM, Status.QUEUED),
    "requeue, withdrawn": (lambda g: G.requeue(g.prompt_id, Retry.WITHDRAWN), UPSTREAM, Status.QUEUED),
    "requeue, memory": (lambda g: G.requeue(g.prompt_id, Retry.OUT_OF_MEMORY), UPSTREAM, Status.QUEUED),
    "requeue, file": (lambda g: G.requeue(g.prompt_id, Retry.FILE_GONE), (Status.STORING,), Status.QUEUED),
    "start": (lambda g: G.start(g.prompt_id), (Status.SUBMITTED,), Status.RUNNING),
    "finish_upstream": (lambda g: G.finish_upstream(g.prompt_id, outputs={}), UPSTREAM, Status.STORING),
    "store_at_once": (lambda g: int(G.store_at_once(g, RUN) is not None), UPSTREAM, Status.SUCCEEDED),
    "succeed": (lambda g: G.succeed(g.pk, turn=0), (Status.STORING,), Status.SUCCEEDED),
    "fail": (lambda g: G.fail(g.pk, FAILURE), ACTIVE, Status.FAILED),
    "cancel": (lambda g: G.cancel(g.prompt_id), UPSTREAM, Status.CANCELED),
}


def make(status: Status, **fields: Any) -> Generation:
    server = make_server() if status in UPSTREAM else None
    attempt = 1 if status in UPSTREAM else 0
    fields.setdefault("tag", 1.0)
    return make_generation(make_user(), status=status, server=server, attempt=attempt, **fields)


@pytest.mark.django_db
@pytest.mark.parametrize("source", list(Status))
@pytest.mark.parametrize("name", list(TRANSITIONS))
def test_transition_only_leaves_its_own_sources(name: str, source: Status) -> None:
    act, sources, target = TRANSITIONS[name]
    generation = make(source)
    changed = act(generation)
    generation.refresh_from_db()
    if source in sources:
        assert (changed, generation.status) == (1, target)
        assert (generation.finished_at is not None) == (target in TERMINAL)
    else:
        assert (changed, generation.status) == (0, source)


@pytest.mark.django_db
@pytest.mark.parametrize("source", list(Status))
def test_cancel_is_final_at_once_only_when_nothing_upstream_has_to_stop(source: Status) -> None:
    generation = make(source)
    changed = G.request_cancel(generation.pk)
    generation.refresh_from_db()
    if source in (Status.QUEUED, Status.STORING):
        assert (changed, generation.status) == (1, Status.CANCELED)
    elif source in UPSTREAM:
        assert (changed, generation.status, generation.is_canceling) == (1, source, True)
    else:
        assert (changed, generation.status) == (0, source)


@pytest.mark.django_db
def test_late_success_does_not_undo_cancel() -> None:
    generation = make(Status.RUNNING)
    G.request_cancel(generation.pk)
    assert G.finish_upstream(generation.prompt_id, outputs={"9": {}}) == 0
    assert G.store_at_once(generation, RUN) is None
    assert G.cancel(generation.prompt_id) == 1
    assert G.succeed(generation.pk, turn=0) == 0


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["release", "requeue, lost", "requeue, withdrawn", "requeue, memory"])
def test_what_was_canceled_is_not_queued_again(name: str) -> None:
    generation = make(Status.SUBMITTED)
    G.request_cancel(generation.pk)
    assert TRANSITIONS[name][0](generation) == 0
    assert G.cancel(generation.prompt_id) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("status", list(Status))
def test_a_cancel_is_one_statement_so_that_nothing_changes_within_it(
    status: Status, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    generation = make(status, partner_key="secret")
    with django_assert_num_queries(1):
        G.request_cancel(generation.pk)
    generation.refresh_from_db()
    assert (generation.partner_key is None) == (status in {Status.QUEUED, Status.STORING})
    assert (generation.store_after is None) == (generation.status != Status.STORING)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("source", "name"),
    [(Status.SUBMITTED, "release"), (Status.RUNNING, "requeue, lost"), (Status.RUNNING, "finish_upstream")],
)
def test_a_cancel_is_heard_although_the_status_changes_at_that_moment(source: Status, name: str) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite lets one write at a time")
    generation, changed = make(source), []

    def cancel() -> None:
        changed.append(G.request_cancel(generation.pk))
        connection.close()

    thread = threading.Thread(target=cancel)
    with transaction.atomic():
        assert TRANSITIONS[name][0](generation) == 1
        thread.start()
        eventually(is_somebody_kept_waiting, what="the cancel to meet the row")
    thread.join(patient(30))
    generation.refresh_from_db()
    assert (changed, generation.status) == ([1], Status.CANCELED)


def is_somebody_kept_waiting() -> bool:
    """True while a statement waits for a row that this connection has changed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db
def test_an_old_attempt_cannot_touch_the_new_one() -> None:
    generation = make(Status.RUNNING)
    old = generation.prompt_id
    Generation.objects.filter(pk=generation.pk).update(prompt_id=uuid.uuid4())
    assert G.finish_upstream(old, outputs={}) == 0
    assert G.store_at_once(generation, RUN) is None
    assert G.fail(generation.pk, FAILURE, prompt_id=old) == 0
    assert G.requeue(old, Retry.LOST) == 0


@pytest.mark.django_db
def test_first_attempt_bears_the_generations_id_and_later_ones_a_fresh_one() -> None:
    generation = make_generation(make_user())
    server = make_server(lease_token=7)
    first = claims.claim(server, Memory(), token=7)
    assert first is not None
    assert (first.prompt_id, first.attempt) == (generation.pk, 1)
    assert G.requeue(first.prompt_id, Retry.LOST) == 1
    second = claims.claim(server, Memory(), token=7)
    assert second is not None
    assert second.attempt == 2
    assert second.prompt_id != generation.pk
    assert second.pk == generation.pk


@pytest.mark.django_db
def test_release_gives_the_attempt_back() -> None:
    generation = make_generation(make_user())
    server = make_server(lease_token=7)
    for _ in range(2):
        claimed = claims.claim(server, Memory(), token=7)
        assert claimed is not None
        assert (claimed.prompt_id, claimed.attempt) == (generation.pk, 1)
        assert G.release(claimed.prompt_id) == 1


@pytest.mark.django_db
def test_a_relay_that_lost_its_lease_claims_nothing() -> None:
    make_generation(make_user())
    server = make_server()
    old = ComfyServer.objects.acquire(server.pk, owner="a", seconds=-1)
    new = ComfyServer.objects.acquire(server.pk, owner="b")
    assert old is not None
    assert new is not None
    assert claims.claim(server, Memory(), token=old) is None
    assert ComfyServer.objects.renew(server.pk, token=old) == 0
    assert claims.claim(server, Memory(), token=new) is not None


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [
        {"status": Status.SUCCEEDED, "finished_at": None},
        {"status": Status.QUEUED, "finished_at": timezone.now()},
        {"status": Status.FAILED, "error_code": "", "finished_at": timezone.now()},
        {"status": Status.STORING, "store_after": None, "upstream_outputs": None},
        {"status": "nonsense"},
    ],
)
def test_the_database_refuses_contradictions(fields: dict[str, Any]) -> None:
    generation = make_generation(make_user())
    with pytest.raises(IntegrityError), transaction.atomic():
        Generation.objects.filter(pk=generation.pk).update(**fields)


@pytest.mark.django_db
def test_storing_is_done_by_one_worker_at_a_time() -> None:
    generation = make(Status.STORING)
    assert G.claim_storing(generation.pk, seconds=60) == 1
    assert G.claim_storing(generation.pk, seconds=60) == 0
    assert G.put_off_next_storing(generation.pk, turn=1, seconds=-1) == 1
    assert G.claim_storing(generation.pk, seconds=60) == 1
    assert G.put_off_next_storing(generation.pk, turn=1, seconds=60) == 0
    assert G.succeed(generation.pk, turn=1) == 0


@pytest.mark.django_db(transaction=True)
def test_two_relays_never_claim_the_same_generation() -> None:
    user, template = make_user(), make_template()
    for _ in range(12):
        make_generation(user, template=template)
    servers = [make_server(f"s{n}", f"http://127.0.0.1:{9000 + n}", lease_token=1) for n in range(4)]
    claimed: list[uuid.UUID] = []

    def claim(server: ComfyServer) -> None:
        memory = Memory()
        try:
            while (generation := claims.claim(server, memory, token=1)) is not None:
                claimed.append(generation.pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=claim, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patient(30))
    assert len(claimed) == len(set(claimed)) == 12


@pytest.mark.django_db
def test_users_only_find_what_is_theirs(owner: Any, stranger: Any, staff: Any) -> None:
    generation = make_generation(owner)
    assert list(G.for_member(owner)) == [generation]
    assert not G.for_member(stranger).exists()
    assert not G.for_member(staff).exists()
