"""Progress is thinned out, but the first comes at once and the last always comes."""

from __future__ import annotations

import threading
import time

from generations.live.publisher import LoopThread
from generations.relay.coalescer import Coalescer
from tests.support.waiting import eventually, patient


def test_first_at_once_newest_later_last_never_lost() -> None:
    sent: list[tuple[str, int]] = []
    coalescer: Coalescer[str, int] = Coalescer(
        LoopThread(), lambda key, value: sent.append((key, value)), interval_seconds=patient(0.25)
    )
    for number in range(5):
        coalescer.offer("a", number)
    coalescer.offer("b", 9)
    assert sent == [("a", 0), ("b", 9)]
    eventually(lambda: ("a", 4) in sent)
    assert sent == [("a", 0), ("b", 9), ("a", 4)]


def test_what_is_forgotten_is_not_sent() -> None:
    sent: list[int] = []
    coalescer: Coalescer[str, int] = Coalescer(
        LoopThread(), lambda _, value: sent.append(value), interval_seconds=patient(0.1)
    )
    coalescer.offer("a", 1)
    coalescer.offer("a", 2)
    coalescer.forget("a")
    coalescer.offer("b", 3)
    coalescer.offer("b", 4)  # its time comes after that of the forgotten one
    eventually(lambda: 4 in sent)
    assert sent == [1, 3, 4]


def test_however_many_come_no_more_than_one_each_interval_is_sent() -> None:
    sent: list[int] = []
    interval = 0.1
    coalescer: Coalescer[str, int] = Coalescer(
        LoopThread(), lambda _, value: sent.append(value), interval_seconds=interval
    )
    begin = time.monotonic()

    def offer() -> None:
        for number in range(200):
            coalescer.offer("a", number)
            time.sleep(0.002)

    threads = [threading.Thread(target=offer) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 < len(sent) <= (time.monotonic() - begin) / interval + 1
