"""Processes that serve for long look for garbage less often, and still find it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from accounts import garbage


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class Knot:
    """Refers to itself: only the collector finds it."""

    def __init__(self) -> None:
        self.own = self


def test_what_is_loaded_is_left_alone_and_new_garbage_is_found() -> None:
    garbage.settle()
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold() == garbage.THRESHOLDS
    knot = weakref.ref(Knot())
    kept = []
    while knot() is not None and len(kept) < 10 * garbage.THRESHOLDS[0]:
        kept.append([])
    assert knot() is None
