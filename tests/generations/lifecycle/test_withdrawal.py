"""Suspending a person ends their work at once, however much it is, and lets nothing slip in meanwhile."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection, connections, transaction
from django.utils import timezone

from accounts import standing, workspaces
from accounts.models import Membership, SuspendedError, User, Workspace
from generations import tasks
from generations.lifecycle import services, transitions, withdrawal
from generations.models import Departure, Generation, Status, Webhook, Withdrawal
from generations.models.generation import ACTIVE
from generations.scheduling import queue
from tests.support.factories import (
    make_generation,
    make_server,
    make_team,
    make_template,
    own,
)
from tests.support.waiting import patient

pytestmark = pytest.mark.django_db(transaction=True)


def suspend(person: User, by: User) -> None:
    standing.suspend(User.objects.get(pk=person.pk), by=by, reason="spam")


def submit(user: User, template: Any) -> Generation:
    return services.submit_current(user=user, template=template, inputs={"prompt": "x"})[0]


@pytest.mark.usefixtures("eager_tasks")
def test_everything_of_that_person_ends_and_nothing_of_others(owner: User, stranger: User, staff: User) -> None:
    server = make_server("known", "http://127.0.0.1:1")
    waiting = [make_generation(owner), make_generation(owner, tag=None)]
    running = make_generation(owner, status=Status.RUNNING, server=server)
    storing = make_generation(owner, status=Status.STORING)
    done = make_generation(owner, status=Status.SUCCEEDED)
    other = make_generation(stranger)
    suspend(owner, staff)
    for each in (*waiting, storing):
        each.refresh_from_db()
        assert each.status == Status.CANCELED
    running.refresh_from_db()
    assert running.is_canceling  # the relay stops it upstream
    done.refresh_from_db()
    assert done.status == Status.SUCCEEDED
    other.refresh_from_db()
    assert (other.status, other.tag) == (Status.QUEUED, 0.0)
    assert not Withdrawal.objects.exists()


def test_nothing_can_be_claimed_before_a_worker_comes(
    owner: User, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawal, "ask", lambda *_: None)
    waiting = make_generation(owner)
    running = make_generation(owner, status=Status.RUNNING, server=make_server("known", "http://127.0.0.1:1"))
    suspend(owner, staff)
    assert not Generation.objects.in_line().exists()
    assert queue.admit(own(owner)) == 0
    with transaction.atomic():
        assert queue.Line(own(owner)).admit() == 0  # with a row from before
    # Back from its server, it is held, too.
    Generation.objects.filter(pk=running.pk).update(status=Status.SUBMITTED, attempt=1)
    assert Generation.objects.release(running.prompt_id)
    assert set(Generation.objects.held()) == {waiting, running}


def test_what_the_broker_did_not_take_is_found_by_the_sweep(
    owner: User, staff: User, monkeypatch: pytest.MonkeyPatch, eager_tasks: None
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(withdrawal, "ask", lambda *_: None)
        waiting = make_generation(owner)
        suspend(owner, staff)
    tasks.sweep()
    waiting.refresh_from_db()
    assert waiting.status == Status.CANCELED
    assert not Withdrawal.objects.exists()


@pytest.mark.usefixtures("eager_tasks")
def test_many_are_canceled_in_batches_and_the_rest_is_asked_for(
    owner: User, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawal, "AT_ONCE", 2)
    monkeypatch.setattr(withdrawal, "SECONDS", 0.0)
    for _ in range(5):
        make_generation(owner, tag=None)
    suspend(owner, staff)
    assert Generation.objects.filter(status=Status.CANCELED).count() == 5
    assert not Withdrawal.objects.exists()


def test_one_worker_at_a_time_is_at_it(owner: User, staff: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withdrawal, "ask", lambda *_: None)
    waiting = make_generation(owner)
    suspend(owner, staff)
    cache.set(f"withdrawal.{owner.pk}", True)
    withdrawal.cancel_withdrawn(owner.pk)
    waiting.refresh_from_db()
    assert waiting.status == Status.QUEUED
    cache.delete(f"withdrawal.{owner.pk}")
    withdrawal.cancel_withdrawn(owner.pk)
    withdrawal.cancel_withdrawn(owner.pk)  # nothing is left to do
    waiting.refresh_from_db()
    assert waiting.status == Status.CANCELED


def test_what_is_begun_after_reinstating_goes_on(
    owner: User, staff: User, monkeypatch: pytest.MonkeyPatch, known_server: Any
) -> None:
    template = make_template()
    with monkeypatch.context() as patch:
        patch.setattr(withdrawal, "ask", lambda *_: None)
        before = make_generation(owner, created_at=timezone.now() - timedelta(minutes=1))
        suspend(owner, staff)
    standing.reinstate(User.objects.get(pk=owner.pk), by=staff)
    after = submit(owner, template)
    withdrawal.cancel_withdrawn(owner.pk)
    before.refresh_from_db()
    after.refresh_from_db()
    assert (before.status, after.status) == (Status.CANCELED, Status.QUEUED)


def test_what_a_suspension_withdrew_does_not_get_in_line_after_reinstating(
    owner: User, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawal, "ask", lambda *_: None)
    team = make_team(owner)
    before = [make_generation(owner), make_generation(owner, tag=None), make_generation(owner, workspace=team)]
    suspend(owner, staff)
    standing.reinstate(User.objects.get(pk=owner.pk), by=staff)
    after = [make_generation(owner, tag=None), make_generation(owner, tag=None, workspace=team)]
    assert [queue.admit(own(owner)), queue.admit(team)] == [1, 1]
    assert set(Generation.objects.in_line()) == set(after)
    withdrawal.cancel_withdrawn(owner.pk)
    assert set(Generation.objects.filter(status=Status.CANCELED)) == set(before)


def test_a_submission_that_was_under_way_is_refused(owner: User, staff: User, known_server: Any) -> None:
    template = make_template()
    mine = User.objects.get(pk=owner.pk)  # as the request loaded it
    suspend(owner, staff)
    with pytest.raises(SuspendedError):
        submit(mine, template)
    assert not Generation.objects.exists()


@pytest.mark.usefixtures("eager_tasks")
def test_of_a_submission_and_a_suspension_at_once_nothing_is_left_to_run(
    owner: User, staff: User, known_server: Any
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")
    template = make_template()
    begin = threading.Barrier(5)
    failures: list[BaseException] = []

    def submit_many() -> None:
        try:
            mine = User.objects.get(pk=owner.pk)
            begin.wait(patient(20))
            for _ in range(10):
                submit(mine, template)
        except SuspendedError:
            pass
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=submit_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    begin.wait(patient(20))
    suspend(owner, staff)
    for thread in threads:
        thread.join(patient(20))
    assert not failures
    assert not Generation.objects.filter(status__in=ACTIVE).exists()


def test_a_submission_first_makes_the_suspension_wait(owner: User, staff: User, known_server: Any) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")
    entered, suspended = threading.Event(), threading.Event()

    def suspend_meanwhile() -> None:
        entered.wait(patient(20))
        try:
            suspend(owner, staff)
        finally:
            suspended.set()
            connections.close_all()

    thread = threading.Thread(target=suspend_meanwhile)
    thread.start()
    with transaction.atomic():
        queue.Line(own(owner))
        entered.set()
        assert not suspended.wait(0.3)
    assert suspended.wait(patient(20))
    thread.join(patient(20))


# ---------------------------------------------------------------------------------------------- members who leave
@pytest.fixture
def team(owner: User, stranger: User) -> Workspace:
    return make_team(owner, member=stranger)


def remove(member: User, team: Workspace, by: User) -> None:
    workspaces.remove_member(acting=by, member=Membership.objects.get(user=member, workspace=team))


@pytest.mark.usefixtures("eager_tasks")
def test_what_a_removed_member_has_under_way_in_the_team_ends(owner: User, stranger: User, team: Workspace) -> None:
    server = make_server("known", "http://127.0.0.1:1")
    waiting = [make_generation(stranger, workspace=team), make_generation(stranger, workspace=team, tag=None)]
    running = make_generation(stranger, workspace=team, status=Status.RUNNING, server=server)
    done = make_generation(stranger, workspace=team, status=Status.SUCCEEDED)
    others = [make_generation(owner, workspace=team), make_generation(stranger)]
    hooks = [Webhook.objects.create(user=stranger, workspace=each, url="https://example.com") for each in (team, None)]
    remove(stranger, team, owner)
    for each in (*waiting, running, done, *others, *hooks):
        each.refresh_from_db()
    assert [each.status for each in waiting] == [Status.CANCELED] * 2
    assert running.is_canceling
    assert done.status == Status.SUCCEEDED
    assert [(each.status, each.tag) for each in others] == [(Status.QUEUED, 0.0)] * 2
    assert [each.is_enabled for each in hooks] == [False, True]
    assert not Departure.objects.exists()


def test_nothing_of_a_removed_member_is_claimed_before_a_worker_comes(
    owner: User, stranger: User, team: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawal, "ask", lambda *_: None)
    waiting = make_generation(stranger, workspace=team)
    remove(stranger, team, owner)
    assert not Generation.objects.in_line().exists()
    assert queue.admit(team) == 0
    tasks.cancel_departed(Departure.objects.get().pk)
    waiting.refresh_from_db()
    assert waiting.status == Status.CANCELED
    assert not Departure.objects.exists()


def test_what_somebody_begins_who_came_back_goes_on(
    owner: User, stranger: User, team: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawal, "ask", lambda *_: None)
    before = make_generation(stranger, workspace=team)
    remove(stranger, team, owner)
    Membership.objects.create(user=stranger, workspace=team)
    after = make_generation(stranger, workspace=team)
    tasks.cancel_departed(Departure.objects.get().pk)
    for each in (before, after):
        each.refresh_from_db()
    assert (before.status, after.status) == (Status.CANCELED, Status.QUEUED)


def test_what_a_removal_withdrew_does_not_get_in_line_when_its_member_is_back(
    owner: User, stranger: User, team: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawal, "ask", lambda *_: None)
    make_generation(stranger, workspace=team)
    remove(stranger, team, owner)
    Membership.objects.create(user=stranger, workspace=team)
    after = [make_generation(each, workspace=team, tag=None) for each in (stranger, owner)]
    assert queue.admit(team) == 2
    assert set(Generation.objects.in_line()) == set(after)


def test_a_submission_makes_a_removal_wait_and_one_after_it_is_refused(
    owner: User, stranger: User, team: Workspace, known_server: Any
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")
    template = make_template()
    entered, removed = threading.Event(), threading.Event()

    def remove_meanwhile() -> None:
        entered.wait(patient(20))
        try:
            remove(stranger, team, owner)
        finally:
            removed.set()
            connections.close_all()

    thread = threading.Thread(target=remove_meanwhile)
    thread.start()
    with transaction.atomic():
        queue.Line(team, stranger)
        entered.set()
        assert not removed.wait(0.3)
    assert removed.wait(patient(20))
    thread.join(patient(20))
    with pytest.raises(workspaces.NotAMemberError):
        services.submit_current(user=stranger, workspace=team, template=template, inputs={"prompt": "x"})


@pytest.mark.usefixtures("eager_tasks")
def test_the_sweeper_finds_those_who_left(
    owner: User, stranger: User, team: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = make_generation(stranger, workspace=team)
    with monkeypatch.context() as patch:
        patch.setattr(withdrawal, "ask", lambda *_: None)
        remove(stranger, team, owner)
    tasks.sweep()
    waiting.refresh_from_db()
    assert waiting.status == Status.CANCELED


# ------------------------------------------------------------------------------------------- teams
@pytest.mark.django_db
def test_what_a_team_has_under_way_ends_when_it_is_dissolved(owner: User, stranger: User, team: Workspace) -> None:
    theirs = [make_generation(each, workspace=team) for each in (owner, stranger)]
    own_ones = [make_generation(each) for each in (owner, stranger)]
    workspaces.dissolve(acting=owner, workspace=team)
    assert not Generation.objects.filter(workspace=team).in_line().exists()  # before a worker comes
    tasks.sweep()
    for departure in Departure.objects.all():
        withdrawal.cancel_departed(departure.pk)
    left = Generation.objects.filter(status__in=ACTIVE)
    assert set(left) == set(own_ones)
    assert Generation.objects.filter(status=Status.CANCELED).count() == len(theirs)
    workspaces.keep(acting=owner, workspace=team)
    later = make_generation(stranger, workspace=team)
    tasks.sweep()
    later.refresh_from_db()
    assert later.status == Status.QUEUED


def test_what_a_team_had_under_way_does_not_get_in_line_before_a_worker_comes(
    owner: User, stranger: User, team: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawal, "ask", lambda *_: None)
    for each in (owner, stranger):
        make_generation(each, workspace=team)
    workspaces.dissolve(acting=owner, workspace=team)
    tasks.sweep()
    assert not Generation.objects.in_line().exists()
    workspaces.keep(acting=owner, workspace=team)
    assert queue.admit(team) == 0


def test_nothing_new_is_accepted_in_a_team_that_is_dissolved(
    owner: User, stranger: User, team: Workspace, known_server: Any
) -> None:
    template = make_template()
    workspaces.dissolve(acting=owner, workspace=team)
    for each in (owner, stranger):
        with pytest.raises(workspaces.DissolvingError):
            services.submit_current(user=each, workspace=team, template=template, inputs={"prompt": "x"})
    assert not Generation.objects.exists()


def test_a_submission_makes_dissolving_wait_and_is_canceled_with_the_rest(
    owner: User, stranger: User, team: Workspace, known_server: Any
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")
    template = make_template()
    entered, dissolved = threading.Event(), threading.Event()

    def dissolve_meanwhile() -> None:
        entered.wait(patient(20))
        try:
            workspaces.dissolve(acting=owner, workspace=team)
        finally:
            dissolved.set()
            connections.close_all()

    thread = threading.Thread(target=dissolve_meanwhile)
    thread.start()
    with transaction.atomic():
        services.submit_current(user=stranger, workspace=team, template=template, inputs={"prompt": "x"})
        entered.set()
        assert not dissolved.wait(0.3)
    assert dissolved.wait(patient(20))
    thread.join(patient(20))
    assert Departure.objects.get().user_id == stranger.pk
    assert not Generation.objects.in_line().exists()


# ------------------------------------------------------------------------------------------- many at once
@pytest.mark.usefixtures("eager_tasks")
def test_many_are_canceled_in_few_statements(
    owner: User, staff: User, django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(withdrawal, "ask", lambda *_: None)
        rows = [make_generation(owner, tag=None) for _ in range(3)]
        more = [copy_of(rows[0]) for _ in range(300)]
        Generation.objects.bulk_create(more)
        suspend(owner, staff)
    with django_assert_max_num_queries(25):
        withdrawal.cancel_withdrawn(owner.pk)
    assert Generation.objects.filter(status=Status.CANCELED, finished_at__isnull=False).count() == 303
    assert not Withdrawal.objects.exists()


def copy_of(generation: Generation) -> Generation:
    made = Generation.objects.get(pk=generation.pk)
    made.pk = made.prompt_id = uuid.uuid4()
    made._state.adding = True
    return made


def test_each_of_many_is_told_to_those_who_watch_and_to_webhooks(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = Webhook.objects.create(user=owner, url="https://example.com", events=["job.canceled"], is_for_every_job=True)
    waiting, storing = make_generation(owner, tag=None), make_generation(owner, status=Status.STORING)
    running = make_generation(owner, status=Status.RUNNING, server=make_server("known", "http://127.0.0.1:1"))
    told: list[tuple[str, str]] = []

    def note(generation: Generation, event: Any) -> None:
        told.append((event["prompt_id"], event["type"]))

    monkeypatch.setattr(transitions.publisher, "publish", note)
    assert transitions.cancel_some(Generation.objects.filter(user=owner).active(), 100) == 3
    assert sorted(told) == sorted(
        [(str(waiting.pk), "snapshot"), (str(storing.pk), "snapshot"), (str(running.pk), "status")]
    )
    assert set(hook.deliveries.values_list("job_id", flat=True)) == {waiting.pk, storing.pk}
    assert {each.payload["data"]["status"] for each in hook.deliveries.all()} == {"canceled"}


@pytest.mark.usefixtures("eager_tasks")
def test_a_worker_that_is_killed_leaves_the_rest_to_the_sweep(
    owner: User, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawal, "AT_ONCE", 2)
    for _ in range(5):
        make_generation(owner, tag=None)
    cancel_some = withdrawal.cancel_some

    def be_killed(rows: Any, size: int) -> int:
        cancel_some(rows, size)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(withdrawal, "ask", lambda *_: None)
        suspend(owner, staff)
        patch.setattr(withdrawal, "cancel_some", be_killed)
        with pytest.raises(KeyboardInterrupt):
            withdrawal.cancel_withdrawn(owner.pk)
    assert Generation.objects.filter(status=Status.CANCELED).count() == 2
    tasks.sweep()
    assert Generation.objects.filter(status=Status.CANCELED).count() == 5
    assert not Withdrawal.objects.exists()
