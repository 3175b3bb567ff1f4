"""Typed messages of ComfyUI's event socket.

`parse` turns one frame into one `Message`. It accepts what any server version sends: unknown types become
`Unknown`, missing timestamps and display nodes are None or defaulted, numbers may be int or float and are
never NaN. Sources: server.py (send_sync, encode_bytes), execution.py, comfy_execution/progress.py,
protocol.py of ComfyUI.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from generations.comfy.errors import ProtocolError
from generations.comfy.wire import decode

_JsonObject: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class Status:
    """The queue changed; `queue_remaining` counts pending and running. Only the first one has a `sid`."""

    queue_remaining: int
    sid: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutionStart:
    prompt_id: str
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class ExecutionCached:
    """Nodes of the prompt whose results are in the server's cache."""

    prompt_id: str
    nodes: tuple[str, ...]
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class Executing:
    """A node starts; `node` None is the end of the prompt.

    The form that the server repeats on connect names no prompt (`prompt_id` None): never attribute it to one.
    """

    node: str | None
    display_node: str | None
    prompt_id: str | None

    @property
    def is_end(self) -> bool:
        return self.node is None and self.prompt_id is not None


@dataclass(frozen=True, slots=True)
class Progress:
    """Steps of the node that runs; `value` may jump, repeat, or start anew with another `max`."""

    value: float
    max: float
    prompt_id: str | None = None
    node: str | None = None


@dataclass(frozen=True, slots=True)
class NodeProgress:
    """One node in a `ProgressState`. `display_node_id` is the node of the user's graph, `state` running or
    finished.
    """

    node_id: str
    value: float
    max: float
    state: str
    display_node_id: str
    parent_node_id: str | None
    real_node_id: str


@dataclass(frozen=True, slots=True)
class ProgressState:
    """A snapshot of every node started so far, in order of their start."""

    prompt_id: str
    nodes: dict[str, NodeProgress]


@dataclass(frozen=True, slots=True)
class Executed:
    """A node's results; None for a cached output node that stored none. `merge`: add to earlier ones."""

    node: str
    display_node: str
    output: _JsonObject | None
    prompt_id: str
    merge: bool = False


@dataclass(frozen=True, slots=True)
class ExecutionSuccess:
    """All targets are done. The history entry is written only after this was sent."""

    prompt_id: str
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class ExecutionError:
    """A node failed, and the prompt with it (except when `is_execution_blocked`)."""

    prompt_id: str
    node_id: str
    node_type: str
    exception_message: str
    exception_type: str
    traceback: tuple[str, ...] = ()
    current_inputs: _JsonObject | None = None
    executed: tuple[str, ...] = ()
    timestamp: int | None = None

    @property
    def is_execution_blocked(self) -> bool:
        """True for the notice that a branch was blocked on purpose: the prompt goes on and can succeed."""
        return self.exception_type == "ExecutionBlocked"

    @property
    def is_out_of_memory(self) -> bool:
        return (
            self.exception_type.endswith("OutOfMemoryError")
            or "out of memory" in self.exception_message.lower()
            or "allocation on device" in self.exception_message.lower()
        )


@dataclass(frozen=True, slots=True)
class ExecutionInterrupted:
    prompt_id: str
    node_id: str
    node_type: str
    executed: tuple[str, ...] = ()
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class FeatureFlags:
    """The server's answer to ours; an open dictionary, values may be nested."""

    flags: _JsonObject


@dataclass(frozen=True, slots=True)
class PreviewImage:
    """A preview that names no prompt: it belongs to the node that runs now."""

    image: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class PreviewImageWithMetadata:
    image: bytes
    content_type: str
    node_id: str
    prompt_id: str
    display_node_id: str
    parent_node_id: str | None
    real_node_id: str


@dataclass(frozen=True, slots=True)
class TextPreview:
    node_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of custom nodes or newer servers; `data` is a JSON value, or the bytes of a binary frame."""

    type: str
    data: object


Message: TypeAlias = (
    Status
    | ExecutionStart
    | ExecutionCached
    | Executing
    | Progress
    | ProgressState
    | Executed
    | ExecutionSuccess
    | ExecutionError
    | ExecutionInterrupted
    | FeatureFlags
    | PreviewImage
    | PreviewImageWithMetadata
    | TextPreview
    | Unknown
)


def parse(frame: str | bytes) -> Message:
    """The message in one text (str) or binary (bytes) frame. Raises ProtocolError, and nothing else."""
    if isinstance(frame, bytes):
        return _parse_binary(frame)
    message = _object(decode(frame), "message")
    return parse_event(_required_text(message, "type"), message.get("data"))


def parse_event(type: str, data: object) -> Message:
    """The message of that type; also reads the life-cycle messages kept in /history. Raises ProtocolError."""
    read = _READERS.get(type)
    if read is None:
        return Unknown(type, data)
    return read(_object(data, type))


# JSON messages


def _status(data: _JsonObject) -> Status:
    info = _object(_object(data.get("status"), "status").get("exec_info"), "exec_info")
    return Status(max(0, int(_number(info, "queue_remaining"))), _text(data, "sid"))


def _execution_start(data: _JsonObject) -> ExecutionStart:
    return ExecutionStart(_required_text(data, "prompt_id"), _timestamp(data))


def _execution_cached(data: _JsonObject) -> ExecutionCached:
    return ExecutionCached(_required_text(data, "prompt_id"), _texts(data, "nodes"), _timestamp(data))


def _executing(data: _JsonObject) -> Executing:
    node = _text(data, "node")
    return Executing(node, _text(data, "display_node") or node, _text(data, "prompt_id"))


def _progress(data: _JsonObject) -> Progress:
    return Progress(_number(data, "value"), _number(data, "max"), _text(data, "prompt_id"), _text(data, "node"))


def _progress_state(data: _JsonObject) -> ProgressState:
    nodes = _object(data.get("nodes"), "nodes")
    return ProgressState(
        _required_text(data, "prompt_id"),
        {key: _node_progress(key, _object(value, "node progress")) for key, value in nodes.items()},
    )


def _node_progress(node_id: str, data: _JsonObject) -> NodeProgress:
    return NodeProgress(
        node_id=node_id,
        value=_number(data, "value"),
        max=_number(data, "max"),
        state=_text(data, "state") or "running",
        display_node_id=_text(data, "display_node_id") or node_id,
        parent_node_id=_text(data, "parent_node_id"),
        real_node_id=_text(data, "real_node_id") or node_id,
    )


def _executed(data: _JsonObject) -> Executed:
    node = _required_text(data, "node")
    output = data.get("output")
    return Executed(
        node=node,
        display_node=_text(data, "display_node") or node,
        output=None if output is None else _object(output, "output"),
        prompt_id=_required_text(data, "prompt_id"),
        merge=data.get("merge") is True,
    )


def _execution_success(data: _JsonObject) -> ExecutionSuccess:
    return ExecutionSuccess(_required_text(data, "prompt_id"), _timestamp(data))


def _execution_error(data: _JsonObject) -> ExecutionError:
    inputs = data.get("current_inputs")
    return ExecutionError(
        prompt_id=_required_text(data, "prompt_id"),
        node_id=_text(data, "node_id") or "",
        node_type=_text(data, "node_type") or "",
        exception_message=_text(data, "exception_message") or "",
        exception_type=_text(data, "exception_type") or "",
        traceback=_texts(data, "traceback"),
        current_inputs=inputs if isinstance(inputs, dict) else None,
        executed=_texts(data, "executed"),
        timestamp=_timestamp(data),
    )


def _execution_interrupted(data: _JsonObject) -> ExecutionInterrupted:
    return ExecutionInterrupted(
        prompt_id=_required_text(data, "prompt_id"),
        node_id=_text(data, "node_id") or "",
        node_type=_text(data, "node_type") or "",
        executed=_texts(data, "executed"),
        timestamp=_timestamp(data),
    )


_READERS: dict[str, Callable[[_JsonObject], Message]] = {
    "status": _status,
    "execution_start": _execution_start,
    "execution_cached": _execution_cached,
    "executing": _executing,
    "progress": _progress,
    "progress_state": _progress_state,
    "executed": _executed,
    "execution_success": _execution_success,
    "execution_error": _execution_error,
    "execution_interrupted": _execution_interrupted,
    "feature_flags": FeatureFlags,
}


# Binary frames: a big-endian uint32 type, then (types 1, 3 and 4) a big-endian uint32, then the rest.


def _parse_binary(frame: bytes) -> Message:
    if len(frame) < 4:
        raise ProtocolError(f"ComfyUI sent a binary frame of {len(frame)} bytes, too short for its type.")
    (kind,) = struct.unpack_from(">I", frame)
    if kind not in {1, 3, 4}:
        return Unknown(f"binary {kind}", frame[4:])
    if len(frame) < 8:
        raise ProtocolError(f"ComfyUI sent a binary frame of type {kind} that is cut off.")
    (number,) = struct.unpack_from(">I", frame, 4)
    if kind == 1:
        return PreviewImage(frame[8:], _IMAGE_FORMATS.get(number, _OPAQUE))
    if number > len(frame) - 8:
        raise ProtocolError(f"ComfyUI sent a binary frame of type {kind} that is cut off.")
    head, rest = frame[8 : 8 + number].decode(errors="replace"), frame[8 + number :]
    return _preview(head, rest) if kind == 4 else TextPreview(head, rest.decode(errors="replace").replace("\0", ""))


_OPAQUE = "application/octet-stream"
_IMAGE_FORMATS = {1: "image/jpeg", 2: "image/png"}
_IMAGE_TYPES = {"image/jpeg", "image/png", "image/webp", "image/gif"}


def _preview(head: str, image: bytes) -> PreviewImageWithMetadata:
    data = _object(decode(head), "preview metadata")
    node_id = _required_text(data, "node_id")
    image_type = _text(data, "image_type")
    return PreviewImageWithMetadata(
        image=image,
        # The type is passed on to browsers, so nothing that could be active gets through.
        content_type=image_type if image_type in _IMAGE_TYPES else _OPAQUE,
        node_id=node_id,
        prompt_id=_required_text(data, "prompt_id"),
        display_node_id=_text(data, "display_node_id") or node_id,
        parent_node_id=_text(data, "parent_node_id"),
        real_node_id=_text(data, "real_node_id") or node_id,
    )


# Reading fields


def _object(value: object, what: str) -> _JsonObject:
    if not isinstance(value, dict):
        raise ProtocolError(f"ComfyUI sent a {what} that is not an object: {str(value)[:80]!r}.")
    return value


def _text(data: _JsonObject, key: str) -> str | None:
    """A string; custom nodes also send ids as integers."""
    value = data.get(key)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**64:
        return str(value)
    raise ProtocolError(f"ComfyUI sent a message whose “{key}” is not a text: {str(value)[:80]!r}.")


def _required_text(data: _JsonObject, key: str) -> str:
    value = _text(data, key)
    if value is None:
        raise ProtocolError(f"ComfyUI sent a message without “{key}”.")
    return value


def _texts(data: _JsonObject, key: str) -> tuple[str, ...]:
    value = data.get(key)
    if isinstance(value, str):
        return (value,)
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _number(data: _JsonObject, key: str) -> float:
    """A finite number; null, which stands for NaN, counts as 0."""
    value = data.get(key, ...)
    if value is None:
        return 0
    if isinstance(value, int | float) and abs(value) < 2**64:
        return value
    raise ProtocolError(f"ComfyUI sent a message whose “{key}” is not a usable number: {str(value)[:80]!r}.")


def _timestamp(data: _JsonObject) -> int | None:
    """Unix milliseconds of the server's clock."""
    value = data.get("timestamp")
    return int(value) if isinstance(value, int | float) and abs(value) < 2**63 else None
