"""How much later a browser hears of progress than a socket at ComfyUI itself does, on the Redis channel layer.

Web and relay are processes of their own. PROMPTS generations report RATE steps a second each, 1,000 events a second
in all, which is slower for each than the relay's coalescing. One process listens to both ends, by one clock.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import aiohttp
import httpx

from tests.benchmarks.common import (
    INPUTS,
    Result,
    add_users,
    cluster,
    milliseconds,
    percentile,
    sessions,
)
from tests.support.processes import Cluster, Process, add_server, free_port
from tests.support.waiting import eventually

PROMPTS, RATE, USERS, SECONDS = 125, 8.0, 25, 15.0
WARM_UP_SECONDS, QUIET_SECONDS = 5.0, 2.0
SERVERS = 2
SMALL = {"PROMPTS": 4, "USERS": 2, "SECONDS": 1.0, "WARM_UP_SECONDS": 0.5, "QUIET_SECONDS": 0.5}

Heard = dict[tuple[str, int], float]


@contextmanager
def fakes(number: int, rate: float) -> Iterator[list[str]]:
    """Addresses of so many talking servers."""
    with ExitStack() as stack:
        urls = []
        for _ in range(number):
            port = free_port()
            process = Process("-m", "tests.benchmarks.fake", str(port), str(rate), env={})
            stack.callback(process.kill)
            urls.append(f"http://127.0.0.1:{port}")
        for url in urls:
            eventually(lambda url=url: _answers(url), what="the talking server")
        yield urls


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/queue", timeout=1).status_code == 200
    except httpx.TransportError:
        return False


def submit_all(running: Cluster, keys: list[str], number: int) -> None:
    """`number` generations, the users in turn."""
    clients = [
        httpx.Client(base_url=f"{running.url}/api/v2/", headers={"Authorization": f"Bearer {key}"}, timeout=30)
        for key in keys
    ]
    for index in range(number):
        response = clients[index % len(keys)].post("templates/text-to-image/jobs", json={"inputs": INPUTS})
        response.raise_for_status()
    for client in clients:
        client.close()


async def listen(
    urls: list[str], web: str, cookies: list[str], *, seconds: float, sockets_each: int = 1
) -> tuple[Heard, list[Heard]]:
    """What is heard at the servers, and at each browser socket, in the time after the warm-up."""
    direct: Heard = {}
    browsers: list[Heard] = [{} for _ in range(len(cookies) * sockets_each)]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        # Each is read from the moment it is open: who does not read is taken for dead and dropped.
        tasks = []
        for url in urls:
            at_server = await session.ws_connect(f"{url}/api/ws?clientId=bench")
            tasks.append(asyncio.create_task(_hear_server(at_server, direct)))
        for number, heard in enumerate(browsers):
            headers = {"Cookie": f"sessionid={cookies[number // sockets_each]}", "Origin": web}
            browser = await session.ws_connect(f"{web}/ws/generations/", headers=headers, max_msg_size=0)
            tasks.append(asyncio.create_task(_hear_browser(browser, heard)))
        await asyncio.sleep(WARM_UP_SECONDS)
        for heard in (direct, *browsers):
            heard.clear()
        await asyncio.sleep(seconds)
        for url in urls:
            async with session.post(f"{url}/quiet"):
                pass
        await asyncio.sleep(QUIET_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return direct, browsers


async def _hear_server(socket: aiohttp.ClientWebSocketResponse, heard: Heard) -> None:
    async for message in socket:
        event = message.json()
        if event["type"] == "progress":
            heard[event["data"]["prompt_id"], event["data"]["value"]] = time.perf_counter()


async def _hear_browser(socket: aiohttp.ClientWebSocketResponse, heard: Heard) -> None:
    async for message in socket:
        event = message.json()
        if event["type"] == "progress" and event["progress"]["step"] is not None:
            heard[event["prompt_id"], event["progress"]["step"]] = time.perf_counter()


def compare(direct: Heard, browser: Heard) -> tuple[list[float], int, int]:
    """(seconds added to each event, events replaced by a later one, generations whose last event never came)."""
    added = [moment - direct[key] for key, moment in browser.items() if key in direct]
    last: dict[str, int] = {}
    for prompt_id, step in direct:
        last[prompt_id] = max(last.get(prompt_id, 0), step)
    newest: dict[str, int] = {}
    for prompt_id, step in browser:
        newest[prompt_id] = max(newest.get(prompt_id, 0), step)
    lost = sum(1 for prompt_id, step in last.items() if newest.get(prompt_id, 0) < step)
    return added, len(direct) - len(added), lost


def measure() -> list[Result]:
    """All numbers."""
    with fakes(SERVERS, RATE) as urls, cluster() as running:
        for number, url in enumerate(urls):
            add_server(running.env["DATABASE_URL"], f"fake {number}", url, slots=100)
        emails = [f"bench{number}@example.com" for number in range(USERS)]
        keys = add_users(running, emails)
        cookies = sessions(running, emails)
        running.start("relay")
        submit_all(running, keys, PROMPTS)
        eventually(lambda: _submitted(urls) >= PROMPTS, seconds=60, what="all to be running")
        direct, browsers = asyncio.run(listen(urls, running.url, cookies, seconds=SECONDS))
    together: Heard = {key: moment for heard in browsers for key, moment in heard.items()}
    added, replaced, lost = compare(direct, together)
    sys.stderr.write(f"  {len(direct) / SECONDS:.0f} events/s, {replaced} of {len(direct)} replaced by a later one\n")
    return [
        milliseconds("relay_added_latency_p50_ms", percentile(added, 0.5)),
        milliseconds("relay_added_latency_p99_ms", percentile(added, 0.99)),
        Result("relay_lost", lost, ""),
        Result("relay_events_per_second", round(len(direct) / SECONDS), "1/s"),
        Result("relay_replaced_share", round(replaced / max(1, len(direct)), 4), ""),
    ]


def _submitted(urls: list[str]) -> int:
    return sum(len(httpx.get(f"{url}/api/queue").json()["queue_running"]) for url in urls)
