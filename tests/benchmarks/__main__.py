"""`make bench`: what comfysaas costs on top of a plain script, against the same simulator in the same run.

Prints a table and writes build/bench.json, a list of {"name", "value", "unit"}.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from generations.comfy.client import ComfyClient
from generations.comfy.listener import Connected, Listener
from generations.comfy.messages import Executing
from generations.comfy.outputs import collect
from tests.support.processes import ROOT, Standalone
from tests.support.simulator import simulator_process

RUNS = 60
WARM_UP = 5
FLOOD = 200
INPUTS = {"prompt": "a fox", "width": 64, "height": 64, "steps": 1, "count": 1}
DEMO_PASSWORD = "not used by the benchmark"


def graph(seed: int) -> dict[str, Any]:
    """The starter's graph with those inputs."""
    package = json.loads((ROOT / "generations" / "starters" / "text-to-image.json").read_text())
    made: dict[str, Any] = package["graph"]
    made["3"]["inputs"] |= {"seed": seed, "steps": INPUTS["steps"]}
    made["5"]["inputs"] |= {"width": INPUTS["width"], "height": INPUTS["height"], "batch_size": 1}
    made["6"]["inputs"]["text"] = INPUTS["prompt"]
    return made


def plain_script(url: str, runs: int) -> list[float]:
    """Seconds each: websocket, POST /prompt, wait, GET /history, GET /view. What a developer writes first."""
    seconds: list[float] = []
    client_id = uuid.uuid4().hex
    with ComfyClient(url) as client:
        listener = Listener(url, client_id)
        events = iter(listener)
        while not isinstance(next(events), Connected):
            pass
        for seed in range(runs):
            begin = time.perf_counter()
            prompt_id = str(uuid.uuid4())
            client.submit(graph(seed), client_id=client_id, prompt_id=prompt_id)
            for event in events:
                if isinstance(event, Executing) and event.is_end and event.prompt_id == prompt_id:
                    break
            entry = client.history(prompt_id)
            assert entry is not None
            for item in collect(entry.outputs):
                assert item.file is not None
                with client.view(item.file) as stream:
                    assert sum(len(chunk) for chunk in stream.iter_bytes(2**20)) > 0
            seconds.append(time.perf_counter() - begin)
        listener.stop()
    return seconds


class Api:
    """comfysaas, over HTTP."""

    def __init__(self, server: Standalone) -> None:
        key = server.manage("create_api_key", "demo@example.com")
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=f"{server.url}/api/v2/", headers=headers, timeout=30)

    def submit(self, seed: int) -> str:
        response = self._http.post("templates/text-to-image/jobs", json={"inputs": {**INPUTS, "seed": seed}})
        response.raise_for_status()
        return str(response.json()["id"])

    def done(self, job: str) -> dict[str, Any]:
        while True:
            body: dict[str, Any] = self._http.get(f"jobs/{job}").json()
            if body["status"] == "succeeded":
                return body
            assert body["status"] in {"queued", "running"}, body
            time.sleep(0.05)  # the times are the server's: polling faster would only slow it down

    def close(self) -> None:
        self._http.close()


def durations(jobs: list[dict[str, Any]]) -> list[float]:
    """Seconds from durable to stored, by the server's own clock: polling does not add to it."""
    return [(_moment(job["completed_at"]) - _moment(job["created_at"])).total_seconds() for job in jobs]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def measure(say: Callable[[str], Any]) -> list[dict[str, Any]]:
    """All numbers."""
    with (
        tempfile.TemporaryDirectory() as data_dir,
        simulator_process("--step-seconds", "0", "--preview-method", "none") as (url, _),
    ):
        say("plain script …")
        plain = plain_script(url, WARM_UP + RUNS)[WARM_UP:]
        server = Standalone(Path(data_dir), COMFYUI_URLS=url, DEMO_PASSWORD=DEMO_PASSWORD, ADMIN_PASSWORD=DEMO_PASSWORD)
        api = Api(server)
        try:
            say("one after the other …")
            ours = durations([api.done(api.submit(10_000 + seed)) for seed in range(WARM_UP + RUNS)])[WARM_UP:]
            say("a flood …")
            flood = [api.done(job) for job in [api.submit(20_000 + seed) for seed in range(FLOOD)]]
        finally:
            api.close()
            server.process.stop()
    first = min(_moment(job["created_at"]) for job in flood)
    last = max(_moment(job["completed_at"]) for job in flood)
    plain_p50, ours_p50 = statistics.median(plain), statistics.median(ours)
    rate = FLOOD / (last - first).total_seconds()
    return [
        {"name": "plain_script_p50_ms", "value": round(plain_p50 * 1000, 1), "unit": "ms"},
        {"name": "generation_p50_ms", "value": round(ours_p50 * 1000, 1), "unit": "ms"},
        {"name": "overhead_p50_ms", "value": round((ours_p50 - plain_p50) * 1000, 1), "unit": "ms"},
        {"name": "overhead_ratio_vs_script", "value": round(ours_p50 / plain_p50, 2), "unit": "x"},
        {"name": "generations_per_second", "value": round(rate, 1), "unit": "1/s"},
        {"name": "throughput_ratio_vs_script", "value": round(rate * plain_p50, 2), "unit": "x"},
    ]


def main() -> None:
    """Measure, print, write."""
    results = measure(lambda text: sys.stderr.write(f"{text}\n"))
    width = max(len(result["name"]) for result in results)
    for result in results:
        sys.stdout.write(f"{result['name']:<{width}}  {result['value']:>10} {result['unit']}\n")
    path = ROOT / "build" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
