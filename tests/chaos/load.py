"""Users at work: each submits its share over time, a few cancel, everybody is patient with a site that is down."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import httpx

CANCEL_SHARE = 0.03
PAIR_SHARE = 0.1
BURST_SHARE, BURST = 0.1, 8  # so many at once: some of them wait for a place in line
TEAM_SHARE = 0.6  # of what members of a team submit, they submit this share there
REFUSALS = {403, 429, 500, 502, 503}  # 403: suspended; whoever is waits
NO_MEMBER = {401, 404}  # of a team any more: the key is revoked


@dataclass(slots=True)
class Account:
    """A user of the site with an API key, and perhaps a member of a team.

    `team_key` is empty while they are no member; `session` once it ended for good.
    """

    user_id: int
    workspace_id: int
    key: str
    session: str = ""
    team_id: int | None = None
    team_key: str = ""
    is_owner: bool = False  # of the team, whom nobody removes

    def key_for(self, workspace_id: int) -> str:
        """For the team, or for their own workspace."""
        return self.team_key if workspace_id == self.team_id else self.key


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user wanted, and where, for whatever job came of it. No two wishes have the same seed."""

    user_id: int
    workspace_id: int
    seed: int
    count: int


@dataclass(slots=True)
class Load:
    """What the users did and what they were told."""

    wishes: dict[int, Wish] = field(default_factory=dict)  # by seed
    acknowledged: dict[str, Wish] = field(default_factory=dict)  # by job, for every 201
    in_doubt: Counter[int] = field(default_factory=Counter)  # by seed: requests that were sent and not answered by 201
    asked_to_cancel: set[str] = field(default_factory=set)
    cancel_answers: dict[str, str] = field(default_factory=dict)  # by job: the status in the answer
    dropped: int = 0  # wishes that somebody who was removed from a team could have there no more
    unreached: int = 0
    refused: Counter[int] = field(default_factory=Counter)  # by HTTP status


async def submit_all(accounts: list[Account], ports: list[int], *, generations: int, seconds: float, seed: int) -> Load:
    """`generations` by these users, spread over about `seconds`."""
    load = Load()
    everyday, extra = divmod(generations, len(accounts))
    await asyncio.gather(
        *(
            _user(
                load, account, ports, number=everyday + (n < extra), seconds=seconds, draw=random.Random(f"{seed} {n}")
            )
            for n, account in enumerate(accounts)
        )
    )
    return load


async def _user(
    load: Load, account: Account, ports: list[int], *, number: int, seconds: float, draw: random.Random
) -> None:
    async with httpx.AsyncClient(timeout=20) as client:
        left = number
        while left:
            some = min(left, BURST if draw.random() < BURST_SHARE else 1)
            draws = [random.Random(draw.getrandbits(64)) for _ in range(some)]
            await asyncio.gather(*(_one(load, client, account, ports=ports, draw=each) for each in draws))
            left -= some
            await asyncio.sleep(draw.uniform(0.5, 1.5) * some * seconds / number)


async def _one(
    load: Load, client: httpx.AsyncClient, account: Account, *, ports: list[int], draw: random.Random
) -> None:
    """Until a job was acknowledged, which may be canceled then."""
    count, job = 2 if draw.random() < PAIR_SHARE else 1, None
    while job is None:
        is_team = bool(account.team_key) and draw.random() < TEAM_SHARE
        workspace_id = account.team_id if is_team and account.team_id else account.workspace_id
        wish = Wish(account.user_id, workspace_id, seed=draw.getrandbits(63), count=count)
        job = await _submit(load, client, account, wish, ports=ports, draw=draw)
    if draw.random() < CANCEL_SHARE:
        await asyncio.sleep(draw.uniform(0, 3))
        await _cancel(load, client, job, account.key_for(wish.workspace_id), ports=ports, draw=draw)


async def _submit(
    load: Load, client: httpx.AsyncClient, account: Account, wish: Wish, *, ports: list[int], draw: random.Random
) -> str | None:
    """The job; None when it could not be had because its user is no member of the team any more."""
    load.wishes[wish.seed] = wish
    inputs = {
        "prompt": f"a fox {wish.seed}",
        "width": 64,
        "height": 64,
        "steps": draw.randint(2, 4),
        "count": wish.count,
        "seed": wish.seed,
    }
    while True:
        key = account.key_for(wish.workspace_id)
        url = f"http://127.0.0.1:{draw.choice(ports)}/api/v2/templates/text-to-image/jobs"
        try:
            response = await client.post(url, json={"inputs": inputs}, headers=_bearer(key))
        except httpx.ConnectError:
            load.unreached += 1
            await asyncio.sleep(0.5)
            continue
        except httpx.TransportError:
            # Perhaps it is in the database all the same; then it is finished like any other.
            load.in_doubt[wish.seed] += 1
            await asyncio.sleep(0.5)
            continue
        if response.status_code == 201:
            job = str(response.json()["id"])
            load.acknowledged[job] = wish
            return job
        if response.status_code in NO_MEMBER and wish.workspace_id == account.team_id:
            load.dropped += 1
            return None
        assert response.status_code in REFUSALS, response.text
        load.refused[response.status_code] += 1
        if response.status_code >= 500:
            load.in_doubt[wish.seed] += 1
        await asyncio.sleep(float(response.headers.get("Retry-After", "0.5")))


async def _cancel(
    load: Load, client: httpx.AsyncClient, job: str, key: str, *, ports: list[int], draw: random.Random
) -> None:
    load.asked_to_cancel.add(job)  # from the first try on: it may work although its answer is lost
    for _ in range(20):
        try:
            response = await client.post(
                f"http://127.0.0.1:{draw.choice(ports)}/api/v2/jobs/{job}/cancel", headers=_bearer(key)
            )
        except httpx.TransportError:
            await asyncio.sleep(0.5)
            continue
        if response.status_code == 200:
            load.cancel_answers[job] = response.json()["status"]
            return
        if response.status_code in NO_MEMBER:
            return
        await asyncio.sleep(0.5)


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
