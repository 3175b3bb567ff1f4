"""Events go out although sending could not start at first."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from generations.live import publisher
from generations.live.publisher import LoopThread, Outbox
from tests.support.waiting import eventually


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What the layer gets; it is used in the loop, as without Redis."""
    found: list[tuple[str, Any]] = []

    class Layer:
        async def group_send(self, group: str, message: Any) -> None:
            found.append((group, message["events"]))

    monkeypatch.setattr(publisher, "channel_layer", Layer)
    return found


@pytest.fixture
def has_threads(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the system has threads to give, by turns; then it has."""
    turns, start = [], threading.Thread.start

    def starting(thread: threading.Thread) -> None:
        if turns and not turns.pop(0):
            msg = "can't start new thread"
            raise RuntimeError(msg)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starting)
    return turns


def test_what_waited_for_a_loop_goes_out_with_the_next_event(
    sent: list[tuple[str, Any]], has_threads: list[bool], settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = ""
    has_threads += [False, False]
    sender = LoopThread()
    outbox, events = Outbox(sender), [{"number": number} for number in range(3)]
    for event in events:
        outbox.put("a", event)  # type: ignore[arg-type]
    eventually(lambda: sent == [("a", events)], what="the events")
    assert caplog.text.count("sending could not start") == 2
    loop = sender.loop
    loop.call_soon_threadsafe(loop.stop)
    eventually(lambda: not loop.is_running(), what="its end")
    loop.close()


def test_a_publishing_thread_that_did_not_start_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, has_threads: list[bool], settings: Any
) -> None:
    rung: list[dict[str, bytes]] = []

    class Publisher:
        def publish(self, messages: dict[str, bytes]) -> None:
            rung.append(messages)

        def close(self) -> None:
            raise AssertionError

    class Layer:
        serialize = staticmethod(repr)

    settings.REDIS_URL = "redis://of-a-test"
    monkeypatch.setattr(publisher, "_group_publisher", Publisher)
    monkeypatch.setattr(publisher, "channel_layer", Layer)
    has_threads.append(False)
    outbox = Outbox(LoopThread())
    outbox.put("a")
    assert not rung
    outbox.put("b")
    eventually(lambda: [list(messages) for messages in rung] == [["a", "b"]], what="the messages")


@pytest.mark.django_db(transaction=True)
def test_an_access_that_changed_is_no_fault_of_whoever_changed_it(
    monkeypatch: pytest.MonkeyPatch, has_threads: list[bool]
) -> None:
    monkeypatch.setattr(publisher, "sender", LoopThread())
    has_threads.append(False)
    publisher.announce_access(1)
    assert not has_threads
