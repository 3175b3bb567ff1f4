"""So much slow work at a time, for one user and for all."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from accounts.concurrency import AtOnce, TooBusyError, aside, turn


def test_one_user_gets_no_more_than_their_part() -> None:
    work = AtOnce("uploads", per_user=2, in_all=10)
    with work.one_more(1), work.one_more(1):
        with pytest.raises(TooBusyError, match="You have 2 uploads"), work.one_more(1):
            pass
        with work.one_more(2):
            pass
    with work.one_more(1), work.one_more(1):
        pass


def test_all_users_together_get_no_more_than_there_is() -> None:
    work = AtOnce("uploads", per_user=2, in_all=3)
    with ExitStack() as stack:
        for user in (1, 2, 3):
            stack.enter_context(work.one_more(user))
        with pytest.raises(TooBusyError, match="in a few seconds"), work.one_more(4):
            pass
    with work.one_more(4):
        pass


def test_slow_work_gives_the_turn_away_once_and_takes_it_again() -> None:
    calls: list[str] = []
    work = AtOnce("uploads", per_user=1, in_all=1)
    with turn(leave=lambda: calls.append("leave"), come_back=lambda: calls.append("come back")):
        with pytest.raises(ZeroDivisionError), work.one_more(1), aside():
            assert calls == ["leave"]
            raise ZeroDivisionError
        assert calls == ["leave", "come back"]
        with aside():
            pass
    with aside():  # who has no turn, as in a worker, gives none away
        pass
    assert calls == ["leave", "come back"] * 2


def test_work_that_fails_is_over_too() -> None:
    work = AtOnce("uploads", per_user=1, in_all=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), work.one_more(1):
            raise ZeroDivisionError
    assert not work._under_way
