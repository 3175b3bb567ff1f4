"""People who are suspended or removed from their team in the middle of everything, and whether anything stays open.

All of it goes through the site, while that breaks. What must hold afterwards says the judge.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import websocket

if TYPE_CHECKING:
    from tests.chaos.load import Account
    from tests.chaos.world import World

SOCKET_SECONDS = 45.0  # sockets are authorised again every 30 s, if nobody told them before
ANSWER_SECONDS = 180.0  # at most, until the site does what it is asked for
WORK_SECONDS, MUCH = 15.0, 3  # at most, until they have so much under way
PAUSE_SECONDS = 1.0
KEY_PAUSES = 8  # a key that was revoked is tried once in so many rounds: wrong ones are counted by address
SHUT = {401, 403, 404}
UNSURE = {429, 500, 502, 503, 504}  # says nothing about whether somebody is let in
TEAM = "X-Comfy-Workspace-ID"
FINISHED = (
    "SELECT g.id::text, a.id::text FROM generations_generation g JOIN generations_output o ON o.generation_id = g.id"
    " JOIN generations_asset a ON a.id = o.asset_id WHERE g.status = 'succeeded'"
)
COME_BACK = """
from accounts.models import ApiKey, Membership, User, Workspace
user, team = User.objects.get(pk={user_id}), Workspace.objects.get(pk={team_id})
Membership.objects.create(user=user, workspace=team)
print(ApiKey.objects.issue(user=user, name="chaos", workspace=team)[1])
"""


@dataclass(slots=True)
class Sanction:
    """Somebody may do nothing in a workspace, or (None) in none of theirs.

    It was in force at the latest `in_force_at`, and not before `asked_at`. `lifted_at` is when somebody began to lift
    it: None for one that stays.
    """

    user_id: int
    workspace_id: int | None
    asked_at: datetime
    in_force_at: datetime | None = None
    lifted_at: datetime | None = None
    finished: set[str] = field(default_factory=set)  # jobs of theirs that had their results before
    open_doors: list[str] = field(default_factory=list)  # what let them in all the same

    def __str__(self) -> str:
        where = "everywhere" if self.workspace_id is None else f"in workspace {self.workspace_id}"
        return f"user {self.user_id}, out {where} from {self.in_force_at} to {self.lifted_at}"

    def covers(self, user_id: int, workspace_id: int) -> bool:
        """Whether it is about what this person has there."""
        return self.user_id == user_id and self.workspace_id in {None, workspace_id}


@dataclass(frozen=True, slots=True)
class Door:
    """What somebody sees with a key or a session: a path of the site, with these headers."""

    path: str
    headers: dict[str, str]
    is_revoked: bool = False  # the key itself is: it is wrong now

    def __str__(self) -> str:
        by = "a key" if "Authorization" in self.headers else "the session"
        return f"{self.path} with {by}{' in the team' if self.is_revoked or TEAM in self.headers else ''}"


class Witness(threading.Thread):
    """Has somebody suspended or removed, then tries to see their things until `lift`, and lets them in again."""

    def __init__(self, world: World, account: Account, *, is_removal: bool, comes_back: bool) -> None:
        super().__init__(name=f"witness of {account.user_id}", daemon=True)
        self._world, self._account = world, account
        self._is_removal, self._comes_back = is_removal, comes_back
        team = account.team_id if is_removal else None
        self.sanction = Sanction(account.user_id, team, asked_at=datetime.now(UTC))
        self.doors_seen_open = self.sockets_seen_closed = 0
        self._doors: list[Door] = []
        self._opened: list[websocket.WebSocket] = []  # to be closed in the end
        self._sockets: list[websocket.WebSocket] = []  # those that are still open
        self._is_over = threading.Event()
        self._client = httpx.Client(timeout=20)

    def lift(self) -> None:
        """Enough: let them in again."""
        self._is_over.set()

    def run(self) -> None:
        """All of it, in a thread: the site may take long to answer."""
        self._doors = [door for door in self._all_doors() if self._is_open(door)]
        self.doors_seen_open = len(self._doors)
        self._sockets = list(self._open_sockets())
        # Its end may be heard of before we ask: then nobody is sanctioned, and nothing is to be judged.
        try:
            if not self._is_over.is_set():
                self._do()
        except AssertionError as error:
            self.sanction.open_doors.append(str(error))
        self._client.close()
        for each in self._opened:
            with suppress(OSError):
                each.shutdown()

    def _do(self) -> None:
        give_up = time.monotonic() + WORK_SECONDS
        while self._under_way() < MUCH and time.monotonic() < give_up:
            time.sleep(0.05)
        self.sanction.finished = {job for job, _ in self._finished(own=True)}
        self.sanction.asked_at = datetime.now(UTC)
        self._impose()
        self.sanction.in_force_at = datetime.now(UTC)
        self._watch()
        self.sanction.lifted_at = datetime.now(UTC)
        self._let_in()

    # ------------------------------------------------------------------------------------ out, and in again
    def _impose(self) -> None:
        account, world = self._account, self._world
        if not self._is_removal:
            body = {"reason": "chaos"}
            self._insist("POST", f"people/{account.user_id}/suspend", world.staff_key, {200}, json=body)
            account.session = ""  # ended for good
            return
        query = "SELECT m.id, w.public_id::text FROM accounts_membership m JOIN accounts_workspace w"
        query += " ON w.id = workspace_id WHERE m.user_id = %s AND workspace_id = %s"
        ((member, team),) = world.rows(query, account.user_id, account.team_id)
        owner = next(each for each in world.accounts if each.is_owner and each.team_id == account.team_id)
        # 404: an earlier try had worked, and its answer was lost.
        self._insist("DELETE", f"workspaces/{team}/members/{member}", owner.team_key, {204, 404})
        account.team_key = ""

    def _let_in(self) -> None:
        account, world = self._account, self._world
        if not self._is_removal:
            self._insist("POST", f"people/{account.user_id}/reinstate", world.staff_key, {200})
        elif self._comes_back:
            code = COME_BACK.format(user_id=account.user_id, team_id=account.team_id)
            account.team_key = world.manage("shell", "--verbosity", "0", "-c", code, is_past_proxies=True)
        else:
            self.sanction.lifted_at = None

    def _insist(self, method: str, path: str, key: str, wanted: set[int], **more: Any) -> None:
        """Ask one web process after the other until one says that it is done."""
        give_up, number = time.monotonic() + ANSWER_SECONDS, 0
        while (status := self._status(method, f"/api/v2/{path}", _bearer(key), port=number, **more)) not in wanted:
            assert status is None or status in UNSURE, f"{method} {path} was answered with {status}"
            assert time.monotonic() < give_up, f"{method} {path} was not done"
            number += 1
            time.sleep(0.3)

    # ------------------------------------------------------------------------------------ what stays open
    def _watch(self) -> None:
        begin, round_ = time.monotonic(), 0
        while not self._is_over.is_set():
            for door in [each for each in self._doors if not each.is_revoked or round_ % KEY_PAUSES == 0]:
                if self._is_open(door, port=round_) and not self._is_over.is_set():
                    self.sanction.open_doors.append(f"{door} is open to {self.sanction}")
                    self._doors.remove(door)
            still_open = [each for each in self._sockets if _is_socket_open(each)]
            self.sockets_seen_closed += len(self._sockets) - len(still_open)
            self._sockets = still_open
            if still_open and time.monotonic() - begin > SOCKET_SECONDS and not self._is_over.is_set():
                self.sanction.open_doors.append(f"{len(still_open)} sockets stay open to {self.sanction}")
                self._sockets = []
            round_ += 1
            self._is_over.wait(PAUSE_SECONDS)

    def _is_open(self, door: Door, port: int = 0) -> bool:
        """False when it is shut, and when nobody answers who knows."""
        status = self._status("GET", door.path, door.headers, port=port)
        return status is not None and status not in SHUT | UNSURE

    def _status(self, method: str, path: str, headers: dict[str, str], *, port: int = 0, **more: Any) -> int | None:
        """Of the answer; None for no answer. Somebody who is sent to the page for signing in gets a 401 here."""
        ports = self._world.web_ports
        url = f"http://127.0.0.1:{ports[port % len(ports)]}{path}"
        try:
            answer = self._client.request(method, url, headers=headers, **more)
        except httpx.TransportError:
            return None
        return 401 if "/accounts/" in answer.headers.get("Location", "") else answer.status_code

    def _all_doors(self) -> Iterator[Door]:
        account = self._account
        key = account.team_key if self._is_removal else account.key
        keys = [(_bearer(key), self._is_removal)]
        others: list[dict[str, str]] = [_session(account.session)] if account.session else []
        yield from (Door("/api/v2/jobs?limit=1", headers, is_revoked) for headers, is_revoked in keys)
        finished = self._finished(own=False)[-1:] + self._finished(own=True)[-1:]
        for job, asset in dict.fromkeys(finished):
            for path in (f"/api/v2/jobs/{job}", f"/api/v2/assets/{asset}/content"):
                yield from (Door(path, headers, is_revoked) for headers, is_revoked in keys)
                yield from (Door(path, headers) for headers in others)
            for path in (f"/generations/{job}/", f"/assets/{asset}/", f"/assets/{asset}/thumbnail/"):
                yield from (Door(path, headers) for headers in others)

    def _finished(self, *, own: bool) -> list[tuple[str, str]]:
        """(job, asset) of what is theirs, or their team's, the last one last."""
        account, order = self._account, " ORDER BY g.finished_at"
        if not self._is_removal:
            return self._pairs(f"{FINISHED} AND g.user_id = %s{order}", account.user_id)
        if not own:
            return self._pairs(f"{FINISHED} AND g.workspace_id = %s{order}", account.team_id)
        query = f"{FINISHED} AND g.user_id = %s AND g.workspace_id = %s{order}"
        return self._pairs(query, account.user_id, account.team_id)

    def _under_way(self) -> int:
        query = "SELECT count(*) FROM generations_generation WHERE finished_at IS NULL AND user_id = %s"
        values = [self._account.user_id]
        if self._is_removal and self._account.team_id:
            query += " AND workspace_id = %s"
            values.append(self._account.team_id)
        return int(self._world.rows(query, *values)[0][0])

    def _pairs(self, query: str, *values: Any) -> list[tuple[str, str]]:
        return [(str(job), str(asset)) for job, asset in self._world.rows(query, *values)]

    def _open_sockets(self) -> Iterator[websocket.WebSocket]:
        """One with the key, and one with the session, which has chosen the team; none where nobody answers."""
        account = self._account
        key = account.team_key if self._is_removal else account.key
        for headers in [_bearer(key), *([_session(account.session)] if account.session else [])]:
            port = self._world.web_ports[0]
            with suppress(OSError, websocket.WebSocketException):
                socket = websocket.create_connection(
                    f"ws://127.0.0.1:{port}/ws/generations/",
                    header=headers,
                    origin=f"http://127.0.0.1:{port}",
                    timeout=10,
                )
                self._opened.append(socket)
                if _is_socket_open(socket):
                    yield socket


def _is_socket_open(socket: websocket.WebSocket) -> bool:
    """Whether it is, once everything is read that it was sent."""
    socket.settimeout(0.2)
    try:
        while socket.recv_data_frame(control_frame=True)[0] != websocket.ABNF.OPCODE_CLOSE:
            pass
    except websocket.WebSocketTimeoutException:
        return True
    except (OSError, websocket.WebSocketException):
        pass
    return False


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _session(session: str) -> dict[str, str]:
    return {"Cookie": f"sessionid={session}"}


def sanction_somebody(
    world: World, *, is_removal: bool, comes_back: bool, chosen: Callable[[int], int]
) -> Witness | None:
    """Begin with one of those who may be; `chosen` draws one of so many. None when there is nobody."""
    under = {each.sanction.user_id for each in world.witnesses if each.is_alive()}
    free = [each for each in world.accounts if not each.is_owner and each.user_id not in under]
    if is_removal:
        free = [each for each in free if each.team_key]
    if not free:
        return None
    witness = Witness(world, free[chosen(len(free))], is_removal=is_removal, comes_back=comes_back)
    world.witnesses.append(witness)
    witness.start()
    return witness
