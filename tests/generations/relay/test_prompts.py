"""What an agent knows of its prompts, with a clock that the test turns."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest

from generations.relay import timing
from generations.relay.prompts import Prompt, Prompts, Start

GENERATION = uuid.UUID(int=7)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def prompts(clock: Clock) -> Prompts:
    """One prompt “p”, which the socket “c” hears; it may run for ten seconds."""
    found = Prompts(clock)
    found.add("p", Prompt(GENERATION, "c", 10.0))
    return found


def test_what_is_known_of_a_prompt_stays_when_it_is_added_again(prompts: Prompts) -> None:
    prompts.add("p", Prompt(uuid.UUID(int=8), "", 1.0), running_seconds=5.0)
    assert (len(prompts), prompts.ids(), prompts.generation_id("p")) == (1, ["p"], GENERATION)
    assert prompts.is_heard("p", "c")
    assert not prompts.is_overdue("p")


def test_what_is_forgotten_is_not_looked_at_either(prompts: Prompts) -> None:
    prompts.look_now("p")
    prompts.forget("p")
    prompts.forget("p")
    assert "p" not in prompts
    assert not prompts.due()
    assert not prompts.is_heard("p", "c")
    assert not prompts.was_asked_to_stop("p")


def test_under_another_id_it_is_the_same_prompt(prompts: Prompts, clock: Clock) -> None:
    prompts.started("p", NOW)
    prompts.asked_to_stop("p")
    prompts.look_now("p")
    prompts.look_soon("q")
    prompts.move("p", "q")
    assert prompts.ids() == ["q"]
    assert prompts.generation_id("q") == GENERATION
    assert prompts.was_asked_to_stop("q")
    assert not prompts.is_look_planned("p")
    assert prompts.is_look_planned("q")
    clock.passes(10.0)
    assert prompts.is_overdue("q")


def test_what_is_not_known_cannot_move(prompts: Prompts) -> None:
    with pytest.raises(KeyError):
        prompts.move("unknown", "q")


def test_a_prompt_is_heard_by_the_socket_that_submitted_it(prompts: Prompts) -> None:
    assert prompts.are_all_heard("c")
    assert not prompts.are_all_heard("another socket")
    prompts.add("q", Prompt(GENERATION, "", 10.0))
    assert not prompts.are_all_heard("c")
    prompts.forget("q")
    prompts.set_unheard("p")
    assert not prompts.is_heard("p", "c")


def test_its_time_counts_from_its_start(prompts: Prompts, clock: Clock) -> None:
    clock.passes(100.0)
    assert not prompts.is_overdue("p")  # it waits in the server's queue
    prompts.started("p", NOW)
    clock.passes(9.9)
    assert not prompts.is_overdue("p")
    clock.passes(0.1)
    assert prompts.is_overdue("p")
    prompts.started("of somebody else", NOW)
    assert prompts.ids() == ["p"]


def test_a_start_is_written_once_and_only_if_the_run_takes_a_while(prompts: Prompts, clock: Clock) -> None:
    assert prompts.start_of("p") == prompts.start_of("of somebody else") == Start()
    assert prompts.started("p", NOW)
    assert not prompts.started("p", NOW)
    assert not prompts.started("of somebody else", NOW)
    assert (prompts.start_of("p").at, prompts.start_of("p").is_written) == (NOW, False)
    assert not prompts.unwritten_starts()
    assert prompts.seconds_until_due() == timing.START_SECONDS
    clock.passes(timing.START_SECONDS)
    assert prompts.unwritten_starts() == ["p"]
    prompts.start_is_written("p")
    assert not prompts.unwritten_starts()
    assert prompts.start_of("p").is_written
    assert prompts.seconds_until_due() == float("inf")


def test_a_prompt_that_was_found_running_has_only_the_rest_of_its_time(prompts: Prompts, clock: Clock) -> None:
    prompts.add("q", Prompt(GENERATION, "", 10.0), running_seconds=8.0)
    clock.passes(1.9)
    assert not prompts.is_overdue("q")
    clock.passes(0.1)
    assert prompts.is_overdue("q")


def test_the_server_has_a_while_to_stop_it_before_it_is_asked_again(prompts: Prompts, clock: Clock) -> None:
    assert prompts.may_ask_to_stop("p")
    assert not prompts.was_asked_to_stop("p")
    prompts.asked_to_stop("p")
    assert not prompts.may_ask_to_stop("p")
    clock.passes(timing.STOP_AGAIN_SECONDS)
    assert prompts.may_ask_to_stop("p")
    assert prompts.was_asked_to_stop("p")


def test_nothing_is_due_while_no_look_is_planned(prompts: Prompts) -> None:
    assert prompts.due() == []
    assert prompts.seconds_until_due() == float("inf")


def test_the_next_look_is_the_soonest(prompts: Prompts, clock: Clock) -> None:
    prompts.look_soon("p")
    prompts.look_later("q")
    assert prompts.seconds_until_due() == pytest.approx(timing.HISTORY_RETRY_SECONDS)
    clock.passes(timing.HISTORY_RETRY_SECONDS)
    assert prompts.due() == ["p"]
    prompts.look_no_more("p")
    clock.passes(timing.PAUSE_AFTER_FAULT_SECONDS)
    assert prompts.due() == ["q"]
    assert prompts.seconds_until_due() < 0


def test_a_planned_look_is_moved_up_and_never_put_off_by_another_hint(prompts: Prompts, clock: Clock) -> None:
    prompts.look_soon("p")
    clock.passes(0.5 * timing.HISTORY_RETRY_SECONDS)
    prompts.look_soon("p")
    assert prompts.seconds_until_due() == pytest.approx(0.5 * timing.HISTORY_RETRY_SECONDS)
    prompts.look_now("p")
    prompts.look_soon("p")
    assert prompts.due() == ["p"]


def test_a_history_that_does_not_come_is_given_up(
    prompts: Prompts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "HISTORY_RETRIES", 2)
    prompts.look_now("p")
    for _ in range(2):
        assert prompts.look_again("p")
        assert not prompts.due()
        clock.passes(timing.HISTORY_RETRY_SECONDS)
        assert prompts.due() == ["p"]
    assert not prompts.look_again("p")
    assert not prompts.is_look_planned("p")
    assert "p" in prompts


def test_the_end_of_a_prompt_gives_its_history_all_tries_anew(
    prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "HISTORY_RETRIES", 1)
    assert prompts.look_again("p")
    prompts.look_now("p")
    assert prompts.look_again("p")
    assert not prompts.look_again("p")


def test_a_fault_does_not_start_the_tries_anew(prompts: Prompts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "HISTORY_RETRIES", 1)
    assert prompts.look_again("p")
    prompts.look_later("p")
    assert not prompts.look_again("p")


def test_pictures_are_waited_for_as_long_as_some_come(prompts: Prompts, clock: Clock) -> None:
    retry = timing.HISTORY_RETRY_SECONDS
    assert prompts.look_for_more("p", 5) == 0.0
    assert prompts.seconds_until_due() == pytest.approx(retry)
    assert prompts.look_for_more("p", 5) == pytest.approx(retry)
    assert prompts.look_for_more("p", 5) == pytest.approx(2 * retry)
    assert prompts.look_for_more("p", 6) == 0.0
    clock.passes(retry)
    assert prompts.due() == ["p"]
