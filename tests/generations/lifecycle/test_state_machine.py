"""A model of everything that users, admins, servers and crashes do, in any order: the database never contradicts it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from accounts import standing
from accounts.models import Plan, SuspendedError, User
from generations import tasks
from generations.comfy.messages import ExecutionError, ExecutionInterrupted, ExecutionSuccess
from generations.comfy.state import HistoryEntry
from generations.files import assets
from generations.lifecycle import services, storing, transitions, withdrawal
from generations.models import (
    ComfyServer,
    Generation,
    Output,
    QueueClock,
    QueueShare,
    Status,
    TemplateVersion,
    Withdrawal,
    WorkflowTemplate,
)
from generations.models.generation import ACTIVE, TERMINAL, UPSTREAM, Retry
from generations.relay import apply
from generations.scheduling import claims
from generations.scheduling.claims import Memory
from generations.scheduling.queue import QueueFullError
from tests.support.factories import make_server, make_template, make_user, version_of

CAP, ROOM = 2, 4
OUTPUTS = {"9": {"text": ["done"]}}
EXAMPLES, STEPS = 12, 40
ENDS = ("success", "error", "memory", "interrupted")


def entry(prompt_id: str, end: str) -> HistoryEntry:
    """What ComfyUI's history says of it."""
    last: Any = {
        "success": ExecutionSuccess(prompt_id),
        "error": ExecutionError(prompt_id, "3", "KSampler", "boom", "ValueError"),
        "memory": ExecutionError(prompt_id, "3", "KSampler", "out of memory", "torch.OutOfMemoryError"),
        "interrupted": ExecutionInterrupted(prompt_id, "3", "KSampler"),
    }[end]
    outputs = OUTPUTS if end == "success" else {}
    return HistoryEntry(prompt_id, outputs, "success" if end == "success" else "error", end == "success", (last,))


class Life(RuleBasedStateMachine):
    """Rules act as users, relays (also ones that woke up late) and workers; invariants look at every row."""

    generations = Bundle("generations")
    attempts = Bundle("attempts")

    @initialize()
    def cast(self) -> None:
        for model in (Output, Generation, QueueShare, QueueClock, WorkflowTemplate, ComfyServer, User, Plan):
            if model is WorkflowTemplate:
                WorkflowTemplate.objects.update(published_version=None)
                TemplateVersion.objects.all().delete()
            model._default_manager.all().delete()
        self.users = [
            make_user(f"{n}@example.com", plan=Plan.objects.create(name=str(n), max_concurrent=CAP, max_queued=ROOM))
            for n in range(2)
        ]
        self.staff = make_user("staff@example.com", is_staff=True, is_superuser=True)
        self.version = version_of(make_template())
        self.servers = [make_server(f"s{n}", f"http://s{n}", lease_token=1, state="online") for n in range(2)]
        self.ended: dict[Any, str] = {}

    @rule(target=generations, who=st.integers(0, 1))
    def submit(self, who: int) -> Any:
        user = User.objects.select_related("plan").get(pk=self.users[who].pk)
        waiting = Generation.objects.filter(user=user, status=Status.QUEUED).count()
        try:
            made = services.submit(user=user, version=self.version, inputs={"prompt": "x"})
        except SuspendedError:
            assert user.is_suspended
            return None
        except QueueFullError:
            assert waiting >= ROOM
            return None
        assert waiting < ROOM
        assert not user.is_suspended
        return made.pk

    @rule(target=attempts, where=st.integers(0, 1))
    def claim(self, where: int) -> Any:
        found = claims.claim(self.servers[where], Memory(), token=1)
        return None if found is None else (found.pk, found.prompt_id)

    @rule(attempt=attempts)
    def start(self, attempt: Any) -> None:
        if attempt:
            apply.started(attempt[1])

    @rule(attempt=attempts, end=st.sampled_from(ENDS))
    def end(self, attempt: Any, end: str) -> None:
        """Perhaps much too late, by a relay that was paused and holds an old row."""
        row = self._row(attempt)
        if row is not None:
            row.prompt_id = attempt[1]
            apply.ended(row, entry(str(attempt[1]), end))

    @rule(attempt=attempts)
    def lose(self, attempt: Any) -> None:
        row = self._row(attempt)
        if row is not None:
            row.prompt_id = attempt[1]
            apply.lost(row)

    @rule(attempt=attempts)
    def release(self, attempt: Any) -> None:
        row = self._row(attempt)
        if row is not None:
            row.prompt_id = attempt[1]
            apply.released(row)

    @rule(attempt=attempts, retry=st.sampled_from([Retry.WITHDRAWN, Retry.OUT_OF_MEMORY]))
    def retry(self, attempt: Any, retry: Retry) -> None:
        if attempt:
            transitions.retried(*attempt, retry)

    @rule(pk=generations)
    def cancel(self, pk: Any) -> None:
        row = Generation.objects.filter(pk=pk).first() if pk else None
        if row is not None:
            services.cancel(row)

    @rule(pk=generations)
    def store(self, pk: Any) -> None:
        if pk:
            storing.store_outputs(str(pk))

    @rule(pk=generations)
    def delete(self, pk: Any) -> None:
        row = Generation.objects.filter(pk=pk).first() if pk else None
        if row is None:
            return
        try:
            services.delete(row)
        except services.NotFinishedError:
            assert row.status in ACTIVE
        else:
            self.ended.pop(pk, None)

    @rule(where=st.integers(0, 1))
    def server_goes(self, where: int) -> None:
        """Deleted by an admin all the same, and another one set up."""
        self.servers[where].delete()
        self.servers[where] = make_server(f"s{where}", f"http://s{where}", lease_token=1, state="online")

    @rule(who=st.integers(0, 1))
    def suspend(self, who: int) -> None:
        standing.suspend(self.users[who], by=self.staff, reason="x")

    @rule(who=st.integers(0, 1))
    def reinstate(self, who: int) -> None:
        standing.reinstate(self.users[who], by=self.staff)

    @rule(who=st.integers(0, 1))
    def cancel_withdrawn(self, who: int) -> None:
        withdrawal.cancel_withdrawn(self.users[who].pk)
        assert not Withdrawal.objects.filter(user=self.users[who]).exists()

    @rule()
    def sweep(self) -> None:
        tasks.sweep()
        assert not Generation.objects.upstream().filter(server=None).exists()

    def _row(self, attempt: Any) -> Generation | None:
        rows = Generation.objects.select_related("version__template", "server")
        return rows.filter(pk=attempt[0]).first() if attempt else None

    @invariant()
    def what_is_over_stays_as_it_is(self) -> None:
        now = dict(Generation.objects.filter(status__in=TERMINAL).values_list("pk", "status"))
        for pk, status in self.ended.items():
            assert now.get(pk) == status
        self.ended = now

    @invariant()
    def nobody_has_more_under_way_than_the_plan_allows(self) -> None:
        for user in self.users:
            mine = Generation.objects.filter(user=user)
            assert mine.in_play().count() <= CAP
            assert mine.filter(status=Status.QUEUED).count() <= ROOM + CAP  # what is run once more is not turned away

    @invariant()
    def whoever_waits_is_let_in_when_there_is_room(self) -> None:
        for user in self.users:
            mine = Generation.objects.filter(user=user)
            is_withdrawn = Withdrawal.objects.filter(user=user).exists()  # all of it ends when a worker comes
            if mine.held().exists() and not is_withdrawn:
                assert mine.in_play().count() == CAP

    @invariant()
    def nothing_of_suspended_people_can_be_claimed(self) -> None:
        assert not Generation.objects.in_line().filter(user__suspended_at__isnull=False).exists()

    @invariant()
    def every_row_makes_sense(self) -> None:
        for row in Generation.objects.all():
            assert (row.finished_at is not None) == (row.status in TERMINAL)
            assert row.losses < 2 or row.status in TERMINAL
            assert row.attempt >= 1 or row.status in {Status.QUEUED, Status.CANCELED}
            if row.status == Status.FAILED:
                assert row.error_code
                assert row.error_message
            if row.status in UPSTREAM:
                assert row.submitted_at is not None
            if row.status == Status.SUCCEEDED:
                assert list(row.outputs.values_list("value", flat=True)) == ["done"]

    @invariant()
    def what_was_canceled_is_not_run_once_more(self) -> None:
        unwanted = Generation.objects.unwanted()
        assert not unwanted.exclude(status__in=(*UPSTREAM, *TERMINAL)).exists()

    @invariant()
    def no_output_belongs_to_what_is_not_stored(self) -> None:
        assert not Output.objects.exclude(
            generation__status__in=(Status.STORING, Status.SUCCEEDED, Status.CANCELED, Status.FAILED)
        ).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(300)
def test_any_order_of_events_leaves_the_database_consistent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing.store_outputs, "delay", lambda pk: None)  # workers come when the model says so
    monkeypatch.setattr(withdrawal.cancel_withdrawn, "delay", lambda user_id: None)
    monkeypatch.setattr(assets.delete_files, "delay", lambda keys: None)
    run_machine(
        Life,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
