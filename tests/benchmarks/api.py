"""The API: accepting jobs, reading one, pages and searches among few and a million rows, and 500 event streams.

Web, relay and worker are processes on PostgreSQL and Redis. comfy-api-proxy, which keeps jobs in memory for one user,
answers the calls that it has beside it, with the same client in the same run.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import psycopg

from tests.benchmarks.common import (
    INPUTS,
    Result,
    add_users,
    cluster,
    graph,
    median,
    milliseconds,
    percentile,
    sessions,
)
from tests.benchmarks.proxy import running_proxy
from tests.support.processes import Cluster, add_server
from tests.support.simulator import simulator_process

JOBS, CLIENTS, READS = 400, 4, 300
FEW, MANY, PAGE = 1_000, 1_000_000, 50
STREAMS, STREAM_USERS = 500, 25
SMALL = {"JOBS": 3, "CLIENTS": 2, "READS": 6, "FEW": 5, "MANY": 10, "PAGE": 2, "STREAMS": 3, "STREAM_USERS": 2}
NO_MATCH = "zzyzx"
# What somebody has becomes a team's, row by row as it is, and a mate who made none of it looks.
MAKE_TEAM = """
from accounts.models import ApiKey, Membership, User, Workspace
owner = User.objects.get(email={owner!r})
team = Workspace.objects.personal_of(owner)
Workspace.objects.filter(pk=team.pk).update(person=None, name="team")
Workspace.objects.give_personal(owner)
mate = User.objects.create_user({mate!r}, None, plan=owner.plan)
Membership.objects.create(workspace=team, user=mate)
print(ApiKey.objects.issue(user=mate, name="bench", workspace=team)[1], owner.pk, mate.pk)
"""
# Copies of one job that was really run, a second apart from each other, all finished, each with a text of its own.
COPY = """
INSERT INTO generations_generation
SELECT copy.* FROM
  (SELECT gen_random_uuid() AS id, n FROM generate_series(1, %(number)s) n) made,
  generations_generation original,
  jsonb_populate_record(original, jsonb_build_object(
    'id', made.id, 'prompt_id', made.id, 'user_id', %(user)s::bigint, 'status', 'succeeded', 'server_id', NULL,
    'workspace_id', (SELECT id FROM accounts_workspace WHERE person_id = %(user)s::bigint),
    'text', (ARRAY['a red fox', 'an old lighthouse', 'portrait of a cat', 'dragons over the sea'])[1 + made.n %% 4]
      || ', masterpiece, ' || left(md5(made.n::text), 8),
    'tag', NULL, 'store_after', NULL, 'created_at', now() - made.n * interval '1 second', 'submitted_at', NULL,
    'started_at', now(), 'executed_at', now(), 'finished_at', now())) copy
WHERE original.id = (SELECT id FROM generations_generation ORDER BY created_at LIMIT 1)
"""


def _timed(number: int, call: Callable[[int], Any]) -> list[float]:
    seconds = []
    for each in range(number):
        begin = time.perf_counter()
        call(each)
        seconds.append(time.perf_counter() - begin)
    return seconds


def _accepted(post: Callable[[int], httpx.Response], first: int) -> tuple[list[float], float]:
    """(seconds each, jobs a second) of JOBS submissions by CLIENTS at once."""

    def one(seed: int) -> float:
        begin = time.perf_counter()
        response = post(seed)
        assert response.status_code == 201, response.text
        return time.perf_counter() - begin

    begin = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        seconds = list(pool.map(one, range(first, first + JOBS)))
    return seconds, JOBS / (time.perf_counter() - begin)


def _client(url: str, key: str = "") -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=f"{url}/api/v2/", headers=headers, timeout=120)


def _accepting(ours: httpx.Client, theirs: httpx.Client) -> list[Result]:
    def post(seed: int) -> httpx.Response:
        return ours.post("templates/text-to-image/jobs", json={"inputs": {**INPUTS, "seed": seed}})

    def raw(client: httpx.Client) -> Callable[[int], httpx.Response]:
        return lambda seed: client.post("jobs", json={"workflow": graph(seed)})

    found: dict[str, tuple[list[float], float]] = {}
    for name, call, first in (
        ("template", post, 10_000), ("raw", raw(ours), 20_000), ("proxy", raw(theirs), 30_000),
    ):  # fmt: skip
        for seed in range(10):
            call(first + 5_000 + seed)
        found[name] = _accepted(call, first)
    results = []
    for name, (seconds, rate) in found.items():
        results += [
            milliseconds(f"post_job_{name}_p50_ms", percentile(seconds, 0.5)),
            milliseconds(f"post_job_{name}_p99_ms", percentile(seconds, 0.99)),
            Result(f"post_job_{name}_per_second", round(rate, 1), "1/s"),
        ]
    ratio = found["raw"][1] / found["proxy"][1]
    return [*results, Result("post_job_raw_rate_vs_proxy", round(ratio, 2), "x")]


def _reading(ours: httpx.Client, theirs: httpx.Client) -> list[Result]:
    mine, its = (
        client.post("jobs", json={"workflow": graph(1)}).raise_for_status().json()["id"] for client in (ours, theirs)
    )
    seconds = _timed(READS, lambda _: ours.get(f"jobs/{mine}").raise_for_status())
    others = _timed(READS, lambda _: theirs.get(f"jobs/{its}").raise_for_status())
    return [
        milliseconds("get_job_p50_ms", median(seconds)),
        milliseconds("get_job_p99_ms", percentile(seconds, 0.99)),
        milliseconds("get_job_proxy_p50_ms", median(others)),
    ]


def _listing(running: Cluster, few: httpx.Client, many: httpx.Client) -> list[Result]:
    """A page of one user with FEW jobs and of another with MANY, turn by turn."""
    with psycopg.connect(running.env["DATABASE_URL"], autocommit=True) as database:
        for email, number in (("few@example.com", FEW), ("many@example.com", MANY)):
            row = database.execute("SELECT id FROM accounts_user WHERE email = %s", (email,)).fetchone()
            assert row is not None
            database.execute(COPY, {"user": row[0], "number": number})
        database.execute("VACUUM ANALYZE generations_generation")

    def page(client: httpx.Client, *, is_full: bool = True, **query: Any) -> str:
        found = client.get("jobs", params={"limit": PAGE, **query}).raise_for_status().json()
        assert len(found["jobs"]) == PAGE or not is_full
        return found["next_cursor"] or ""

    clients = {"few": few, "many": many}
    deep = {"few": page(few), "many": _deep_cursor(running)}
    queries: dict[str, Callable[[str], dict[str, Any]]] = {
        "list": lambda _: {},
        "list_by_status": lambda _: {"status": "succeeded"},
        "list_deep": lambda name: {"cursor": deep[name], "is_full": False},
        "search": lambda _: {"q": NO_MATCH, "is_full": False},
        "search_short": lambda _: {"q": NO_MATCH[:2], "is_full": False},
    }
    seconds: dict[tuple[str, str], list[float]] = {(kind, name): [] for kind in queries for name in clients}
    for turn in range(20 + READS // 3):
        for kind, name in seconds:
            query = queries[kind](name)
            taken = _timed(1, lambda _, name=name, query=query: page(clients[name], **query))
            seconds[kind, name] += taken if turn >= 20 else []
    medians = {each: median(values) for each, values in seconds.items()}
    return [
        milliseconds("list_1k_p50_ms", medians["list", "few"]),
        milliseconds("list_1m_p50_ms", medians["list", "many"]),
        milliseconds("search_1k_p50_ms", medians["search", "few"]),
        milliseconds("search_1m_p50_ms", medians["search", "many"]),
        *(Result(f"{kind}_ratio_1m", round(medians[kind, "many"] / medians[kind, "few"], 2), "x") for kind in queries),
    ]


def _teams(running: Cluster) -> list[Result]:
    """What `_listing` left, as the history of two teams: by a session on the page, of one member, and by a key."""
    calls: dict[tuple[str, str], Callable[[int], Any]] = {}
    with ExitStack() as stack:
        for name in ("few", "many"):
            owner, mate = f"{name}@example.com", f"mate-{name}@example.com"
            code = MAKE_TEAM.format(owner=owner, mate=mate)
            key, made_all, made_none = running.manage("shell", "--verbosity", "0", "-c", code).split()
            (session,) = sessions(running, [mate])
            pages = stack.enter_context(httpx.Client(cookies={"sessionid": session}, timeout=120))
            api = stack.enter_context(_client(running.url, key))
            found = api.get("jobs", params={"limit": PAGE}).raise_for_status().json()["jobs"]
            assert len(found) == min(PAGE, FEW)
            history = f"{running.url}/generations/"
            assert found[0]["id"] in pages.get(history).raise_for_status().text
            for kind, call in {
                "history": lambda _, pages=pages, url=history: pages.get(url),
                "member": lambda _, pages=pages, url=f"{history}?member={made_all}": pages.get(url),
                "idle_member": lambda _, pages=pages, url=f"{history}?member={made_none}": pages.get(url),
                "list": lambda _, api=api: api.get("jobs", params={"limit": PAGE}),
            }.items():
                calls[kind, name] = call
        seconds: dict[tuple[str, str], list[float]] = {each: [] for each in calls}
        for turn in range(20 + READS // 3):
            for each, call in calls.items():
                taken = _timed(1, lambda number, call=call: call(number).raise_for_status())
                seconds[each] += taken if turn >= 20 else []
    medians = {each: median(values) for each, values in seconds.items()}
    return [
        milliseconds("team_history_1k_p50_ms", medians["history", "few"]),
        milliseconds("team_history_1m_p50_ms", medians["history", "many"]),
        *(
            Result(f"team_{kind}_ratio_1m", round(medians[kind, "many"] / medians[kind, "few"], 2), "x")
            for kind, name in calls
            if name == "few"
        ),
    ]


def _deep_cursor(running: Cluster) -> str:
    """Where the last tenth of the many jobs begins."""
    query = (
        "SELECT g.created_at, g.id FROM generations_generation g JOIN accounts_user u ON u.id = user_id"
        " WHERE u.email = 'many@example.com' ORDER BY g.created_at, g.id OFFSET %s LIMIT 1"
    )
    with psycopg.connect(running.env["DATABASE_URL"], autocommit=True) as database:
        row = database.execute(query, (MANY // 10,)).fetchone()
    assert row is not None
    created_at, pk = row
    return base64.urlsafe_b64encode(f"{created_at.isoformat()},{pk}".encode()).decode().rstrip("=")


def _threads_and_memory(running: Cluster) -> tuple[int, int]:
    """(threads, KiB) of the web process."""
    lines = Path(f"/proc/{running.processes['web'].pid}/status").read_text().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("Threads", "VmRSS"))}
    return int(found["Threads"]), int(found["VmRSS"])


async def _stream_all(running: Cluster, keys: list[str], jobs: list[str]) -> tuple[float, list[float], int, int]:
    """(seconds until all have their state, seconds each from then to their end, threads, memory while all are open)."""
    ended: list[float] = []
    opened = asyncio.Event()
    missing = len(jobs)
    door = asyncio.Semaphore(32)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def follow(key: str, job: str) -> None:
            nonlocal missing
            headers = {"Authorization": f"Bearer {key}"}
            url = f"{running.url}/api/v2/jobs/{job}/events"
            async with door:
                response = await session.get(url, headers=headers, timeout=aiohttp.ClientTimeout(total=None))
                assert response.status == 200, await response.text()
                await response.content.readuntil(b"\n\n")
            missing -= 1
            if not missing:
                opened.set()
            async for _line in response.content:
                pass
            ended.append(time.perf_counter())

        begin = time.perf_counter()
        tasks = [asyncio.create_task(follow(key, job)) for key, job in zip(keys, jobs, strict=True)]
        done = asyncio.gather(*tasks)
        await asyncio.wait({asyncio.ensure_future(opened.wait()), done}, return_when=asyncio.FIRST_COMPLETED)
        seconds = time.perf_counter() - begin
        threads, memory = _threads_and_memory(running)
        canceled = time.perf_counter()
        for key in dict.fromkeys(keys):
            mine = [job for other, job in zip(keys, jobs, strict=True) if other == key]
            body = {"action": "cancel", "ids": mine}
            headers = {"Authorization": f"Bearer {key}"}
            async with session.post(f"{running.url}/api/v2/jobs/bulk", json=body, headers=headers) as response:
                assert response.status == 200
        await done
    return seconds, [moment - canceled for moment in ended], threads, memory


def _streaming(running: Cluster, keys: list[str]) -> list[Result]:
    """Jobs wait in the queue (no relay runs any more), each followed by a stream of its own; then all are canceled."""
    jobs, owners = [], []
    for number in range(STREAMS):
        key = keys[number % len(keys)]
        with _client(running.url, key) as client:
            body = {"inputs": {**INPUTS, "seed": 100_000 + number}}
            jobs.append(str(client.post("templates/text-to-image/jobs", json=body).raise_for_status().json()["id"]))
        owners.append(key)
    threads, memory = _threads_and_memory(running)
    seconds, ends, threads_open, memory_open = asyncio.run(_stream_all(running, owners, jobs))
    return [
        Result("sse_streams", len(ends), ""),
        Result("sse_open_all_seconds", round(seconds, 2), "s"),
        Result("sse_threads_added", threads_open - threads, ""),
        Result("sse_memory_per_stream_kib", round((memory_open - memory) / STREAMS, 1), "KiB"),
        Result("sse_all_ended_seconds", round(max(ends), 2), "s"),
    ]


def measure() -> list[Result]:
    """All numbers."""
    with (
        simulator_process("--step-seconds", "0", "--preview-method", "none") as (url, _),
        cluster() as running,
        running_proxy(url) as proxy_url,
    ):
        add_server(running.env["DATABASE_URL"], "simulator", url)
        emails = ["admin@example.com", "few@example.com", "many@example.com"]
        emails += [f"stream{number}@example.com" for number in range(STREAM_USERS)]
        key, few, many, *others = add_users(running, emails)
        make_admin = (
            "from accounts.models import User; User.objects.filter(email='admin@example.com').update(is_superuser=True)"
        )
        running.manage("shell", "--verbosity", "0", "-c", make_admin)
        with (
            _client(running.url, key) as ours,
            _client(proxy_url) as theirs,
            _client(running.url, few) as few_client,
            _client(running.url, many) as many_client,
        ):
            results = _accepting(ours, theirs)
            results += _reading(ours, theirs)
            results += _listing(running, few_client, many_client)
            results += _teams(running)
        return results + _streaming(running, others)
