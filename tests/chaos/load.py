"""Users at work: each submits its share over time, a few cancel, everybody is patient with a site that is down."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import httpx

CANCEL_SHARE = 0.03
PAIR_SHARE = 0.1
REFUSALS = {429, 500, 502, 503}


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the site with an API key."""

    user_id: int
    key: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user wanted, for whatever job came of it. No two wishes have the same seed."""

    user_id: int
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
    headers = {"Authorization": f"Bearer {account.key}"}
    async with httpx.AsyncClient(headers=headers, timeout=20) as client:
        for _ in range(number):
            count = 2 if draw.random() < PAIR_SHARE else 1
            wish = Wish(account.user_id, seed=draw.getrandbits(63), count=count)
            job = await _submit(load, client, ports, wish, draw)
            if draw.random() < CANCEL_SHARE:
                await asyncio.sleep(draw.uniform(0, 3))
                await _cancel(load, client, ports, job, draw)
            await asyncio.sleep(draw.uniform(0.5, 1.5) * seconds / number)


async def _submit(load: Load, client: httpx.AsyncClient, ports: list[int], wish: Wish, draw: random.Random) -> str:
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
        url = f"http://127.0.0.1:{draw.choice(ports)}/api/v2/templates/text-to-image/jobs"
        try:
            response = await client.post(url, json={"inputs": inputs})
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
        assert response.status_code in REFUSALS, response.text
        load.refused[response.status_code] += 1
        if response.status_code >= 500:
            load.in_doubt[wish.seed] += 1
        await asyncio.sleep(float(response.headers.get("Retry-After", "0.5")))


async def _cancel(load: Load, client: httpx.AsyncClient, ports: list[int], job: str, draw: random.Random) -> None:
    load.asked_to_cancel.add(job)  # from the first try on: it may work although its answer is lost
    for _ in range(20):
        try:
            response = await client.post(f"http://127.0.0.1:{draw.choice(ports)}/api/v2/jobs/{job}/cancel")
        except httpx.TransportError:
            await asyncio.sleep(0.5)
            continue
        if response.status_code == 200:
            load.cancel_answers[job] = response.json()["status"]
            return
        await asyncio.sleep(0.5)
