"""Faults that can be switched on, at the start or while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(slots=True)
class Faults:
    """All off by default. Counters (`…` times) count down; the others stay until they are set back."""

    history_delay: float = 0.0  # seconds between execution_success and the history entry
    reply_delay: float = 0.0  # seconds by which events overtake the answer of POST /prompt
    slow_object_info: float = 0.0  # seconds
    half_open: bool = False  # sockets stay open and hear nothing
    zombie: bool = False  # prompts are accepted, none is run
    ignore_interrupt: bool = False
    nan_progress: bool = False
    unknown_messages: bool = False  # types of text and binary frames that nobody knows
    foreign_noise: bool = False  # progress of a prompt without client_id
    output_null: bool = False  # `executed` with output null
    big_frame: bool = False  # a text of 5 MB in `executed`
    object_info_error: bool = False
    refuse_prompts: int = 0  # times: POST /prompt answers 503
    post_timeout: int = 0  # times: the prompt is accepted, its POST never answered
    upload_error: int = 0  # times: 500
    view_404: int = 0  # times
    view_500: int = 0  # times
    view_truncate: int = 0  # times: half of the bytes, then the connection ends
    node_error: dict[str, str] = field(default_factory=dict)  # class_type -> message of the exception
    oom: dict[str, bool] = field(default_factory=dict)  # class_type -> out of memory

    def set(self, **values: Any) -> None:
        """Change some. TypeError for a name that does not exist or a value of the wrong kind."""
        kinds = {item.name: type(getattr(Faults(), item.name)) for item in fields(self)}
        for name, value in values.items():
            if name not in kinds:
                msg = f"There is no fault {name}; there are {', '.join(sorted(kinds))}"
                raise TypeError(msg)
            if kinds[name] is dict:
                if not isinstance(value, dict):
                    msg = f"{name} wants an object"
                    raise TypeError(msg)
                setattr(self, name, value)
            else:
                setattr(self, name, kinds[name](value))

    def take(self, name: str) -> bool:
        """Use up one of a counter's times; False when none is left."""
        left = int(getattr(self, name))
        if left > 0:
            setattr(self, name, left - 1)
        return left > 0
