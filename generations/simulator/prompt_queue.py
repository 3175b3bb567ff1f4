"""The queue and the history, in memory as ComfyUI's are (execution.py, PromptQueue)."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_HISTORY = 10_000
SECRETS = ("auth_token_comfy_org", "api_key_comfy_org")  # shown by /queue, but kept out of the history


@dataclass(order=True, slots=True)
class Item:
    """One prompt. Ordered as ComfyUI's heap orders it: by number, then by id.

    Two graphs with the same number and id are compared themselves, which raises TypeError, there and here.
    """

    number: float
    prompt_id: str
    prompt: dict[str, Any]
    extra_data: dict[str, Any]
    outputs: list[str]

    def wire(self) -> list[Any]:
        """As /queue shows it."""
        return [self.number, self.prompt_id, self.prompt, self.extra_data, self.outputs]

    def historic(self) -> list[Any]:
        """As /history shows it, and newer servers' /queue."""
        shown = {key: value for key, value in self.extra_data.items() if key not in SECRETS}
        return [self.number, self.prompt_id, self.prompt, shown, self.outputs]


class PromptQueue:
    """Thread-safe. `changed` is called after every change that ComfyUI announces by a status message."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._condition = threading.Condition(threading.RLock())
        self._heap: list[Item] = []
        self._running: Item | None = None
        self._history: dict[str, dict[str, Any]] = {}
        self._counter = 0
        self._epoch = 0
        self._is_closed = False

    @property
    def epoch(self) -> int:
        """Changes with each restart: what began before it leaves no trace."""
        return self._epoch

    @property
    def is_closed(self) -> bool:
        """True once nothing more will be run."""
        return self._is_closed

    def next_number(self, *, front: bool) -> int:
        """The counter, which also advances for prompts that are rejected afterwards."""
        with self._condition:
            number = self._counter
            self._counter += 1
        return -number if front else number

    def put(self, item: Item) -> None:
        """Add it where its number and id have it wait, tell clients of the longer queue, and wake the worker."""
        with self._condition:
            heapq.heappush(self._heap, item)
            self._changed()
            self._condition.notify()

    def get(self) -> tuple[Item, int] | None:
        """The next one to run and the epoch it belongs to, as soon as there is one. None when the queue is closed."""
        with self._condition:
            while not self._heap and not self._is_closed:
                self._condition.wait()
            if self._is_closed:
                return None
            self._running = heapq.heappop(self._heap)
            self._changed()
            return self._running, self._epoch

    def close(self) -> None:
        """End the wait in `get`."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()

    def done(self, item: Item, entry: dict[str, Any], *, epoch: int) -> None:
        """It ended: write its history entry."""
        with self._condition:
            if epoch != self._epoch:
                return
            self._running = None
            if len(self._history) >= MAX_HISTORY:
                self._history.pop(next(iter(self._history)))
            self._history[item.prompt_id] = {"prompt": item.historic(), **entry}
            self._changed()

    def remaining(self) -> int:
        """Pending and running."""
        with self._condition:
            return len(self._heap) + (self._running is not None)

    def is_running(self, prompt_id: str) -> bool:
        """True for the one that runs."""
        with self._condition:
            return self._running is not None and self._running.prompt_id == prompt_id

    def wire(self, *, shows_secrets: bool = True) -> dict[str, Any]:
        """The body of GET /queue: pending ones in heap order, not sorted."""
        shown = Item.wire if shows_secrets else Item.historic
        with self._condition:
            return {
                "queue_running": [shown(self._running)] if self._running is not None else [],
                "queue_pending": [shown(item) for item in self._heap],
            }

    def job(self, prompt_id: str) -> dict[str, Any] | None:
        """The entry of /api/jobs; None for an unknown one. What is null is left out (comfy_execution/jobs.py)."""
        with self._condition:
            if self._running is not None and self._running.prompt_id == prompt_id:
                return _job(self._running, "in_progress")
            waiting = next((item for item in self._heap if item.prompt_id == prompt_id), None)
            if waiting is not None:
                return _job(waiting, "pending")
            entry = self._history.get(prompt_id)
            return None if entry is None else _ended_job(prompt_id, entry)

    def jobs(self) -> list[dict[str, Any]]:
        """All that are known: what runs, what waits in its order, what ended, newest first."""
        with self._condition:
            known = [*([self._running] if self._running is not None else []), *sorted(self._heap)]
            ids = [item.prompt_id for item in known] + list(reversed(self._history))
            return [job for prompt_id in ids if (job := self.job(prompt_id)) is not None]

    def clear(self) -> None:
        """Drop everything that waits."""
        with self._condition:
            self._heap.clear()
            self._changed()

    def delete(self, prompt_id: str) -> None:
        """Drop one that waits. Clients get a status, or two if it was the only one."""
        with self._condition:
            found = next((item for item in self._heap if item.prompt_id == prompt_id), None)
            if found is None:
                return
            if len(self._heap) == 1:
                self.clear()
            else:
                self._heap = [item for item in self._heap if item is not found]
                heapq.heapify(self._heap)
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
            self._running = None
            self._history.clear()
            self._counter = 0
            self._epoch += 1


def _job(item: Item, status: str) -> dict[str, Any]:
    job = {"id": item.prompt_id, "status": status, "priority": item.number, "outputs_count": 0}
    if "create_time" in item.extra_data:
        job["create_time"] = item.extra_data["create_time"]
    return job


def _ended_job(prompt_id: str, entry: dict[str, Any]) -> dict[str, Any]:
    number, _, prompt, extra_data, _ = entry["prompt"]
    messages = entry["status"]["messages"]
    was_interrupted = any(kind == "execution_interrupted" for kind, _ in messages)
    status = "completed" if entry["status"]["completed"] else "cancelled" if was_interrupted else "failed"
    items = [item for output in entry["outputs"].values() for value in output.values() for item in value]
    job = {
        "id": prompt_id,
        "status": status,
        "priority": number,
        "outputs_count": len(items),
        "outputs": entry["outputs"],
        "execution_status": entry["status"],
        "execution_start_time": messages[0][1]["timestamp"],
        "execution_end_time": messages[-1][1]["timestamp"],
        "workflow": {"prompt": prompt, "extra_data": extra_data},
    }
    if "create_time" in extra_data:
        job["create_time"] = extra_data["create_time"]
    return job
