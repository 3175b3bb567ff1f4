"""Helpers do one thing while another is done, or say at once that they cannot."""

from __future__ import annotations

import threading

import pytest

from generations.files.helpers import Helpers
from tests.support.waiting import eventually, patient


def test_a_helper_gives_back_what_came_of_it() -> None:
    helpers = Helpers(1)
    answer = helpers.start(lambda: 42)
    assert answer is not None
    assert answer.result(patient(20)) == 42

    def failing() -> None:
        msg = "broken"
        raise OSError(msg)

    broken = eventually(lambda: helpers.start(failing), what="the helper")
    assert broken is not None
    with pytest.raises(OSError, match="broken"):
        broken.result(patient(20))


def test_who_finds_all_of_them_busy_does_it_alone() -> None:
    helpers, gate = Helpers(2), threading.Event()
    busy = [helpers.start(lambda: gate.wait(patient(20))) for _ in range(3)]
    assert [each is None for each in busy] == [False, False, True]
    gate.set()
    assert eventually(lambda: helpers.start(lambda: None), what="a helper that is done") is not None
    assert helpers._left == 0
