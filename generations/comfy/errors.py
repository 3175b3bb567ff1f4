"""What can go wrong between us and a ComfyUI server.

ComfyError
├── Unavailable     the server did not answer, or something else answered in its place
├── Rejected        the server understood the request and refused it
├── NotFound        the server has no such file
└── ProtocolError   the server said something that is not its protocol
"""

from collections.abc import Sequence
from dataclasses import dataclass


class ComfyError(Exception):
    """Base of everything this package raises on purpose; `str()` is one readable sentence."""


class Unavailable(ComfyError):
    """The server cannot be used at the moment; trying again later may work.

    `is_ambiguous` is True when the request may have been carried out all the same (the answer was lost): look
    for its effect before repeating it. `status` is the HTTP status when there was an answer.
    """

    def __init__(self, message: str, *, is_ambiguous: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.is_ambiguous = is_ambiguous
        self.status = status


@dataclass(frozen=True, slots=True)
class NodeError:
    """One fault that the server's validation found at a node (execution.py, validate_inputs)."""

    node_id: str
    class_type: str
    type: str
    message: str
    details: str = ""
    input_name: str = ""

    def __str__(self) -> str:
        name = f"{self.class_type} (node {self.node_id})" if self.class_type else f"node {self.node_id}"
        return f"{name}: {self.message}" + (f" ({self.details})" if self.details else "")


def is_silent(error: Exception) -> bool:
    """True when the server gave no answer at all: it will not answer the next question either."""
    return isinstance(error, Unavailable) and error.status is None


class Rejected(ComfyError):
    """The server refused the request for what it contains; repeating it unchanged is useless."""

    def __init__(self, message: str, node_errors: Sequence[NodeError] = (), *, type: str = "") -> None:
        self.message = message
        self.node_errors = list(node_errors)
        self.type = type
        super().__init__(message, self.node_errors)

    def __str__(self) -> str:
        if not self.node_errors:
            return f"ComfyUI rejected the request: {self.message.rstrip('.')}."
        more = f" (and {len(self.node_errors) - 1} more)" if len(self.node_errors) > 1 else ""
        return f"ComfyUI rejected the workflow: {str(self.node_errors[0]).rstrip('.')}{more}."


class NotFound(ComfyError):
    """The server has no such file, or will not hand it out under that name."""


class NotSupported(ComfyError):
    """The server is of a version that has no such endpoint."""


class ProtocolError(ComfyError):
    """A frame or an answer is malformed."""
