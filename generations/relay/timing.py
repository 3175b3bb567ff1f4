"""How long an agent waits for what. Read as `timing.TICK_SECONDS`: then one change shortens every wait."""

from __future__ import annotations

import time
from dataclasses import dataclass

TICK_SECONDS = 1.0
RECONCILE_SECONDS = 15.0
POLL_SECONDS = 1.0  # between two comparisons, while there are prompts that this socket cannot hear
HISTORY_RETRY_SECONDS = 0.1
HISTORY_RETRIES = 50
STOP_AGAIN_SECONDS = 3.0
PAUSE_AFTER_FAULT_SECONDS = 2.0
START_SECONDS = 0.5  # a run that is over sooner is written as started when its end is written
FINISHING_SECONDS = 3.0  # that an agent, told to stop, waits for results that are being stored
HISTORY_SECONDS = 2.0  # that ComfyUI keeps the history of what is stored: longer than the database may undo a commit
CATALOG_SECONDS = 600.0
CATALOG_RETRY_SECONDS = 5.0
UNREACHABLE_SECONDS = 30.0  # until others get what the server has
WITHDRAW_SECONDS = 5.0  # the same for a server that was switched off
DEAF_SECONDS = 5.0  # a prompt that was accepted changes the queue, and every socket hears that at once
STUCK_SECONDS = 90.0  # at the head of the queue without a word that it started
UNSTOPPABLE_SECONDS = 60.0  # still running after it was asked to stop
FRAME_SECONDS = 30.0  # for the next picture over the socket, once the history has the prompt


@dataclass(slots=True)
class Timers:
    """When what is due, by time.monotonic(). 0.0: at once."""

    claim: float = 0.0  # not before, after a fault
    idle: float = 0.0  # nothing was in line for it: no claim before, unless woken, or one of its own ends
    line: float = 0.0  # nothing was in line at all: no claim before, unless woken
    reconcile: float = 0.0
    look_around: float = 0.0
    histories: float = 0.0  # that are stored are forgotten, not before
    catalog: float = 0.0

    def pause_claims(self) -> None:
        """Take nothing new for PAUSE_AFTER_FAULT_SECONDS."""
        self.claim = time.monotonic() + PAUSE_AFTER_FAULT_SECONDS
