"""What processes ask PostgreSQL: proxies between them and the server read both sides of its protocol and count.

A *trip* is what a client sends and waits for: a simple Query, or everything up to a Sync (a pipeline is one trip).
BEGIN, COMMIT, SET and the empty checks of pooled connections are trips like any other; connecting is none, and is
counted apart. A trip *commits* if a transaction ends with it in which rows were changed or locked: PostgreSQL writes
a record of that. Transactions that only read, and UPDATEs that found no row, are none.

Messages: https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import re
import struct
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.proxy import Proxy, Reader

KINDS = ("web", "relay", "worker")
WRITES = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM|MERGE INTO|FOR SHARE|FOR KEY SHARE)\b")  # or FOR … UPDATE
LITERAL = re.compile(r"(?: ?\bE)?'(?:[^']|'')*'(?:::\w+(?:\[\])?)*|\b\d+(?:\.\d+)?\b|\$\d+")
SEVERAL = re.compile(r"\?(?:, \?)+")


@dataclass(slots=True)
class Trip:
    """One of a process. `at`: time.monotonic(). `tags`: how the server named what it did, such as `UPDATE 1`."""

    process: str
    connection: int
    sql: str
    at: float = field(default_factory=time.monotonic)
    tags: list[str] = field(default_factory=list)
    commits: bool = False
    is_answered: bool = False
    has_value: bool = False  # a row begins with something: a claim that found nothing answers with a row of NULLs

    @property
    def shape(self) -> str:
        """Its SQL without values, and what the server did: a claim that found nothing has a shape of its own."""
        found = " with a value" if self.has_value and self.sql.lstrip().startswith("WITH") else ""
        return f"{SEVERAL.sub('?', LITERAL.sub('?', self.sql))} -> {', '.join(self.tags)}{found}"


@dataclass
class Tally:
    """All trips of all processes in the order in which they were sent, and how often each process connected."""

    trips: list[Trip] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)


class Conversation:
    """One connection to PostgreSQL: bytes in, trips out. Knows nothing of sockets."""

    def __init__(self, process: str, tally: Tally) -> None:
        self._process, self._tally = process, tally
        self._asked, self._answered = bytearray(), bytearray()
        self._has_started = False
        self._number = 0
        self._prepared: dict[bytes, str] = {}
        self._sql: list[str] = []  # of the trip that is being sent
        self._waiting: deque[Trip] = deque()
        self._has_written = False

    def ask(self, data: bytes) -> None:
        """Bytes from the client."""
        self._asked += data
        if not self._has_started and not self._start():
            return
        for kind, body in _messages(self._asked):
            self._read_request(kind, body)

    def answer(self, data: bytes) -> None:
        """Bytes from the server."""
        self._answered += data
        for kind, body in _messages(self._answered):
            self._read_answer(kind, body)

    def _start(self) -> bool:
        """The first message has no kind, only a length."""
        if len(self._asked) < 4 or len(self._asked) < (length := struct.unpack_from("!I", self._asked)[0]):
            return False
        del self._asked[:length]
        self._has_started = True
        self._tally.connected.append(self._process)
        self._number = len(self._tally.connected)
        return True

    def _read_request(self, kind: bytes, body: bytes) -> None:
        match kind:
            case b"Q":
                self._sql.append(body[:-1].decode())
                self._send()
            case b"P":
                name, sql = body.split(b"\0")[:2]
                self._prepared[name] = sql.decode()
                if name:
                    self._sql.append(f"PREPARE {sql.decode()}")
            case b"B":
                self._sql.append(self._prepared.get(body.split(b"\0")[1], "?"))
            case b"C":
                self._sql.append("DEALLOCATE")
            case b"S":
                self._send()

    def _send(self) -> None:
        trip = Trip(self._process, self._number, "; ".join(self._sql))
        self._sql.clear()
        self._waiting.append(trip)
        self._tally.trips.append(trip)

    def _read_answer(self, kind: bytes, body: bytes) -> None:
        if not self._waiting:
            return  # the server's greeting
        trip = self._waiting[0]
        if kind == b"D":
            trip.has_value |= struct.unpack_from("!hi", body)[1] >= 0
        elif kind == b"C":
            trip.tags.append(body[:-1].decode())
            self._has_written |= _writes(trip)
        elif kind == b"E":
            trip.tags.append("ERROR")
        elif kind == b"Z":
            self._finish(self._waiting.popleft(), is_in_transaction=body != b"I")

    def _finish(self, trip: Trip, *, is_in_transaction: bool) -> None:
        trip.is_answered = True
        if not is_in_transaction:
            trip.commits = self._has_written and trip.tags[-1:] not in (["ROLLBACK"], ["ERROR"])
            self._has_written = False


def _messages(buffer: bytearray) -> Iterator[tuple[bytes, bytes]]:
    """(kind, body) of every whole message, which is taken out of the buffer."""
    while len(buffer) >= 5 and len(buffer) > (length := struct.unpack_from("!I", buffer, 1)[0]):
        kind, body = bytes(buffer[:1]), bytes(buffer[5 : length + 1])
        del buffer[: length + 1]
        yield kind, body


def _writes(trip: Trip) -> bool:
    """Whether rows were changed or locked: the tag is what the server did, with the number of rows at its end."""
    what, _, number = trip.tags[-1].rpartition(" ")
    has_rows = number.isdigit() and int(number) > 0 and (what != "SELECT" or trip.has_value)
    return has_rows and WRITES.search(LITERAL.sub("?", trip.sql)) is not None


class CountingProxy(Proxy):
    """For processes of one kind. They connect without TLS."""

    def __init__(self, process: str, tally: Tally, target_port: int, *, host: str) -> None:
        self._process, self._tally = process, tally
        super().__init__(target_port, host=host)

    def readers(self) -> tuple[Reader, Reader]:
        """Those of a conversation of its own."""
        conversation = Conversation(self._process, self._tally)
        return conversation.ask, conversation.answer


def without(trips: list[Trip], usual: set[str]) -> list[Trip]:
    """Those that do not belong to what processes do again and again: `usual` are the shapes of that.

    A transaction stays or goes as a whole, and the check of a connection with what is asked next.
    """
    parts: dict[int, list[Trip]] = {}
    kept: list[Trip] = []
    for trip in trips:
        part = parts.setdefault(trip.connection, [])
        part.append(trip)
        is_open = any(each.sql == "BEGIN" for each in part) and trip.sql not in {"COMMIT", "ROLLBACK"}
        if trip.sql and not is_open:
            if any(each.shape not in usual for each in part):
                kept += part
            parts.pop(trip.connection)
    return sorted(kept, key=lambda trip: trip.at)


@contextmanager
def counted(postgres_url: str) -> Iterator[tuple[dict[str, int], Tally]]:
    """Ports of proxies to that server for web, relay and worker (as `running_cluster` wants them), and their tally."""
    server, tally = urlsplit(postgres_url), Tally()
    with ExitStack() as stack:
        proxies = {
            kind: stack.enter_context(
                CountingProxy(kind, tally, server.port or 5432, host=server.hostname or "127.0.0.1")
            )
            for kind in KINDS
        }
        yield {kind: proxy.port for kind, proxy in proxies.items()}, tally
