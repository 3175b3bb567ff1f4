"""The witness of `make chaos` notices what stays open to people who are out, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest

from tests.chaos.load import Account
from tests.chaos.sanctions import Witness
from tests.chaos.world import World
from tests.support.waiting import eventually

JOB, ASSET = "job-1", "asset-1"
SIGN_IN, SIGNED_LINK = "/accounts/login/?next=/", "https://bucket.example.com/outputs/1?signature=1"


class Site(BaseHTTPRequestHandler):
    """Shows everything until somebody is suspended or removed; then it answers with `after`."""

    is_out = False
    after: tuple[int, str] = (403, "")  # status, Location

    def do_GET(self) -> None:
        self._answer(*(self.after if type(self).is_out else (200, "")))

    def do_POST(self) -> None:
        type(self).is_out = self.path.endswith("suspend")
        self._answer(200)

    def do_DELETE(self) -> None:
        type(self).is_out = True
        self._answer(204)

    def _answer(self, status: int, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


class SmallWorld:
    """As much of a `World` as a witness asks for."""

    def __init__(self, port: int) -> None:
        self.web_ports = [port]
        self.staff_key = "staff"
        self.accounts = [
            Account(1, 11, "key 1", team_id=7, team_key="team key 1", is_owner=True),
            Account(2, 12, "key 2", session="session 2", team_id=7, team_key="team key 2"),
        ]

    def rows(self, query: str, *_: Any) -> list[tuple[Any, ...]]:
        if "count(*)" in query:
            return [(3,)]
        return [(5, "team")] if "membership" in query else [(JOB, ASSET)]

    def manage(self, *_: str, is_past_proxies: bool) -> str:
        return "team key 3"


@contextmanager
def witnessed(status: int, location: str = "", *, is_removal: bool) -> Iterator[Witness]:
    """Somebody is out of a site that answers like this from then on; afterwards they are in again."""
    site = type("OneSite", (Site,), {"is_out": False, "after": (status, location)})
    with ThreadingHTTPServer(("127.0.0.1", 0), site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        world = cast("World", SmallWorld(server.server_port))
        witness = Witness(world, world.accounts[1], is_removal=is_removal, comes_back=True)
        witness.start()
        yield witness
        witness.lift()
        witness.join()
        server.shutdown()


EVERYWHERE = pytest.mark.parametrize("is_removal", [False, True])


@EVERYWHERE
@pytest.mark.parametrize(("status", "location"), [(200, ""), (206, ""), (302, SIGNED_LINK)])
def test_an_open_door_is_noticed(*, status: int, location: str, is_removal: bool) -> None:
    with witnessed(status, location, is_removal=is_removal) as witness:
        doors = witness.sanction.open_doors
        eventually(lambda: 8 <= witness.doors_seen_open == len(doors), what="all doors")
    assert any("with a key" in door for door in doors)
    assert any("with the session" in door for door in doors)


@EVERYWHERE
@pytest.mark.parametrize(("status", "location"), [(401, ""), (403, ""), (404, ""), (302, SIGN_IN), (503, "")])
def test_a_shut_door_is_none(*, status: int, location: str, is_removal: bool) -> None:
    with witnessed(status, location, is_removal=is_removal) as witness:
        eventually(lambda: witness.sanction.in_force_at, what="the sanction")
    assert witness.sanction.open_doors == []
    assert witness.sanction.lifted_at is not None


def test_whoever_was_removed_has_no_key_until_they_are_back() -> None:
    with witnessed(404, is_removal=True) as witness:
        eventually(lambda: witness.sanction.in_force_at, what="the sanction")
        account = witness._account
        eventually(lambda: not account.team_key, what="no key")
    assert account.team_key == "team key 3"
    assert witness.sanction.workspace_id == 7
