"""What an agent knows of its prompts: those that its server has, who hears them, and when to look at which. No I/O.

Times are seconds of the `clock`. Only the acting thread of an agent uses it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from generations.models import Generation
from generations.relay import timing

NEVER = float("-inf")
ENDLESS = float("inf")


@dataclass(slots=True)
class Start:
    """When a prompt began to run, as far as was heard, and whether its row says so."""

    at: datetime | None = None
    is_written: bool = False
    write_at: float = ENDLESS


@dataclass(slots=True)
class Prompt:
    """One that the server has. `client_id` is that of the socket that hears it; "" if none does.

    `generation` is the row as it was when the prompt was submitted or found.
    """

    generation_id: uuid.UUID
    client_id: str
    time_limit_seconds: float
    generation: Generation | None = None
    start: Start = field(default_factory=Start)
    stop_at: float = ENDLESS  # when its time is up
    stopped_at: float = NEVER  # when the server was last asked to stop it


@dataclass(slots=True)
class _Look:
    """A history entry that should be there any moment."""

    at: float
    tries: int = 0
    size_bytes: int = 0  # of the pictures that had come over the socket by then


class Prompts:
    """The prompts of one server, by prompt_id.

    Looks are planned by prompt_id too, also for one that is not known (yet): what is heard of it may come first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, Prompt] = {}
        self._looks: dict[str, _Look] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, prompt_id: str) -> bool:
        return prompt_id in self._known

    def ids(self) -> list[str]:
        """Their prompt_ids. A copy: whoever goes through it may forget some."""
        return list(self._known)

    # ------------------------------------------------------------------------------------ which there are
    def add(self, prompt_id: str, prompt: Prompt, *, running_seconds: float | None = None) -> None:
        """The server has it, or will in a moment; `running_seconds` if it is running already. One that is known stays
        as it is.
        """
        if prompt_id not in self._known:
            self._known[prompt_id] = prompt
            if running_seconds is not None:
                self._limit(prompt, running_seconds)

    def forget(self, prompt_id: str) -> None:
        """It ended or was given up."""
        self._known.pop(prompt_id, None)
        self._looks.pop(prompt_id, None)

    def move(self, prompt_id: str, actual: str) -> None:
        """What is known of it holds for another prompt_id from now on. KeyError: it is not known."""
        prompt = self._known[prompt_id]
        self.forget(prompt_id)
        self._known[actual] = prompt
        prompt.generation = None  # it knows only the former

    def generation_id(self, prompt_id: str) -> uuid.UUID:
        """Whose attempt it is. KeyError: it is not known."""
        return self._known[prompt_id].generation_id

    def generation(self, prompt_id: str) -> Generation | None:
        """The row as it was when it was submitted or found; None when that is not known, or not true any more."""
        prompt = self._known.get(prompt_id)
        return prompt.generation if prompt is not None else None

    def remember(self, generation: Generation) -> None:
        """The row, as it is under this prompt_id."""
        if (prompt := self._known.get(str(generation.prompt_id))) is not None:
            prompt.generation = generation

    # ------------------------------------------------------------------------------------ who hears them
    def is_heard(self, prompt_id: str, client_id: str) -> bool:
        """True when the socket with that id is the one that hears of it."""
        prompt = self._known.get(prompt_id)
        return prompt is not None and prompt.client_id == client_id

    def set_unheard(self, prompt_id: str) -> None:
        """From now on no socket counts as the one that hears it. KeyError: it is not known."""
        self._known[prompt_id].client_id = ""

    def are_all_heard(self, client_id: str) -> bool:
        """True when the socket with that id hears of every prompt."""
        return all(prompt.client_id == client_id for prompt in self._known.values())

    # ------------------------------------------------------------------------------------ running and stopping
    def started(self, prompt_id: str, at: datetime) -> bool:
        """It runs: its time counts from now on. False for one that is not known, or ran before."""
        prompt = self._known.get(prompt_id)
        if prompt is None or prompt.start.at is not None:
            return False
        prompt.start = Start(at, write_at=self._clock() + timing.START_SECONDS)
        self._limit(prompt, 0.0)
        return True

    def start_of(self, prompt_id: str) -> Start:
        """When it began to run. Empty for one that is not known."""
        prompt = self._known.get(prompt_id)
        return prompt.start if prompt is not None else Start()

    def start_is_written(self, prompt_id: str) -> None:
        """Its row says when it started. KeyError: it is not known."""
        self._known[prompt_id].start.is_written, self._known[prompt_id].start.write_at = True, ENDLESS

    def unwritten_starts(self) -> list[str]:
        """Those that have been running for START_SECONDS, which their rows do not say yet."""
        now = self._clock()
        return [prompt_id for prompt_id, prompt in self._known.items() if prompt.start.write_at <= now]

    def _limit(self, prompt: Prompt, running_seconds: float) -> None:
        prompt.stop_at = self._clock() + prompt.time_limit_seconds - running_seconds

    def is_overdue(self, prompt_id: str) -> bool:
        """True when it has been running for longer than it may."""
        return self._known[prompt_id].stop_at <= self._clock()

    def may_ask_to_stop(self, prompt_id: str) -> bool:
        """False while the server may still be busy stopping it."""
        return self._clock() >= self._known[prompt_id].stopped_at + timing.STOP_AGAIN_SECONDS

    def asked_to_stop(self, prompt_id: str) -> None:
        """The server was asked to stop it just now."""
        self._known[prompt_id].stopped_at = self._clock()

    def was_asked_to_stop(self, prompt_id: str) -> bool:
        """True when we asked the server to stop it, however long ago. False for one that is not known."""
        return prompt_id in self._known and self._known[prompt_id].stopped_at > NEVER

    # ------------------------------------------------------------------------------------ when to look at which
    def due(self) -> list[str]:
        """Those whose history should be looked up now."""
        now = self._clock()
        return [prompt_id for prompt_id, look in self._looks.items() if look.at <= now]

    def seconds_until_due(self) -> float:
        """Until the next look, or start to write, is due: negative if it is already, infinite when there is none."""
        looks = (look.at for look in self._looks.values())
        starts = (prompt.start.write_at for prompt in self._known.values())
        return min((*looks, *starts), default=ENDLESS) - self._clock()

    def is_look_planned(self, prompt_id: str) -> bool:
        """True when its history will be looked up."""
        return prompt_id in self._looks

    def look_now(self, prompt_id: str) -> None:
        """Its history is there: look at once, with all tries ahead."""
        self._looks[prompt_id] = _Look(at=self._clock())

    def look_soon(self, prompt_id: str) -> None:
        """Its history will be there shortly. A look that is planned stays as it is."""
        self._looks.setdefault(prompt_id, _Look(at=self._clock() + timing.HISTORY_RETRY_SECONDS))

    def look_later(self, prompt_id: str) -> None:
        """Something went wrong with this look: it waits for PAUSE_AFTER_FAULT_SECONDS."""
        self._look(prompt_id).at = self._clock() + timing.PAUSE_AFTER_FAULT_SECONDS

    def look_no_more(self, prompt_id: str) -> None:
        """No look at it is planned any more."""
        self._looks.pop(prompt_id, None)

    def look_again(self, prompt_id: str) -> bool:
        """Its history is not there yet: look again soon. False after HISTORY_RETRIES tries, with no more to come."""
        look = self._look(prompt_id)
        look.tries += 1
        look.at = self._clock() + timing.HISTORY_RETRY_SECONDS
        if look.tries > timing.HISTORY_RETRIES:
            self.look_no_more(prompt_id)
            return False
        return True

    def look_for_more(self, prompt_id: str, size_bytes: int) -> float:
        """Its history is there, its last pictures are not: look again soon. `size_bytes`: what came of them so far.

        Returns for how many seconds nothing more has come.
        """
        look = self._look(prompt_id)
        look.tries = look.tries + 1 if size_bytes == look.size_bytes else 0
        look.at, look.size_bytes = self._clock() + timing.HISTORY_RETRY_SECONDS, size_bytes
        return look.tries * timing.HISTORY_RETRY_SECONDS

    def _look(self, prompt_id: str) -> _Look:
        return self._looks.setdefault(prompt_id, _Look(at=0.0))
