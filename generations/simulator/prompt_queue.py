"""The queue and the history, in memory as ComfyUI's are (execution.py, PromptQueue)."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_HISTORY = 10_000


@dataclass(order=True, slots=True)
class Item:
    """One prompt. Ordered as ComfyUI's heap orders it: by number, then by id."""

    number: float
    prompt_id: str
    prompt: dict[str, Any]
    extra_data: dict[str, Any]
    outputs: list[str]

    def wire(self) -> list[Any]:
        """As /queue and /history show it."""
        return [self.number, self.prompt_id, self.prompt, self.extra_data, self.outputs]


class PromptQueue:
    """Thread-safe. `changed` is called after every change that ComfyUI announces by a status message."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._condition = threading.Condition()
        self._heap: list[Item] = []
        self._running: list[Item] = []
        self._history: dict[str, dict[str, Any]] = {}
        self._counter = 0
        self._epoch = 0

    @property
    def epoch(self) -> int:
        """Changes with each restart: what began before it leaves no trace."""
        return self._epoch

    def next_number(self, *, front: bool) -> float:
        """The counter, which also advances for prompts that are rejected afterwards."""
        with self._condition:
            number = self._counter
            self._counter += 1
        return -number if front else number

    def put(self, item: Item) -> None:
        """Queue it."""
        with self._condition:
            heapq.heappush(self._heap, item)
            self._condition.notify()
            self._changed()

    def get(self, timeout: float) -> Item | None:
        """The next one to run, or None after `timeout` seconds."""
        with self._condition:
            if not self._heap:
                self._condition.wait(timeout)
            if not self._heap:
                return None
            item = heapq.heappop(self._heap)
            self._running.append(item)
            self._changed()
            return item

    def done(self, item: Item, entry: dict[str, Any], *, epoch: int) -> None:
        """It ended: write its history entry."""
        with self._condition:
            if epoch != self._epoch:
                return
            if item in self._running:
                self._running.remove(item)
            if len(self._history) >= MAX_HISTORY:
                self._history.pop(next(iter(self._history)))
            self._history[item.prompt_id] = {"prompt": item.wire(), **entry}
            self._changed()

    def remaining(self) -> int:
        """Pending and running."""
        return len(self._heap) + len(self._running)

    def is_running(self, prompt_id: str) -> bool:
        """True for the one that runs."""
        return any(item.prompt_id == prompt_id for item in self._running)

    def wire(self) -> dict[str, Any]:
        """The body of GET /queue: pending ones in heap order, not sorted."""
        with self._condition:
            return {
                "queue_running": [item.wire() for item in self._running],
                "queue_pending": [item.wire() for item in self._heap],
            }

    def clear(self) -> None:
        """Drop everything that waits."""
        with self._condition:
            self._heap.clear()
            self._changed()

    def delete(self, prompt_id: str) -> None:
        """Drop one that waits; nobody is told but by a status."""
        with self._condition:
            kept = [item for item in self._heap if item.prompt_id != prompt_id]
            if len(kept) != len(self._heap):
                self._heap = kept
                heapq.heapify(self._heap)
                self._changed()
                self._changed()

    def history(self, prompt_id: str) -> dict[str, Any]:
        """`{id: entry}`, or {} for unknown and unfinished ones."""
        with self._condition:
            entry = self._history.get(prompt_id)
            return {prompt_id: entry} if entry is not None else {}

    def histories(self, *, max_items: int | None, offset: int) -> dict[str, Any]:
        """A slice, oldest first; `max_items` alone is the newest ones."""
        with self._condition:
            items = list(self._history.items())
        if offset < 0:
            offset = max(0, len(items) - max_items) if max_items is not None else 0
        return dict(items[offset : offset + max_items if max_items is not None else None])

    def clear_history(self) -> None:
        """Forget all."""
        with self._condition:
            self._history.clear()

    def delete_history(self, prompt_id: str) -> None:
        """Forget one."""
        with self._condition:
            self._history.pop(prompt_id, None)

    def restart(self) -> None:
        """Everything a process loses when it ends."""
        with self._condition:
            self._heap.clear()
            self._running.clear()
            self._history.clear()
            self._counter = 0
            self._epoch += 1
