"""What waits for a client that does not keep up: the newest of what is replaced, all else in order, in bounds."""

from __future__ import annotations

import asyncio

from generations.live.outgoing import MOST_BYTES, Outgoing


class Connection:
    """A web server's side whose client takes nothing while `is_full`."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.unsent_bytes = 0
        self.is_gone = False
        self._room = asyncio.Event()
        self._room.set()

    @property
    def is_full(self) -> bool:
        return not self._room.is_set()

    def stop_reading(self) -> None:
        self._room.clear()

    async def read_on(self) -> None:
        self._room.set()
        for _ in range(10):
            await asyncio.sleep(0)

    async def drained(self) -> bool:
        await self._room.wait()
        return not self.is_gone

    def cut_off(self) -> None:
        self.is_gone = True

    async def send(self, text: str) -> None:
        self.sent.append(text)


def made() -> tuple[Connection, Outgoing]:
    connection = Connection()
    return connection, Outgoing(connection.send, connection)


async def test_a_client_that_keeps_up_gets_everything_at_once() -> None:
    connection, outgoing = made()
    for number in range(3):
        await outgoing.put(str(number), replaces="progress")
        assert connection.sent[-1] == str(number)


async def test_a_slow_client_gets_the_newest_progress_and_every_status_in_order() -> None:
    connection, outgoing = made()
    connection.stop_reading()
    await outgoing.put("running")
    for number in range(100):
        await outgoing.put(f"one {number}", replaces=("progress", 1))
        await outgoing.put(f"two {number}", replaces=("progress", 2))
    await outgoing.put("storing")
    await outgoing.put("succeeded")
    assert not connection.sent
    await connection.read_on()
    assert connection.sent == ["running", "one 99", "two 99", "storing", "succeeded"]
    await outgoing.put("next")
    assert connection.sent[-1] == "next"


async def test_one_that_does_not_read_is_cut_off_at_the_limit() -> None:
    connection, outgoing = made()
    connection.stop_reading()
    connection.unsent_bytes = MOST_BYTES // 2
    text, number = "x" * 10_000, 0
    while not connection.is_gone:
        await outgoing.put(text)
        number += 1
    assert 0.9 * MOST_BYTES < MOST_BYTES // 2 + number * len(text) < 1.1 * MOST_BYTES
    await outgoing.put("too late")
    await connection.read_on()
    assert not connection.sent


async def test_previews_alone_never_reach_the_limit() -> None:
    connection, outgoing = made()
    connection.stop_reading()
    for _ in range(100):
        await outgoing.put("x" * 300_000, replaces="preview")
    assert not connection.is_gone


async def test_what_is_heard_before_the_snapshot_comes_after_it() -> None:
    connection, outgoing = made()
    outgoing.hold()
    await outgoing.put("half", replaces="progress")
    await outgoing.put("done", replaces="progress")
    await outgoing.first("snapshot")
    assert connection.sent == ["snapshot"]
    outgoing.release()
    await connection.read_on()
    assert connection.sent == ["snapshot", "done"]


async def test_without_a_web_server_that_tells_nothing_waits() -> None:
    sent: list[str] = []

    async def send(text: str) -> None:
        sent.append(text)

    outgoing = Outgoing(send, None)
    await outgoing.first("snapshot")
    await outgoing.put("x" * (2 * MOST_BYTES))
    assert len(sent) == 2
