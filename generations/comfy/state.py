"""What a server says of itself and of the prompts it holds, read from its HTTP answers."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast, get_args

from generations.comfy.errors import NodeError, ProtocolError, Rejected
from generations.comfy.messages import (
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    Message,
    parse_event,
)

Outcome: TypeAlias = Literal["success", "error", "interrupted"]


@dataclass(frozen=True, slots=True)
class Submission:
    """A prompt that the server queued. `prompt_id` may differ from the one asked for (servers before 0.3.45).

    `node_errors` is not empty when some outputs failed validation and will silently be missing.
    """

    prompt_id: str
    number: float
    node_errors: tuple[NodeError, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueItem:
    number: float
    prompt_id: str
    client_id: str | None = None
    extra_data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueueState:
    """What runs and what waits; `pending` is in the order in which it will run."""

    running: tuple[QueueItem, ...] = ()
    pending: tuple[QueueItem, ...] = ()

    @property
    def prompt_ids(self) -> frozenset[str]:
        return frozenset(item.prompt_id for item in (*self.running, *self.pending))

    def position(self, prompt_id: str) -> int | None:
        """0 while it runs, 1 for the next one to run, and so on; None when it is not in the queue."""
        if any(item.prompt_id == prompt_id for item in self.running):
            return 0
        waiting = (rank for rank, item in enumerate(self.pending, 1) if item.prompt_id == prompt_id)
        return next(waiting, None)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A prompt that ended. `outputs` is node id -> result; `messages` are its life-cycle messages, oldest
    first.
    """

    prompt_id: str
    outputs: dict[str, object]
    status_str: str
    completed: bool
    messages: tuple[Message, ...]
    extra_data: Mapping[str, object] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """How it ended: the last life-cycle message decides, because `status_str` can be stale.

        (A dynamic dependency cycle is recorded as "success" although its last message is `execution_error`,
        and an interruption as "error".) Servers of before 2024 record no status: what has an entry there,
        succeeded.
        """
        match self._last():
            case ExecutionError():
                return "error"
            case ExecutionInterrupted():
                return "interrupted"
            case ExecutionSuccess():
                return "success"
        return "success" if self.completed or self.status_str in {"", "success"} else "error"

    @property
    def error(self) -> ExecutionError | None:
        last = self._last()
        return last if isinstance(last, ExecutionError) else None

    @property
    def started_at_ms(self) -> int | None:
        """Unix milliseconds of the server's clock."""
        start = next((message for message in self.messages if isinstance(message, ExecutionStart)), None)
        return start.timestamp if start else None

    @property
    def ended_at_ms(self) -> int | None:
        last = self._last()
        return last.timestamp if last else None

    @property
    def execution_seconds(self) -> float | None:
        """How long the server worked on it, by its own clock."""
        if self.started_at_ms is None or self.ended_at_ms is None:
            return None
        return max(0.0, (self.ended_at_ms - self.started_at_ms) / 1000)

    def _last(self) -> ExecutionSuccess | ExecutionError | ExecutionInterrupted | None:
        for message in reversed(self.messages):
            if isinstance(message, ExecutionSuccess | ExecutionError | ExecutionInterrupted):
                return message
        return None


@dataclass(frozen=True, slots=True)
class SystemStats:
    """`version` is "" when the server is too old to tell. `raw` is the whole answer."""

    version: str
    raw: Mapping[str, object]

    def is_at_least(self, *wanted: int) -> bool:
        """`is_at_least(0, 3, 57)`; False for an unknown version."""
        numbers = tuple(int(part) for part in re.findall(r"\d{1,9}", self.version)[:3])
        return bool(numbers) and numbers >= wanted

    @property
    def is_simulator(self) -> bool:
        """True for `generations.simulator`, which says so where others name their PyTorch."""
        return "simulator" in str(_get(self.raw.get("system"), "pytorch_version") or "")

    @property
    def has_targeted_interrupt(self) -> bool:
        """Older servers ignore the prompt id of an interrupt and stop whatever runs (server.py, 0.3.57)."""
        return self.is_at_least(0, 3, 57)


def read_submission(data: object) -> Submission:
    """The answer 200 of POST /prompt. Raises ProtocolError."""
    answer = _object(data, "answer to /prompt")
    if not isinstance(answer.get("prompt_id"), str):
        raise ProtocolError("ComfyUI accepted a prompt without returning its id.")
    number = answer.get("number")
    return Submission(
        prompt_id=str(answer["prompt_id"]),
        number=number if isinstance(number, int | float) else 0,
        node_errors=tuple(_node_errors(answer.get("node_errors"))),
    )


def read_rejection(data: object) -> Rejected:
    """The answer 400 of POST /prompt; `error` may be an object or text, `node_errors` an object or list."""
    answer = data if isinstance(data, dict) else {"error": data}
    error = answer.get("error", answer.get("detail"))
    fields = error if isinstance(error, dict) else {"message": error}
    message, details = (str(fields.get(key) or "").strip() for key in ("message", "details"))
    node_errors = tuple(_node_errors(answer.get("node_errors")))
    text = f"{message} ({details})" if message and details and not node_errors else message or details
    return Rejected(text or "it gave no reason", node_errors, type=str(fields.get("type") or ""))


def _node_errors(value: object) -> Iterator[NodeError]:
    if isinstance(value, list):
        value = {str(_get(entry, "node_id") or ""): entry for entry in value}
    for node_id, entry in (value if isinstance(value, dict) else {}).items():
        errors = _get(entry, "errors")
        for error in errors if isinstance(errors, list) else [entry]:
            yield _node_error(str(node_id), entry, error)


def _node_error(node_id: str, entry: object, error: object) -> NodeError:
    if not isinstance(error, dict):
        return NodeError(node_id, str(_get(entry, "class_type") or ""), "", str(error))
    return NodeError(
        node_id=node_id,
        class_type=str(_get(entry, "class_type") or ""),
        type=str(error.get("type") or ""),
        message=str(error.get("message") or "Validation failed"),
        details=str(error.get("details") or ""),
        input_name=str(_get(error.get("extra_info"), "input_name") or ""),
    )


def read_queue(data: object) -> QueueState:
    """The answer of GET /queue, whose pending part is a heap and not sorted (execution.py, PromptQueue)."""
    answer = _object(data, "queue")
    pending = sorted(_queue_items(answer.get("queue_pending")), key=lambda item: (item.number, item.prompt_id))
    return QueueState(tuple(_queue_items(answer.get("queue_running"))), tuple(pending))


def _queue_items(items: object) -> Iterator[QueueItem]:
    for item in items if isinstance(items, list) else []:
        if not (isinstance(item, list) and len(item) >= 2 and isinstance(item[0], int | float)):
            raise ProtocolError(f"ComfyUI sent a queue item that cannot be read: {str(item)[:80]!r}.")
        extra_data = item[3] if len(item) > 3 and isinstance(item[3], dict) else {}
        client_id = extra_data.get("client_id")
        yield QueueItem(item[0], str(item[1]), client_id if isinstance(client_id, str) else None, extra_data)


def read_history(prompt_id: str, data: object) -> HistoryEntry | None:
    """The entry in the answer of GET /history/{prompt_id}; None when it is unknown or has not ended."""
    entry = _object(data, "history").get(prompt_id)
    if entry is None:
        return None
    fields = _object(entry, "history entry")
    outputs, status = fields.get("outputs"), fields.get("status")
    status = status if isinstance(status, dict) else {}
    return HistoryEntry(
        prompt_id=prompt_id,
        outputs=outputs if isinstance(outputs, dict) else {},
        status_str=str(status.get("status_str") or ""),
        completed=status.get("completed") is True,
        messages=tuple(_messages(status.get("messages"))),
        extra_data=_extra_data(fields.get("prompt")),
    )


def _extra_data(prompt: object) -> dict[str, object]:
    """Of the prompt as the history keeps it: [number, id, graph, extra_data, outputs]."""
    found = prompt[3] if isinstance(prompt, list) and len(prompt) > 3 else None
    return found if isinstance(found, dict) else {}


def read_histories(data: object) -> list[HistoryEntry]:
    """All entries in an answer of GET /history, oldest first."""
    entries = [read_history(prompt_id, data) for prompt_id in _object(data, "history")]
    return [entry for entry in entries if entry is not None]


JobStatus: TypeAlias = Literal["pending", "in_progress", "completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class JobState:
    """What /api/jobs/{id} says of a prompt: waiting, running and ended in one answer."""

    prompt_id: str
    status: JobStatus


def read_job(prompt_id: str, data: object) -> JobState:
    """The answer 200 of GET /api/jobs/{id}. Raises ProtocolError."""
    status = _object(data, "job").get("status")
    if status not in get_args(JobStatus):
        raise ProtocolError(f"ComfyUI sent a job of an unknown status: {str(status)[:80]!r}.")
    return JobState(prompt_id, cast("JobStatus", status))


def _messages(items: object) -> Iterator[Message]:
    for item in items if isinstance(items, list) else []:
        if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):
            yield parse_event(item[0], item[1])


def read_system_stats(data: object) -> SystemStats:
    stats = _object(data, "answer to /system_stats")
    return SystemStats(str(_get(stats.get("system"), "comfyui_version") or ""), stats)


def read_queue_remaining(data: object) -> int:
    remaining = _get(_object(data, "answer to /prompt").get("exec_info"), "queue_remaining")
    if not isinstance(remaining, int | float):
        raise ProtocolError("ComfyUI did not report the length of its queue.")
    return int(remaining)


def _object(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ProtocolError(f"ComfyUI sent a {what} that is not an object: {str(value)[:80]!r}.")
    return value


def _get(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None
