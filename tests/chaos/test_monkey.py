"""What goes wrong is decided by the seed, not by how fast the machine is."""

from __future__ import annotations

from itertools import islice

from tests.chaos.monkey import FAULTS, schedule

PAUSE_SECONDS = (0.5, 2.5)


def told(seed: int, number: int) -> list[tuple[str, float, float, float]]:
    events = islice(schedule(seed, PAUSE_SECONDS, FAULTS), number)
    return [(event.fault.name, event.seconds, event.pause, event.draw.random()) for event in events]


def test_the_same_seed_is_the_same_schedule() -> None:
    assert told(1, 50) == told(1, 50)
    assert told(1, 50) != told(2, 50)


def test_every_fault_has_its_turn_and_lasts_as_long_as_it_may() -> None:
    events = list(islice(schedule(1, PAUSE_SECONDS, FAULTS), 1000))
    assert {event.fault.name for event in events} == {fault.name for fault in FAULTS}
    assert all(event.fault.seconds[0] <= event.seconds <= event.fault.seconds[1] for event in events)
    assert all(PAUSE_SECONDS[0] <= event.pause <= PAUSE_SECONDS[1] for event in events)


def test_faults_have_names_of_their_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
