"""Tables of who may do what: a line for each endpoint, a column for each caller, an HTTP status in each field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.core.cache import cache
from django.db import transaction

from accounts.models import User, Workspace
from tests.support.factories import make_team, make_user
from tests.support.kept import forget

Answers = dict[str, Any]


class Cast(NamedTuple):
    """A team and the people around it. What a matrix asks for belongs to the team, and its owner made it."""

    team: Workspace
    owner: User
    admin: User
    member: User
    stranger: User
    staff: User


def make_cast(owner: User, stranger: User, staff: User) -> Cast:
    """The people of `tests/conftest.py`, with a team and its admin and member."""
    admin, member = make_user("admin@example.com"), make_user("member@example.com")
    team = make_team(owner, admin=admin, member=member)
    return Cast(team, owner, admin, member, stranger, staff)


def read(table: str) -> dict[str, Answers]:
    """The answers of each endpoint by caller. The first line names the callers; “-” is an answer of no interest."""
    heading, *lines = (line.split() for line in table.strip().splitlines())
    rows = {line[0]: dict(zip(heading[1:], line[1:], strict=True)) for line in lines}
    assert len(rows) == len(lines), "an endpoint has two rows"
    return {name: {who: int(field) for who, field in row.items()} for name, row in rows.items()}


def ask(callers: Iterable[str], send: Callable[[str], Any]) -> Answers:
    """What each caller is answered, each as if nobody had asked before."""
    answers = {}
    for caller in callers:
        with undone():
            answers[caller] = send(caller)
    return answers


@contextmanager
def undone() -> Iterator[None]:
    """Whatever happens inside leaves no row, and nothing in the cache or in this process."""
    block = transaction.atomic()
    block._from_testcase = True  # like the one around each test: requests are not inside a transaction
    with block:
        yield
        transaction.set_rollback(True)
    cache.clear()
    forget()
