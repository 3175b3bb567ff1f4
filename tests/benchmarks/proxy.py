"""Beside comfy-api-proxy, Comfy-Org's own stateless proxy: the same simulator, the same jobs, the same client code.

Web, relay and worker are processes on PostgreSQL and Redis, with results in a folder. A generation counts from the
POST until the client is told that it succeeded (by our websocket, by the proxy's event stream): for us that means
stored and owned by a user, for the proxy that ComfyUI has it. Overhead is that time less what ComfyUI itself takes
from POST /prompt to its last event.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import websocket

from generations.comfy.client import ComfyClient
from generations.comfy.listener import Connected, Listener
from generations.comfy.messages import Executing
from tests.benchmarks.common import (
    INPUTS,
    Result,
    add_user,
    cluster,
    graph,
    median,
    milliseconds,
    sessions,
)
from tests.support.processes import add_server, free_port
from tests.support.simulator import simulator_process
from tests.support.waiting import eventually

RUNS, WARM_UP, FLOOD, CLIENTS = 60, 10, 600, 4  # a flood so long that its first and last second do not count
SMALL = {"RUNS": 2, "WARM_UP": 1, "FLOOD": 2}
Body = Callable[[int], tuple[str, dict[str, Any]]]
Heard = Callable[[str], str]  # waits for a job's end; its last status


class Side:
    """One of the two, over HTTP. `body` makes (path, JSON) of a submission, `listen` what waits for an end."""

    def __init__(
        self, url: str, body: Body, headers: dict[str, str], listen: Callable[[Side], AbstractContextManager[Heard]]
    ) -> None:
        self.http = httpx.Client(base_url=f"{url}/api/v2/", headers=headers, timeout=60)
        self._body = body
        self._listen = listen
        self.failures = 0

    def submit(self, seed: int) -> str:
        """The job's id."""
        path, body = self._body(seed)
        response = self.http.post(path, json=body)
        assert response.status_code in {200, 201, 202}, response.text
        return str(response.json()["id"])

    def one_by_one(self, seeds: range) -> list[float]:
        """Seconds each, of those that succeeded."""
        seconds = []
        with self._listen(self) as heard:
            for seed in seeds:
                begin = time.perf_counter()
                if heard(self.submit(seed)) == "succeeded":
                    seconds.append(time.perf_counter() - begin)
                else:
                    self.failures += 1
        return seconds

    def flood(self, seeds: range) -> float:
        """Jobs a second, when all are submitted at once by a few clients."""
        begin = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            jobs = list(pool.map(self.submit, seeds))
        for job in jobs:
            while (status := self.http.get(f"jobs/{job}").json()["status"]) in {"queued", "running"}:
                time.sleep(0.1)
            self.failures += status != "succeeded"
        return len(seeds) / (time.perf_counter() - begin)


@contextmanager
def by_websocket(url: str, session: str) -> Iterator[Heard]:
    """Our way: one socket tells of everything of this user."""
    address = url.replace("http", "ws") + "/ws/generations/"
    ended: dict[str, str] = {}
    with closing(websocket.create_connection(address, cookie=f"sessionid={session}", origin=url)) as socket:

        def heard(job: str) -> str:
            while job not in ended:
                event = json.loads(socket.recv())
                state = event.get("generation", event)
                if state.get("is_terminal"):
                    ended[event["prompt_id"]] = state["status"]
            return ended.pop(job)

        yield heard


@contextmanager
def by_event_stream(side: Side) -> Iterator[Heard]:
    """Their way: a stream for each job, which ends with it."""

    def heard(job: str) -> str:
        status = "queued"
        with side.http.stream("GET", f"jobs/{job}/events") as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    status = json.loads(line[5:]).get("status") or status
                if status in {"succeeded", "failed", "expired", "canceled"}:
                    return status
        return str(side.http.get(f"jobs/{job}").json()["status"])

    yield heard


def comfyui_alone(url: str, runs: int) -> list[float]:
    """Seconds from POST /prompt to its last event."""
    seconds, client_id = [], uuid.uuid4().hex
    with ComfyClient(url) as client:
        listener = Listener(url, client_id)
        events = iter(listener)
        while not isinstance(next(events), Connected):
            pass
        for seed in range(runs):
            begin = time.perf_counter()
            prompt_id = str(uuid.uuid4())
            client.submit(graph(50_000 + seed), client_id=client_id, prompt_id=prompt_id)
            for event in events:
                if isinstance(event, Executing) and event.is_end and event.prompt_id == prompt_id:
                    break
            seconds.append(time.perf_counter() - begin)
        listener.stop()
    return seconds


@contextmanager
def running_proxy(comfyui_url: str) -> Iterator[str]:
    """comfy-api-proxy as a process of its own. Yields its address."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("comfy-api-proxy")), "run"]
    options = ["--comfyui", comfyui_url, "--port", str(port)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _answers(url), seconds=30, what="comfy-api-proxy")
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=1)
    except httpx.TransportError:
        return False
    return True


def measure() -> list[Result]:
    """All numbers."""
    with (
        simulator_process("--step-seconds", "0", "--preview-method", "none") as (url, _),
        cluster() as running,
        running_proxy(url) as proxy_url,
    ):
        add_server(running.env["DATABASE_URL"], "simulator", url)
        key = add_user(running, "bench@example.com")
        running.start("relay")
        running.start("worker")
        (session,) = sessions(running, ["bench@example.com"])
        ours = Side(
            running.url,
            lambda seed: ("templates/text-to-image/jobs", {"inputs": {**INPUTS, "seed": seed}}),
            {"Authorization": f"Bearer {key}"},
            lambda _: by_websocket(running.url, session),
        )
        theirs = Side(proxy_url, lambda seed: ("jobs", {"workflow": graph(seed)}), {}, by_event_stream)
        with ours.http, theirs.http:
            for side in (ours, theirs):
                side.one_by_one(range(WARM_UP))
                side.failures = 0
            alone = median(comfyui_alone(url, WARM_UP + RUNS)[WARM_UP:])
            our_seconds = median(ours.one_by_one(range(10_000, 10_000 + RUNS)))
            their_seconds = median(theirs.one_by_one(range(20_000, 20_000 + RUNS)))
            our_rate = ours.flood(range(30_000, 30_000 + FLOOD))
            their_rate = theirs.flood(range(40_000, 40_000 + FLOOD))
    return [
        milliseconds("comfyui_alone_p50_ms", alone),
        milliseconds("our_generation_p50_ms", our_seconds),
        milliseconds("proxy_generation_p50_ms", their_seconds),
        Result("overhead_ratio_vs_proxy", round((our_seconds - alone) / (their_seconds - alone), 2), "x"),
        Result("our_generations_per_second", round(our_rate, 1), "1/s"),
        Result("proxy_generations_per_second", round(their_rate, 1), "1/s"),
        Result("throughput_ratio_vs_proxy", round(our_rate / their_rate, 2), "x"),
        Result("our_failures", ours.failures, ""),
        Result("proxy_failures", theirs.failures, ""),
    ]
