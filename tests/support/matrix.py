"""Tables of who may do what: a line for each endpoint, a column for each caller, an answer in each field."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import User, Workspace
from tests.support.factories import make_team, make_user
from tests.support.kept import forget

Answers = dict[str, str]
_WRITE = re.compile(r'\b(?:INSERT INTO|UPDATE|DELETE FROM) "(\w+)"')
_ASIDE = {"django_session", "usersessions_usersession", "accounts_auditentry"}  # written by whatever is looked at
_PART = re.compile(r"(?P<before>[\w-]*)/<(?:\w+:)?(?P<name>\w+)>")


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


def read(table: str, *, by: int = 1) -> dict[str, Answers]:
    """The answers of each endpoint by caller. The first `by` words name the endpoint; the first line, the callers."""
    heading, *lines = (line.split() for line in table.strip().splitlines())
    rows = {" ".join(line[:by]): dict(zip(heading[by:], line[by:], strict=True)) for line in lines}
    assert len(rows) == len(lines), "an endpoint has two rows"
    return rows


def ask(callers: Iterable[str], send: Callable[[str], str]) -> Answers:
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


# ---------------------------------------------------------------------------------------------- pages
class Page(NamedTuple):
    """A pattern of Django's resolver. `name`: with its namespace; the route, if it has no name."""

    name: str
    route: str
    view: Any


def pages(resolver: URLResolver | None = None, route: str = "/", space: str = "") -> Iterator[Page]:
    """Every address of the site, in the order in which they are looked at."""
    for each in (resolver or get_resolver()).url_patterns:
        here = route + str(each.pattern).lstrip("^")
        if isinstance(each, URLPattern):
            yield Page(f"{space}{each.name}" if each.name else here, here, each.callback)
        else:
            yield from pages(each, here, f"{space}{each.namespace}:" if each.namespace else space)


def address(page: Page, things: Mapping[str, Any]) -> str:
    """Where it is: each number and id is that of the thing which the segment before it, or its own name, names.

    Where a page wants another thing, or its pattern is a regular expression, the things have its address, by its name.
    """

    def fill(part: re.Match[str]) -> str:
        known = things.get(part["name"], things.get(part["before"]))
        assert known is not None, f"{page.name}: which of {part['before']}?"
        return f"{part['before']}/{known}"

    given = str(things.get(page.name, ""))
    if given.startswith("/"):
        return given
    assert "(?P" not in page.route, f"{page.name}: where is it?"
    return _PART.sub(fill, page.route)


def look(client: Client, method: str, path: str, data: Mapping[str, Any] | None = None) -> tuple[str, Any]:
    """(what is answered, the response). “login”: sent there; “+” behind a status: rows were changed."""
    with CaptureQueriesContext(connection) as queries:
        response = client.generic(method, path) if method != "POST" else client.post(path, data or {})
    target = response.headers.get("Location", "")
    if response.status_code == 302 and re.match(r"(/accounts/login/|/admin/login/)\?", target):
        return "login", response
    changed = {table for query in queries for table in _WRITE.findall(query["sql"])} - _ASIDE
    return f"{response.status_code}{'+' if changed else ''}", response
