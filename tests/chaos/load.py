"""Users at work: each submits its share over time, a few cancel, everybody is patient with a site that is down."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import httpx

CANCEL_SHARE = 0.03


@dataclass(slots=True)
class Load:
    """What the users did. `acknowledged`: job id -> seed, for every 201 they got."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    canceled: set[str] = field(default_factory=set)
    unanswered: int = 0
    refused: int = 0


async def submit_all(keys: list[str], ports: list[int], *, generations: int, seconds: float, seed: int) -> Load:
    """`generations` by the users of these keys, spread over about `seconds`."""
    load = Load()
    share = [generations // len(keys) + (number < generations % len(keys)) for number in range(len(keys))]
    await asyncio.gather(
        *(
            _user(load, key, ports, number=share[number], seconds=seconds, draw=random.Random(f"{seed} {number}"))
            for number, key in enumerate(keys)
        )
    )
    return load


async def _user(load: Load, key: str, ports: list[int], *, number: int, seconds: float, draw: random.Random) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(headers=headers, timeout=20) as client:
        for _ in range(number):
            job = await _submit(load, client, ports, draw)
            if draw.random() < CANCEL_SHARE:
                await asyncio.sleep(draw.uniform(0, 3))
                await _cancel(load, client, ports, job, draw)
            await asyncio.sleep(draw.uniform(0.5, 1.5) * seconds / number)


async def _submit(load: Load, client: httpx.AsyncClient, ports: list[int], draw: random.Random) -> str:
    seed = draw.getrandbits(63)
    inputs = {
        "prompt": f"a fox {seed}",
        "width": 64,
        "height": 64,
        "steps": draw.randint(1, 3),
        "count": 1,
        "seed": seed,
    }
    while True:
        url = f"http://127.0.0.1:{draw.choice(ports)}/api/v2/templates/text-to-image/jobs"
        try:
            response = await client.post(url, json={"inputs": inputs})
        except httpx.TransportError:
            # Perhaps it is in the database all the same; then it is finished like any other.
            load.unanswered += 1
            await asyncio.sleep(0.5)
            continue
        if response.status_code == 201:
            job = str(response.json()["id"])
            load.acknowledged[job] = seed
            return job
        assert response.status_code in {429, 500, 502, 503}, response.text
        load.refused += 1
        await asyncio.sleep(float(response.headers.get("Retry-After", "0.5")))


async def _cancel(load: Load, client: httpx.AsyncClient, ports: list[int], job: str, draw: random.Random) -> None:
    for _ in range(20):
        try:
            response = await client.post(f"http://127.0.0.1:{draw.choice(ports)}/api/v2/jobs/{job}/cancel")
        except httpx.TransportError:
            await asyncio.sleep(0.5)
            continue
        if response.status_code == 200:
            load.canceled.add(job)
            return
        await asyncio.sleep(0.5)
