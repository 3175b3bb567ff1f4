"""A server that answers is judged by what it lets be heard."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from generations.relay import health as health_module
from generations.relay import timing
from generations.relay.health import Health

LONG = -1.0  # whatever began has lasted for longer
ONE = "a prompt"


@pytest.fixture
def health(monkeypatch: pytest.MonkeyPatch) -> Health:
    """As if all patience was over: only what was heard speaks for the server."""
    for name in ("DEAF_SECONDS", "STUCK_SECONDS", "UNSTOPPABLE_SECONDS"):
        monkeypatch.setattr(timing, name, LONG)
    return Health()


def test_a_socket_of_which_nothing_is_expected_is_not_deaf(health: Health) -> None:
    assert not health.is_deaf()
    health.submitting()  # and the server refused it
    assert not health.is_deaf()


def test_a_socket_that_is_silent_after_a_prompt_was_taken_is_deaf_until_it_speaks(health: Health) -> None:
    health.submitted(health.submitting())
    assert health.is_deaf()
    health.heard(None)
    assert not health.is_deaf()


def test_what_was_heard_between_sending_a_prompt_and_its_answer_counts(health: Health) -> None:
    since = health.submitting()
    health.heard(ONE)
    health.submitted(since)
    assert not health.is_deaf()


def test_an_earlier_word_does_not_speak_for_a_later_prompt(health: Health) -> None:
    health.heard(None)
    first = health.submitting() + 1.0
    health.submitted(first)
    health.submitted(first + 5.0)  # silence is measured from the first one on
    assert health.is_deaf()


def test_a_new_socket_starts_afresh(health: Health) -> None:
    health.submitted(health.submitting() + 1.0)
    health.saw_head(ONE)
    health.asked_to_stop(ONE)
    health.connected()
    assert not health.is_deaf()
    assert health.why_stuck() == ""


def test_a_prompt_at_the_head_of_which_nothing_is_heard_means_a_stuck_server(health: Health) -> None:
    assert health.why_stuck() == ""
    health.saw_head(ONE)
    assert health.why_stuck() == f"It took prompt {ONE} from its queue and does not run it. Restart this ComfyUI."
    health.heard("another prompt")
    assert health.why_stuck()
    health.heard(ONE)
    assert health.why_stuck() == ""


def test_a_head_that_went_or_is_nobodys_of_ours_is_no_sign(health: Health) -> None:
    health.saw_head(ONE)
    health.saw_head(None)
    assert health.why_stuck() == ""
    health.saw_head(ONE)
    health.forget("another prompt")
    assert health.why_stuck()
    health.forget(ONE)
    assert health.why_stuck() == ""


def test_patience_with_a_head_does_not_start_anew_with_each_look(
    health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "STUCK_SECONDS", 1e6)
    health.saw_head(ONE)
    assert health.why_stuck() == ""
    monkeypatch.setattr(health_module, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 2e6))
    health.saw_head(ONE)
    assert ONE in health.why_stuck()
    health.saw_head("the next")
    assert health.why_stuck() == ""


def test_a_prompt_that_goes_on_after_it_was_interrupted_means_a_stuck_server(health: Health) -> None:
    health.heard(ONE)
    health.asked_to_stop(ONE)
    assert health.why_stuck() == f"Prompt {ONE} cannot be stopped. Restart this ComfyUI."
    health.forget(ONE)
    assert health.why_stuck() == ""
