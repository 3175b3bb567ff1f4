"""What goes wrong, and when: a seeded schedule of faults, each undone after a while."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.world import World

Undo = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """`inject` does it and returns what undoes it. Higher `weight`: more often. `seconds`: how long it lasts."""

    name: str
    weight: int
    seconds: tuple[float, float]
    inject: Callable[[World, random.Random], Undo]
    explains: frozenset[str] = frozenset()  # error codes that generations may fail with because of it


def _killed(kind: str) -> Callable[[World, random.Random], Undo]:
    def inject(world: World, draw: random.Random) -> Undo:
        name = draw.choice(world.names[kind]) if kind in world.names else kind
        world.kill(name)
        return lambda: world.start(name)

    return inject


def _paused(kind: str) -> Callable[[World, random.Random], Undo]:
    def inject(world: World, draw: random.Random) -> Undo:
        name = draw.choice(world.names[kind])
        world.pause(name, is_paused=True)
        return lambda: world.pause(name, is_paused=False)

    return inject


def _simulator_fault(on: dict[str, object], off: dict[str, object]) -> Callable[[World, random.Random], Undo]:
    def inject(world: World, draw: random.Random) -> Undo:
        number = draw.randrange(len(world.simulator_ports))
        world.fault(number, **on)
        return (lambda: world.fault(number, **off)) if off else (lambda: None)

    return inject


def _forgetful(world: World, draw: random.Random) -> Undo:
    world.forget(draw.randrange(len(world.simulator_ports)))
    return lambda: None


def _postgres(world: World, mode: str) -> Undo:
    if mode == "cut":
        world.postgres_proxy.cut()
        return lambda: None
    world.postgres_proxy.set(mode)  # type: ignore[arg-type]
    return lambda: world.postgres_proxy.set("pass")


def _s3(world: World, mode: str) -> Undo:
    world.s3_proxy.set(mode)  # type: ignore[arg-type]
    return lambda: world.s3_proxy.set("pass")


LOST = frozenset({"lost"})
FAULTS = (
    Fault("kill a relay", 5, (0.5, 6), _killed("relay"), LOST),
    Fault("kill a worker", 5, (0.5, 4), _killed("worker")),
    Fault("kill a web", 3, (0.5, 3), _killed("web")),
    Fault("kill a simulator", 3, (0.5, 5), _killed("simulator"), LOST),
    Fault("pause a relay", 2, (3, 14), _paused("relay"), LOST),
    Fault("restart a simulator", 4, (0, 0), _forgetful, LOST),
    Fault("drop sockets", 4, (0, 0), _simulator_fault({"drop_sockets": True}, {})),
    Fault("half-open sockets", 3, (0, 0), _simulator_fault({"half_open": True}, {})),
    Fault("late history", 3, (2, 6), _simulator_fault({"history_delay": 0.4}, {"history_delay": 0.0})),
    Fault("failing downloads", 3, (1, 3), _simulator_fault({"view_error": 3}, {"view_error": 0})),
    Fault(
        "missing files", 2, (1, 3), _simulator_fault({"view_404": 2}, {"view_404": 0}), frozenset({"output_missing"})
    ),
    Fault("cut downloads", 3, (1, 3), _simulator_fault({"view_truncate": 3}, {"view_truncate": 0})),
    Fault("refused prompts", 2, (1, 3), _simulator_fault({"refuse_prompts": 3}, {"refuse_prompts": 0})),
    Fault("unanswered prompts", 2, (1, 3), _simulator_fault({"close_prompts": 2}, {"close_prompts": 0}), LOST),
    Fault("overtaking events", 2, (2, 5), _simulator_fault({"events_before_reply": 0.3}, {"events_before_reply": 0.0})),
    Fault("storage refuses", 3, (2, 8), lambda world, _: _s3(world, "refuse")),
    Fault("storage stalls", 2, (2, 8), lambda world, _: _s3(world, "stall")),
    Fault("kill Redis", 3, (0.5, 4), _killed("redis")),
    Fault("database stalls", 3, (1, 4), lambda world, _: _postgres(world, "stall")),
    Fault("database cut", 3, (0, 0), lambda world, _: _postgres(world, "cut")),
    Fault("database refuses", 2, (1, 3), lambda world, _: _postgres(world, "refuse")),
)


class Monkey:
    """Injects faults from the schedule of `seed` until stopped; up to `at_once` of them overlap."""

    def __init__(
        self, world: World, *, seed: int, pause_seconds: tuple[float, float] = (0.5, 2.5), at_once: int = 2
    ) -> None:
        self._world = world
        self._draw = random.Random(seed)
        self._pause = pause_seconds
        self._at_once = at_once
        self._undo: list[tuple[float, str, Undo]] = []
        self._began = time.monotonic()
        self.done: Counter[str] = Counter()
        self.explained: set[str] = set()

    def run(self, is_over: Callable[[], bool]) -> None:
        """Until `is_over`; then everything is undone."""
        try:
            while not is_over():
                self._undo_due()
                if len(self._undo) < self._at_once:
                    self._inject()
                time.sleep(self._draw.uniform(*self._pause))
        finally:
            for _, name, undo in self._undo:
                self._say(f"end: {name}")
                undo()
            self._undo.clear()

    def _inject(self) -> None:
        fault = self._draw.choices(FAULTS, [each.weight for each in FAULTS])[0]
        # Two of the same kind at a time would take down everything there is of it.
        if any(name == fault.name or _kind(name) == _kind(fault.name) for _, name, _ in self._undo):
            return
        seconds = self._draw.uniform(*fault.seconds)
        self._say(f"{fault.name} for {seconds:.1f} s" if seconds else fault.name)
        undo = fault.inject(self._world, self._draw)
        self.done[fault.name] += 1
        self.explained |= fault.explains
        self._undo.append((time.monotonic() + seconds, fault.name, undo))

    def _undo_due(self) -> None:
        for entry in [each for each in self._undo if each[0] <= time.monotonic()]:
            self._undo.remove(entry)
            entry[2]()

    def _say(self, text: str) -> None:
        sys.stderr.write(f"  {time.monotonic() - self._began:6.1f} s  {text}\n")


def _kind(name: str) -> str:
    return name.rsplit(maxsplit=1)[-1]
