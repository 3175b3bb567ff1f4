"""What goes wrong, and when: a seeded schedule of faults, each undone after a while."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.chaos.sanctions import sanction_somebody
from tests.chaos.world import World
from tests.support.proxy import Mode, Proxy

POLL_SECONDS = 0.1
COMING_BACK = 0.7
UNDER_WAY_SECONDS, COPYING = 8.0, 4  # at most, until each process of each worker waits for the storage

Undo = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """`inject` does it and returns what undoes it. Higher `weight`: more often. `seconds`: how long it lasts."""

    name: str
    weight: int
    seconds: tuple[float, float]
    inject: Callable[[World, random.Random], Undo]
    explains: frozenset[str] = frozenset()  # error codes that generations may fail with because of it
    target: str = ""  # only one fault at a time for the same one
    is_slow: bool = False  # what it hits stands still for a minute: too long for a test
    is_beside: bool = False  # breaks nothing: others happen as if it were not there


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the schedule. `draw` chooses whom it hits; `pause` is in seconds, until the next one."""

    fault: Fault
    seconds: float
    pause: float
    draw: random.Random


def schedule(seed: int, pause_seconds: tuple[float, float], faults: Sequence[Fault]) -> Iterator[Event]:
    """Endless, and the same for the same seed, however long anything takes."""
    draw = random.Random(seed)
    while True:
        fault = draw.choices(faults, [each.weight for each in faults])[0]
        seconds, pause = draw.uniform(*fault.seconds), draw.uniform(*pause_seconds)
        yield Event(fault, seconds, pause, random.Random(draw.getrandbits(64)))


def _killed(kind: str) -> Callable[[World, random.Random], Undo]:
    def inject(world: World, draw: random.Random) -> Undo:
        return _kill(world, draw.choice(world.names[kind]) if kind in world.names else kind)

    return inject


def _paused(kind: str) -> Callable[[World, random.Random], Undo]:
    def inject(world: World, draw: random.Random) -> Undo:
        return _pause(world, draw.choice(world.names[kind]))

    return inject


def _frozen_while_copying(world: World, draw: random.Random) -> Undo:
    """For longer than its lease on what it copies: another worker does it meanwhile, and then this one goes on."""
    world.s3_proxy.set("stall")
    give_up = time.monotonic() + UNDER_WAY_SECONDS
    while world.copying() < COPYING and time.monotonic() < give_up:
        time.sleep(POLL_SECONDS)
    go_on = _paused("worker")(world, draw)
    world.s3_proxy.set("pass")
    return go_on


def _while_storing(act: Callable[[World, str], Undo]) -> Callable[[World, random.Random], Undo]:
    """It hits a relay between the copy of a small result and the transaction that writes it down."""

    def inject(world: World, draw: random.Random) -> Undo:
        world.s3_proxy.set("stall")
        give_up = time.monotonic() + UNDER_WAY_SECONDS
        while not (found := world.storing_relays()) and time.monotonic() < give_up:
            time.sleep(POLL_SECONDS)
        undo = act(world, draw.choice(found or world.names["relay"]))
        world.s3_proxy.set("pass")
        return undo

    return inject


def _kill(world: World, name: str) -> Undo:
    world.kill(name)
    return lambda: world.start(name)


def _pause(world: World, name: str) -> Undo:
    world.pause(name, is_paused=True)
    return lambda: world.pause(name, is_paused=False)


def _simulator_fault(on: dict[str, object], off: dict[str, object]) -> Callable[[World, random.Random], Undo]:
    def inject(world: World, draw: random.Random) -> Undo:
        number = draw.randrange(len(world.simulator_ports))
        world.fault(number, **on)
        return (lambda: world.fault(number, **off)) if off else (lambda: None)

    return inject


def _forgetful(world: World, draw: random.Random) -> Undo:
    world.forget(draw.randrange(len(world.simulator_ports)))
    return lambda: None


def _sanctioned(*, is_removal: bool) -> Callable[[World, random.Random], Undo]:
    """Some of those who were removed never come back."""

    def inject(world: World, draw: random.Random) -> Undo:
        comes_back = draw.random() < COMING_BACK
        witness = sanction_somebody(world, is_removal=is_removal, comes_back=comes_back, chosen=draw.randrange)
        return witness.lift if witness else lambda: None

    return inject


def _postgres(mode: Mode | Literal["cut"]) -> Callable[[World, random.Random], Undo]:
    return lambda world, _: _blocked(world.postgres_proxy, mode)


def _s3(mode: Mode | Literal["cut"]) -> Callable[[World, random.Random], Undo]:
    return lambda world, _: _blocked(world.s3_proxy, mode)


def _blocked(proxy: Proxy, mode: Mode | Literal["cut"]) -> Undo:
    if mode == "cut":
        proxy.cut()
        return lambda: None
    proxy.set(mode)
    return lambda: proxy.set("pass")


LOST = frozenset({"lost"})
FAULTS = (
    Fault("kill a relay", 5, (0.5, 6), _killed("relay"), LOST, target="relay"),
    Fault("kill a worker", 5, (0.5, 4), _killed("worker"), target="worker"),
    Fault("kill a web", 3, (0.5, 3), _killed("web"), target="web"),
    Fault("kill a simulator", 3, (0.5, 5), _killed("simulator"), LOST, target="simulator"),
    Fault("pause a relay", 2, (3, 14), _paused("relay"), LOST, target="relay"),
    Fault("pause a worker", 2, (3, 14), _paused("worker"), target="worker"),
    Fault("kill a relay that stores", 4, (0.5, 6), _while_storing(_kill), LOST, target="relay"),
    Fault("freeze a relay that stores", 2, (14, 20), _while_storing(_pause), LOST, target="relay", is_slow=True),
    Fault("freeze a worker", 1, (66, 72), _frozen_while_copying, target="worker", is_slow=True),
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
    Fault(
        "accepted without a word",
        1,
        (1, 3),
        _simulator_fault({"post_timeout": 1}, {"post_timeout": 0}),
        LOST,
        is_slow=True,
    ),
    Fault("overtaking events", 2, (2, 5), _simulator_fault({"events_before_reply": 0.3}, {"events_before_reply": 0.0})),
    Fault("storage refuses", 3, (2, 8), _s3("refuse"), target="storage"),
    Fault("storage stalls", 2, (2, 8), _s3("stall"), target="storage"),
    Fault("storage cut", 2, (0, 0), _s3("cut"), target="storage"),
    Fault("kill Redis", 3, (0.5, 4), _killed("redis"), target="redis"),
    Fault("database stalls", 3, (1, 4), _postgres("stall"), target="database"),
    Fault("database cut", 3, (0, 0), _postgres("cut"), target="database"),
    Fault("database refuses", 2, (1, 3), _postgres("refuse"), target="database"),
    Fault("suspend a person", 5, (10, 50), _sanctioned(is_removal=False), is_beside=True),
    Fault("remove a member", 5, (10, 50), _sanctioned(is_removal=True), is_beside=True),
)


class Monkey:
    """Injects faults from the schedule of `seed` until stopped; up to `at_once` of them overlap."""

    def __init__(
        self,
        world: World,
        *,
        seed: int,
        faults: Sequence[Fault] = FAULTS,
        pause_seconds: tuple[float, float] = (0.5, 2.5),
        at_once: int = 2,
    ) -> None:
        self._world = world
        self._schedule = schedule(seed, pause_seconds, faults)
        self._at_once = at_once
        self._undo: list[tuple[float, Fault, Undo]] = []
        self._began = time.monotonic()
        self.done: Counter[str] = Counter()
        self.explained: set[str] = set()

    def run(self, is_over: Callable[[], bool]) -> None:
        """Until `is_over`; then everything is undone."""
        try:
            for event in self._schedule:
                if not self._wait_for_room(is_over):
                    return
                if self._inject(event):
                    self._pause(event.pause)
                else:
                    self._pause(POLL_SECONDS)
        finally:
            for _, fault, undo in self._undo:
                self._say(f"end: {fault.name}")
                undo()
            self._undo.clear()

    def _wait_for_room(self, is_over: Callable[[], bool]) -> bool:
        """False when it is over before there is room for one more fault."""
        while not is_over():
            self._undo_due()
            if sum(not fault.is_beside for _, fault, _ in self._undo) < self._at_once:
                return True
            time.sleep(POLL_SECONDS)
        return False

    def _inject(self, event: Event) -> bool:
        """False when it is left out: two at a time would take down everything there is of its target."""
        fault = event.fault
        if any(
            other.name == fault.name or (other.target and other.target == fault.target) for _, other, _ in self._undo
        ):
            return False
        self._say(f"{fault.name} for {event.seconds:.1f} s" if event.seconds else fault.name)
        undo = fault.inject(self._world, event.draw)
        self.done[fault.name] += 1
        self.explained |= fault.explains
        self._undo.append((time.monotonic() + event.seconds, fault, undo))
        return True

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._undo_due()
            time.sleep(POLL_SECONDS)

    def _undo_due(self) -> None:
        for entry in [each for each in self._undo if each[0] <= time.monotonic()]:
            self._undo.remove(entry)
            entry[2]()
        self._world.revive()

    def _say(self, text: str) -> None:
        sys.stderr.write(f"  {time.monotonic() - self._began:6.1f} s  {text}\n")
