"""What one ComfyUI can do and knows of our prompts, whatever its version: found out by how it behaves. No database."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from generations.comfy.client import ComfyClient
from generations.comfy.errors import ComfyError, NotSupported, is_silent
from generations.comfy.state import HistoryEntry, QueueItem, QueueState
from generations.origins import Mark

logger = logging.getLogger(__name__)

RECENT = 100

Whereabouts: TypeAlias = Literal["waiting", "running", "ended", "unknown"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where a prompt is; `entry` is its history once it ended."""

    where: Whereabouts
    entry: HistoryEntry | None = None


class Upstream:
    """One server's prompts. ComfyError of every call passes through."""

    def __init__(self, client: ComfyClient) -> None:
        self._client = client
        self.version, self.is_simulator = "", False
        self._has_jobs = self._has_cancel = True  # until it says that it has not
        self._is_interrupt_targeted = False
        self.honours_prompt_ids = True

    def meet(self) -> None:
        """Learn what it can do: after each connect, because it may have been updated."""
        stats = self._client.system_stats()
        self.version, self.is_simulator = stats.version, stats.is_simulator
        # Servers from 0.3.45 on have both, feature flags and prompt_ids chosen by the client.
        self.honours_prompt_ids = bool(self._client.features())
        self._is_interrupt_targeted = stats.has_targeted_interrupt
        self._has_jobs = self._has_cancel = self.honours_prompt_ids

    # ------------------------------------------------------------------------------------ looking
    def look(self, prompt_ids: Iterable[str]) -> tuple[dict[str, Sighting], QueueState]:
        """Where each of these is, and the queue as it was at first.

        A prompt leaves the queue in the same moment in which its history is written (execution.py, task_done): what
        is neither in the queue nor afterwards in the history, the server does not have. A prompt about which the
        server answers nonsense is left out.
        """
        queue = self._client.queue()
        running = {item.prompt_id for item in queue.running}
        found = {}
        for prompt_id in prompt_ids:
            if prompt_id in queue.prompt_ids:
                found[prompt_id] = Sighting("running" if prompt_id in running else "waiting")
                continue
            try:
                found[prompt_id] = self._look_closer(prompt_id)
            except ComfyError as error:
                if is_silent(error):
                    raise
                logger.warning("What became of prompt %s cannot be read: %s", prompt_id, error)
        return found, queue

    def _look_closer(self, prompt_id: str) -> Sighting:
        """It is not in the queue any more; newer servers say in one answer whether they know it at all."""
        if self._has_jobs:
            try:
                job = self._client.job(prompt_id)
            except NotSupported:
                self._has_jobs = False
            else:
                if job is None:
                    return Sighting("unknown")
                if job.status == "in_progress":
                    return Sighting("running")
                if job.status == "pending":
                    return Sighting("waiting")
        entry = self._client.history(prompt_id)
        return Sighting("ended", entry) if entry is not None else Sighting("unknown")

    def rest_of(self, entry: HistoryEntry, mark: Mark) -> tuple[list[HistoryEntry], str | None]:
        """The parts of a batch that ended after `entry`, oldest first, and the prompt_id of the part after those, in
        the queue or, when the batch has ended, in the history. None: the rest is gone.
        """
        queued = self._queued(mark, self._client.queue())  # first: what leaves it meanwhile is in the history by then
        ended = self._ended(mark)
        known = [each.prompt_id for each in ended]
        if entry.prompt_id in known:
            ended = ended[known.index(entry.prompt_id) + 1 :]
        passed = {entry.prompt_id, *(each.prompt_id for each in ended)}
        following = [prompt_id for prompt_id in queued if prompt_id not in passed]
        if following:
            return ended, following[0]
        if ended:
            return ended[:-1], ended[-1].prompt_id
        return [], None

    def find(self, mark: Mark, *, besides: str, queue: QueueState, has_ended: bool = True) -> str | None:
        """Another prompt_id than `besides` under which the server has our attempt, because it draws its own ids or a
        node queued the rest of a batch; None if it has not. Without `has_ended`, only the queue is looked at.
        """
        for prompt_id in self._queued(mark, queue):
            if prompt_id != besides:
                return prompt_id
        ended = self._ended(mark) if has_ended else []
        # Of a batch, the newest part says how it stands.
        if ended and ended[-1].prompt_id != besides:
            return ended[-1].prompt_id
        return None

    @staticmethod
    def _queued(mark: Mark, queue: QueueState) -> list[str]:
        """The prompt_ids with this mark in the queue, those that run first."""
        return [item.prompt_id for item in (*queue.running, *queue.pending) if Mark.read(item.extra_data) == mark]

    def _ended(self, mark: Mark) -> list[HistoryEntry]:
        """The newest ones with this mark in the history, oldest first."""
        return [each for each in self._client.recent_history(RECENT) if Mark.read(each.extra_data) == mark]

    # ------------------------------------------------------------------------------------ stopping
    def stop(self, prompt_id: str) -> bool:
        """Take it out of the queue, or interrupt it if it is the one that runs; never anybody else's.

        True when it is neither waiting nor running afterwards. False: it runs, and the server was asked to stop it,
        which takes a moment and can get lost between two nodes: ask again.
        """
        if self._has_cancel:
            try:
                self._client.cancel_job(prompt_id)
            except NotSupported:
                self._has_cancel = False
        if not self._has_cancel:
            self._client.delete_queued(prompt_id)
        queue = self._client.queue()
        if prompt_id not in {item.prompt_id for item in queue.running}:
            return prompt_id not in queue.prompt_ids
        if not self._has_cancel:
            # Servers that only know a global interrupt stop whatever runs: this moment it is ours.
            if not self._is_interrupt_targeted and not self._runs(prompt_id):
                return False
            self._client.interrupt(prompt_id)
        return False

    def _runs(self, prompt_id: str) -> bool:
        return prompt_id in {item.prompt_id for item in self._client.queue().running}

    def marked(self, queue: QueueState) -> list[tuple[QueueItem, Mark]]:
        """Our prompts in its queue, also those of attempts that were given up."""
        marks = [(item, Mark.read(item.extra_data)) for item in (*queue.running, *queue.pending)]
        return [(item, mark) for item, mark in marks if mark is not None]


def is_uuid(text: str) -> bool:
    """True for what can be a prompt_id or a generation of ours: other clients of a server choose what they like."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
