"""What the parts of an agent share, and how it follows a prompt from one id to another."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.utils import timezone

from generations.comfy.state import HistoryEntry
from generations.models import Generation, Status
from generations.models.generation import GenerationQuerySet
from generations.relay import timing
from generations.relay.session import Finished, Session
from tests.support.factories import make_generation, make_server, make_user

pytestmark = pytest.mark.django_db
SOCKET = "a socket"


@pytest.fixture
def session() -> Iterator[Session]:
    """Of a server that nobody reaches, with a socket that was open once."""
    found = Session(make_server(url="http://127.0.0.1:1"), token=1)
    found.connection.opened(SOCKET)
    yield found
    found.client.close()


def given(session: Session, **fields: object) -> Generation:
    """One that the server has, and its socket hears of."""
    status = fields.pop("status", Status.SUBMITTED)
    user = make_user(f"{uuid.uuid4()}@example.com")
    made = make_generation(user, status=str(status), server=session.server, attempt=1, **fields)
    generation = session.rows().get(pk=made.pk)
    session.track(generation, client_id=SOCKET)
    return generation


def test_a_server_that_draws_its_own_ids_is_followed_under_them(session: Session) -> None:
    generation, actual = given(session), uuid.uuid4()
    before = str(generation.prompt_id)
    session.timers.reconcile = session.timers.idle = time.monotonic() + 1000
    session.adopt(generation, actual)
    assert session.rows().get().prompt_id == generation.prompt_id == actual
    assert session.prompts.ids() == [str(actual)]
    assert session.hears(str(actual)) and not session.hears(before)
    assert (session.timers.reconcile, session.timers.idle) == (0.0, 0.0)  # what it said before is asked for
    assert session.prompts.generation(str(actual)) is generation


def test_an_id_of_a_generation_that_ended_meanwhile_is_not_written(session: Session) -> None:
    generation = given(session)
    before = generation.prompt_id
    Generation.objects.cancel(generation.prompt_id)
    session.adopt(generation, uuid.uuid4())
    ended = Generation.objects.get()
    assert (ended.prompt_id, ended.status) == (before, Status.CANCELED)


def test_only_prompts_of_ours_start(session: Session) -> None:
    generation = given(session)
    session.started(str(uuid.uuid4()))
    session.started("a stranger's")
    assert session.rows().get().started_at is None
    session.started(str(generation.prompt_id))
    session.started(str(generation.prompt_id))
    session.write_start("a stranger's")
    at = session.write_start(str(generation.prompt_id))
    row = session.rows().get()
    assert (row.status, row.started_at) == (Status.RUNNING, at)


def test_a_start_is_written_after_a_while(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "START_SECONDS", 1000.0)
    first = given(session)
    session.started(str(first.prompt_id))
    session.write_starts()
    assert session.rows().get().status == Status.SUBMITTED
    monkeypatch.setattr(timing, "START_SECONDS", 0.0)
    second = given(session)
    session.started(str(second.prompt_id))
    session.write_starts()
    assert session.rows().get(status=Status.RUNNING).pk == second.pk


def test_what_is_being_stored_concerns_nothing_else(session: Session) -> None:
    generation = given(session)
    session.finishing.add(str(generation.prompt_id))
    assert not session.rows().exists()
    entry = HistoryEntry(str(generation.prompt_id), {}, "success", True, ())
    session.finished(Finished(entry, timezone.now(), is_over=False))
    assert session.rows().get() == generation


@pytest.fixture
def deleted(session: Session, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts whose histories ComfyUI has forgotten."""
    found: list[str] = []
    monkeypatch.setattr(session.client, "delete_history", lambda *prompt_ids: found.extend(prompt_ids))
    return found


def finished(session: Session) -> str:
    """The prompt_id of one that was stored at once."""
    user = make_user(f"{uuid.uuid4()}@example.com")
    prompt_id = str(make_generation(user, status=Status.SUCCEEDED, server=session.server).prompt_id)
    session.finished(Finished(HistoryEntry(prompt_id, {}, "success", True, ()), timezone.now(), is_over=True))
    return prompt_id


def test_histories_are_deleted_a_while_after_their_results_are_stored(
    session: Session, deleted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "HISTORY_SECONDS", 1000.0)
    finished(session)
    monkeypatch.setattr(timing, "HISTORY_SECONDS", 0.0)
    stored = [finished(session) for _ in range(2)]
    session.forget_histories()
    assert deleted == stored
    stored.append(finished(session))
    session.timers.histories = time.monotonic() + 1000  # it has been asked just now
    session.forget_histories()
    assert deleted == stored[:2]
    session.timers.histories = 0.0
    session.server.is_history_kept = True
    finished(session)
    session.forget_histories()
    assert deleted == stored


def test_the_history_of_what_the_database_has_undone_is_kept(
    session: Session, deleted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "HISTORY_SECONDS", 0.0)
    stored = [finished(session) for _ in range(2)]
    Generation.objects.filter(prompt_id=stored[0]).update(status=Status.RUNNING, finished_at=None)
    session.forget_histories()
    session.timers.histories = 0.0
    session.forget_histories()
    assert deleted == stored[1:]


def test_a_database_that_does_not_answer_is_asked_again_before_histories_are_deleted(
    session: Session, deleted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "HISTORY_SECONDS", 0.0)
    stored = finished(session)

    def failing(_queryset: object) -> None:
        raise DatabaseError

    with monkeypatch.context() as patch:
        patch.setattr(GenerationQuerySet, "upstream", failing)
        with pytest.raises(DatabaseError):
            session.forget_histories()
    assert not deleted
    session.timers.histories = 0.0
    session.forget_histories()
    assert deleted == [stored]


def test_a_run_that_is_found_under_way_has_only_the_rest_of_its_time(session: Session) -> None:
    long_ago = timezone.now() - timedelta(days=2)
    old = given(session, status=Status.RUNNING, started_at=long_ago)
    assert session.prompts.is_overdue(str(old.prompt_id))
    assert not session.prompts.is_overdue(str(given(session).prompt_id))


def test_what_other_servers_and_the_queue_have_is_not_its_own(session: Session) -> None:
    mine = given(session)
    other = make_server("two", "http://127.0.0.1:2")
    for status, server in ((Status.RUNNING, other), (Status.QUEUED, None), (Status.SUCCEEDED, session.server)):
        make_generation(mine.user, status=status, server=server)
    assert list(session.rows()) == [mine]


def test_a_socket_that_is_replaced_claims_nothing_until_the_next_one_is_there(session: Session) -> None:
    before = time.monotonic()
    session.reconnect("It was deaf.")
    assert session.timers.claim >= before + timing.PAUSE_AFTER_FAULT_SECONDS
    session.wake()
    assert session.inbox.get_nowait() is None


def test_many_wishes_to_wake_an_agent_are_one(session: Session) -> None:
    for _ in range(3):
        session.wake()
    assert session.inbox.get(timeout=0) is None
    assert session.inbox.empty()
    session.timers.idle = session.timers.line = session.timers.look_around = time.monotonic() + 1000
    session.woken()
    assert (session.timers.idle, session.timers.line, session.timers.look_around) == (0.0, 0.0, 0.0)
    session.wake()
    assert not session.inbox.empty()
