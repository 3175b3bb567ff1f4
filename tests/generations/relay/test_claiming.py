"""When an agent asks for work, and what becomes of what its server does not take."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from generations.comfy.errors import NodeError, Rejected, Unavailable
from generations.lifecycle import services
from generations.models import ComfyServer, Generation, Status, WorkflowTemplate
from generations.relay import claiming
from generations.relay.claiming import Claimer
from generations.relay.session import Session
from generations.relay.submit import InputMissingError, StorageUnavailableError
from generations.scheduling import claims
from generations.scheduling.claims import Memory
from tests.support.factories import make_template, submit
from tests.support.queueing import CATALOG, at_work, finish, person, tell

pytestmark = pytest.mark.django_db
SOCKET = "a socket"


class Upstream:
    """Stands for the way to ComfyUI: takes what it is given, unless it has a `fault`."""

    def __init__(self) -> None:
        self.given: list[uuid.UUID] = []
        self.fault: Exception | None = None
        self.before: Callable[[], object] = lambda: None  # happens while it is handed over

    def submit(self, generation: Generation, *_: Any, **__: Any) -> uuid.UUID:
        self.before()
        if self.fault is not None:
            raise self.fault
        self.given.append(generation.pk)
        return generation.prompt_id


@pytest.fixture
def server() -> ComfyServer:
    return at_work("one", 1)


@pytest.fixture
def template(server: ComfyServer) -> WorkflowTemplate:
    return make_template()


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Upstream:
    found = Upstream()
    monkeypatch.setattr(claiming, "submit_upstream", found.submit)
    return found


@pytest.fixture
def claimer(server: ComfyServer, upstream: Upstream) -> Iterator[Claimer]:
    """Of an agent that is connected to its server."""
    session = Session(server, token=1)
    session.connection.opened(SOCKET)
    session.connection.answered(is_stuck=False)
    reader: Any = SimpleNamespace(read=lambda: True)
    yield Claimer(session, reader)
    session.client.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each claim found something."""
    found: list[bool] = []
    claim = claiming.claims.claim

    def counted(*args: Any, **options: Any) -> Generation | None:
        generation = claim(*args, **options)
        found.append(generation is not None)
        return generation

    monkeypatch.setattr(claiming.claims, "claim", counted)
    return found


def state(generation: Generation) -> tuple[str, int]:
    """Its status, and how often it was handed to a server."""
    fresh = Generation.objects.get(pk=generation.pk)
    return fresh.status, fresh.attempt


# ---------------------------------------------------------------------------------------------- when it asks
def test_all_slots_are_filled_in_the_order_of_the_line(
    claimer: Claimer, upstream: Upstream, template: WorkflowTemplate
) -> None:
    user = person("user", max_concurrent=5)
    waiting = [submit(template, user) for _ in range(3)]
    claimer.claim_all()
    assert upstream.given == [each.pk for each in waiting[: claimer.session.server.slots]]


def test_it_does_not_ask_for_a_second_one_that_is_not_there(
    claimer: Claimer, template: WorkflowTemplate, asked: list[bool]
) -> None:
    submit(template, person("user"))
    claimer.claim_all()
    claimer.claim_all()
    assert asked == [True]


def test_the_end_of_its_own_is_no_reason_to_ask_while_the_line_is_empty(
    claimer: Claimer, template: WorkflowTemplate, asked: list[bool]
) -> None:
    generation = submit(template, person("user"))
    claimer.claim_all()
    finish(generation)
    claimer.session.forget(str(generation.pk))
    claimer.claim_all()
    assert asked == [True]
    claimer.session.woken()
    claimer.claim_all()
    assert asked == [True, False]


def test_the_end_of_its_own_is_a_reason_to_ask_while_others_wait(
    claimer: Claimer, upstream: Upstream, template: WorkflowTemplate
) -> None:
    user = person("user", max_concurrent=5)
    waiting = [submit(template, user) for _ in range(3)]
    claimer.claim_all()
    finish(waiting[0])
    claimer.session.forget(str(waiting[0].pk))
    claimer.claim_all()
    assert upstream.given == [each.pk for each in waiting]


def test_it_asks_by_itself_after_a_tick(claimer: Claimer, template: WorkflowTemplate, upstream: Upstream) -> None:
    claimer.claim_all()
    generation = submit(template, person("user"))
    claimer.claim_all()
    assert not upstream.given
    assert 0 < claimer.session.timers.line - time.monotonic() <= claiming.timing.TICK_SECONDS
    claimer.session.timers.line = claimer.session.timers.idle = time.monotonic()
    claimer.claim_all()
    assert upstream.given == [generation.pk]


@pytest.mark.parametrize("obstacle", ["draining", "disabled", "disconnected", "stopping", "full"])
def test_it_does_not_ask_for_what_it_could_not_take(
    claimer: Claimer, template: WorkflowTemplate, asked: list[bool], obstacle: str
) -> None:
    session = claimer.session
    submit(template, person("user"))
    match obstacle:
        case "draining":
            session.server.is_draining = True
        case "disabled":
            session.server.is_enabled = False
        case "disconnected":
            session.connection.closed()
        case "stopping":
            session.stopping.set()
        case "full":
            session.server.slots = 0
    claimer.claim_all()
    assert not asked


# ---------------------------------------------------------------------------------------------- what goes wrong
def test_what_certainly_did_not_arrive_waits_again(
    claimer: Claimer, upstream: Upstream, template: WorkflowTemplate
) -> None:
    generation = submit(template, person("user"))
    upstream.fault = Unavailable("ComfyUI cannot be reached.")
    claimer.claim_all()
    assert state(generation) == (Status.QUEUED, 0)
    assert ComfyServer.objects.get().state == "unreachable"
    assert claimer.session.timers.claim > time.monotonic()
    assert not claimer.session.prompts


@pytest.mark.parametrize(
    "fault",
    [
        Unavailable("ComfyUI cannot be reached."),
        StorageUnavailableError("away"),
        Rejected("Unknown node", type="missing_node_type"),
    ],
)
def test_what_was_canceled_while_it_was_handed_over_in_vain_goes_to_nobody_else(
    claimer: Claimer, upstream: Upstream, template: WorkflowTemplate, server: ComfyServer, fault: Exception
) -> None:
    generation = submit(template, person("user"))
    upstream.before, upstream.fault = lambda: services.cancel(generation), fault
    del (lacking := dict(CATALOG))["KSampler"]
    claimer._catalog_reader = SimpleNamespace(read=lambda: tell(server, lacking) is None)  # type: ignore[assignment]
    claimer.claim_all()
    assert state(generation) == (Status.CANCELED, 1)
    assert not claimer.session.prompts
    assert claims.claim(at_work("two", 2), Memory(), token=1) is None


def test_what_may_have_arrived_is_looked_for_first(
    claimer: Claimer, upstream: Upstream, template: WorkflowTemplate
) -> None:
    generation = submit(template, person("user"))
    upstream.fault = Unavailable("ComfyUI broke off the connection.", is_ambiguous=True)
    claimer.claim_all()
    assert state(generation) == (Status.SUBMITTED, 1)
    assert str(generation.pk) in claimer.session.prompts
    assert claimer.session.timers.reconcile == claimer.session.timers.claim > time.monotonic()


def test_a_storage_that_is_away_costs_nothing(claimer: Claimer, upstream: Upstream, template: WorkflowTemplate) -> None:
    generation = submit(template, person("user"))
    upstream.fault = StorageUnavailableError("away")
    claimer.claim_all()
    assert state(generation) == (Status.QUEUED, 0)
    assert claimer.session.timers.claim > time.monotonic()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (InputMissingError("An input file was deleted."), "input_missing"),
        (ValueError("something"), "internal_error"),
        (Rejected("No.", [NodeError("3", "KSampler", "bad_input", "Bad", "")]), "invalid_workflow"),
    ],
)
def test_what_cannot_be_submitted_fails_and_holds_up_nobody(
    claimer: Claimer, upstream: Upstream, template: WorkflowTemplate, fault: Exception, code: str
) -> None:
    bad = submit(template, person("user"))
    upstream.fault = fault
    claimer.claim_all()
    bad.refresh_from_db()
    assert (bad.status, bad.error_code) == (Status.FAILED, code)
    upstream.fault = None
    good = submit(template, person("other"))
    claimer.session.woken()
    claimer.claim_all()
    assert upstream.given == [good.pk]


def test_what_the_server_lacks_after_all_is_for_others(
    claimer: Claimer, upstream: Upstream, template: WorkflowTemplate, server: ComfyServer
) -> None:
    generation = submit(template, person("user"))
    upstream.fault = Rejected("Unknown node", type="missing_node_type")
    del (lacking := dict(CATALOG))["KSampler"]
    claimer._catalog_reader = SimpleNamespace(read=lambda: tell(server, lacking) is None)  # type: ignore[assignment]
    claimer.claim_all()
    assert state(generation) == (Status.QUEUED, 0)
