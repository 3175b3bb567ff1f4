"""How an agent and its server stand with each other. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum, auto


class State(Enum):
    """One at a time."""

    DISCONNECTED = auto()  # there is no socket
    OPEN = auto()  # there is a socket; the server has not answered a request since it opened
    READY = auto()  # the server answers, and runs what it is given
    STUCK = auto()  # the server answers and takes prompts, but runs none: only restarting it helps


class Connection:
    """DISCONNECTED -opened-> OPEN -answered-> READY or STUCK, which alternate by `answered`; from anywhere -closed->
    DISCONNECTED. Only the acting thread of an agent uses it.

    `client_id` is the id of the newest socket, also once that is closed. `was_stuck` is what the server's last answer
    showed: another socket alone does not unstick it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answered_until = clock()
        self.state = State.DISCONNECTED
        self.client_id = ""
        self.was_stuck = False

    @property
    def is_answering(self) -> bool:
        """True when there is a socket and the server has answered since it opened."""
        return self.state in {State.READY, State.STUCK}

    @property
    def unanswered_seconds(self) -> float:
        """For how long the server has not been answering; 0.0 while it does."""
        return 0.0 if self.is_answering else self._clock() - self._answered_until

    def opened(self, client_id: str) -> None:
        """There is a new socket."""
        self.closed()
        self.state = State.OPEN
        self.client_id = client_id

    def closed(self) -> None:
        """The socket is gone, or none could be opened."""
        if self.is_answering:
            self._answered_until = self._clock()
        self.state = State.DISCONNECTED

    def answered(self, *, is_stuck: bool) -> None:
        """The server answered, and this is how it looks."""
        self.state = State.STUCK if is_stuck else State.READY
        self.was_stuck = is_stuck
