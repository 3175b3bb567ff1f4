"""A thousand browsers on one web process: how long until all are connected, what each costs, what they hear when."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from tests.benchmarks.common import Result, add_users, cluster, milliseconds, percentile, sessions
from tests.benchmarks.latency import Heard, _submitted, compare, fakes, listen, submit_all
from tests.support.observing import rss_bytes
from tests.support.processes import add_server
from tests.support.waiting import eventually

USERS, SOCKETS_EACH, RATE, SECONDS, AT_ONCE = 50, 20, 2.0, 10.0, 32
SMALL = {"USERS": 2, "SOCKETS_EACH": 2, "RATE": 8.0, "SECONDS": 1.0}


async def _connect_all(web: str, cookies: list[str]) -> float:
    """Seconds until all sockets have got their first message or, with nothing to tell, are open."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        door = asyncio.Semaphore(AT_ONCE)

        async def one(cookie: str) -> None:
            headers = {"Cookie": f"sessionid={cookie}", "Origin": web}
            async with door:
                socket = await session.ws_connect(f"{web}/ws/generations/", headers=headers)
                await socket.receive(timeout=60)

        begin = time.perf_counter()
        await asyncio.gather(*(one(cookie) for cookie in cookies for _ in range(SOCKETS_EACH)))
        return time.perf_counter() - begin


def measure() -> list[Result]:
    """All numbers."""
    with fakes(1, RATE) as urls, cluster() as running:
        add_server(running.env["DATABASE_URL"], "fake", urls[0], slots=100)
        emails = [f"bench{number}@example.com" for number in range(USERS)]
        keys = add_users(running, emails)
        cookies = sessions(running, emails)
        running.start("relay")
        submit_all(running, keys, USERS)
        eventually(lambda: _submitted(urls) >= USERS, seconds=60, what="all to be running")
        pid = running.processes["web"].pid
        before = rss_bytes(pid)
        seconds = asyncio.run(_connect_all(running.url, cookies))
        after = rss_bytes(pid)
        direct, browsers = asyncio.run(listen(urls, running.url, cookies, seconds=SECONDS, sockets_each=SOCKETS_EACH))
    added: list[float] = []
    for heard in browsers:
        mine: Heard = {key: moment for key, moment in direct.items() if any(key[0] == other[0] for other in heard)}
        added += compare(mine, heard)[0]
    number = len(browsers)
    return [
        Result("browsers_connected", number, ""),
        Result("browsers_connect_seconds", round(seconds, 2), "s"),
        Result("browsers_memory_per_socket_kib", round((after - before) / number / 1024, 1), "KiB"),
        milliseconds("browsers_delivery_p50_ms", percentile(added, 0.5)),
        milliseconds("browsers_delivery_p99_ms", percentile(added, 0.99)),
        Result("browsers_deliveries_per_second", round(len(added) / SECONDS), "1/s"),
    ]
