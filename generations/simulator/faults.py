"""Faults that can be switched on, at the start or while the server runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

ACTIONS = ("drop_sockets", "half_open", "clear_queue", "evict_history")


@dataclass(slots=True)
class Faults:
    """All off by default. Counters ("times") count down; the others stay until they are set back.

    Some happen once, at the moment they are set: `drop_sockets` cuts every socket off, `half_open` makes the open ones
    deaf and dumb, as a network that swallows packets does, `clear_queue` and `evict_history` do what another client may
    do to prompts that wait and to ended ones.
    """

    history_delay: float = 0.0  # seconds between execution_success and the history entry
    events_before_reply: float = 0.0  # seconds by which events overtake the answer of POST /prompt
    slow_object_info: float = 0.0  # seconds
    zombie: bool = False  # prompts are accepted and taken from the queue, nothing is run
    stuck_node: bool = False  # the next node starts, never ends and cannot be interrupted; only a restart helps
    ignore_interrupt: bool = False  # a node that blocks in native code
    nan_progress: bool = False
    unknown_messages: bool = False  # types of text and binary frames that do not exist
    foreign_noise: bool = False  # progress of a prompt without client_id
    output_null: bool = False  # `executed` with output null
    big_frame: bool = False  # a text of 5 MB in `executed`
    object_info_error: bool = False
    refuse_prompts: int = 0  # times: POST /prompt answers 503
    close_prompts: int = 0  # times: POST /prompt gets no answer, its connection is closed
    post_timeout: int = 0  # times: the prompt is accepted, its POST never answered
    upload_error: int = 0  # times: 500
    view_404: int = 0  # times
    view_error: int = 0  # times: 500
    view_truncate: int = 0  # times: half of the bytes, then the connection ends
    unfinished_batches: int = 0  # times: an output node queues the prompt again under another id and has no result yet
    node_error: dict[str, str] = field(default_factory=dict)  # class_type -> message of the exception
    oom: dict[str, str] = field(default_factory=dict)  # class_type -> text of the driver, "" for a usual one
    actions: dict[str, Callable[[], None]] = field(default_factory=dict, repr=False)

    def set(self, **values: Any) -> None:
        """Change some. TypeError for a name that does not exist or a value of the wrong kind; then none is changed."""
        checked = {name: self._check(name, value) for name, value in values.items()}
        for name, value in checked.items():
            if name not in ACTIONS:
                setattr(self, name, value)
            elif value:
                self.actions.get(name, lambda: None)()  # before the start there is nothing to act on

    def _check(self, name: str, value: Any) -> Any:
        kinds = {item: type(getattr(self, item)) for item in self.state()} | dict.fromkeys(ACTIONS, bool)
        if name not in kinds:
            msg = f"There is no fault {name}; there are {', '.join(sorted(kinds))}"
            raise TypeError(msg)
        kind = kinds[name]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        is_right = type(value) is kind or (kind is int and value is True)
        if not is_right or (kind is dict and not all(isinstance(text, str) for text in value.values())):
            wanted = "an object of texts" if kind is dict else kind.__name__
            msg = f"{name} wants {wanted}, not {value!r}"
            raise TypeError(msg)
        return int(value) if kind is int else value

    def state(self) -> dict[str, Any]:
        """All of them with their values."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "actions"}

    def clear(self) -> None:
        """Everything off again."""
        for name, value in Faults().state().items():
            setattr(self, name, value)

    def take(self, name: str) -> bool:
        """Use up one of a counter's times; False when none is left."""
        left = int(getattr(self, name))
        if left > 0:
            setattr(self, name, left - 1)
        return left > 0
