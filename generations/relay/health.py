"""Is a server that answers really working for us? Judged by what it lets be heard. No I/O."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from generations.relay import timing


@dataclass(slots=True)
class _Head:
    """Our prompt at the head of the server's queue."""

    prompt_id: str
    since: float


class Health:
    """Times are time.monotonic() seconds. `heard` is called by the thread that reads the socket."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard_at = 0.0
        self._heard_of: set[str] = set()
        self._expected_from: float | None = None
        self._head: _Head | None = None
        self._asked_to_stop: dict[str, float] = {}

    def heard(self, prompt_id: str | None) -> None:
        """The socket said something; `prompt_id` if it was about one."""
        self._heard_at = time.monotonic()
        if prompt_id is not None:
            with self._lock:
                self._heard_of.add(prompt_id)

    def connected(self) -> None:
        """A new socket: nothing is expected of it yet, and the server may be a new one."""
        self._expected_from, self._head = None, None
        self._asked_to_stop.clear()

    def forget(self, prompt_id: str) -> None:
        """It ended, or was given up."""
        self._asked_to_stop.pop(prompt_id, None)
        with self._lock:
            self._heard_of.discard(prompt_id)
        if self._head is not None and self._head.prompt_id == prompt_id:
            self._head = None

    # ------------------------------------------------------------------------------------ deaf
    def submitting(self) -> float:
        """Call before a prompt is sent, `submitted` with the result after it was accepted."""
        return time.monotonic()

    def submitted(self, since: float) -> None:
        """The server took it: from `since` on the socket has something to say."""
        if self._expected_from is None:
            self._expected_from = since

    def is_deaf(self) -> bool:
        """True when the socket is silent although something must have been said on it."""
        if self._expected_from is None:
            return False
        if self._heard_at >= self._expected_from:
            self._expected_from = None
            return False
        return time.monotonic() - self._expected_from > timing.DEAF_SECONDS

    # ------------------------------------------------------------------------------------ stuck
    def saw_head(self, prompt_id: str | None) -> None:
        """Which of our prompts, if any, is at the head of the server's queue."""
        if prompt_id is None:
            self._head = None
        elif self._head is None or self._head.prompt_id != prompt_id:
            self._head = _Head(prompt_id, time.monotonic())

    def asked_to_stop(self, prompt_id: str) -> None:
        """It runs, and was interrupted."""
        self._asked_to_stop.setdefault(prompt_id, time.monotonic())

    def why_stuck(self) -> str:
        """A sentence when, as it seems, nothing runs on this server any more; "" otherwise."""
        now = time.monotonic()
        head = self._head
        if head is not None and now - head.since > timing.STUCK_SECONDS and not self._has_heard_of(head.prompt_id):
            return f"It took prompt {head.prompt_id} from its queue and does not run it. Restart this ComfyUI."
        for prompt_id, since in self._asked_to_stop.items():
            if now - since > timing.UNSTOPPABLE_SECONDS:
                return f"Prompt {prompt_id} cannot be stopped. Restart this ComfyUI."
        return ""

    def _has_heard_of(self, prompt_id: str) -> bool:
        with self._lock:
            return prompt_id in self._heard_of
