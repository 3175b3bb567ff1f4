"""One process on SQLite beside a plain script, against the same simulator: what comfysaas costs on a laptop."""

from __future__ import annotations

import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks.common import INPUTS, Result, median, milliseconds, plain_script
from tests.support.processes import Standalone
from tests.support.simulator import simulator_process

RUNS, WARM_UP, FLOOD = 60, 5, 150
SMALL = {"RUNS": 2, "WARM_UP": 1, "FLOOD": 2}
PASSWORD = "not used by the benchmark"


class Api:
    """comfysaas, over HTTP."""

    def __init__(self, url: str, key: str) -> None:
        self._http = httpx.Client(base_url=f"{url}/api/v2/", headers={"Authorization": f"Bearer {key}"}, timeout=30)

    def submit(self, seed: int) -> str:
        """A job's id."""
        response = self._http.post("templates/text-to-image/jobs", json={"inputs": {**INPUTS, "seed": seed}})
        response.raise_for_status()
        return str(response.json()["id"])

    def done(self, job: str) -> dict[str, Any]:
        """The job, once it succeeded."""
        while True:
            body: dict[str, Any] = self._http.get(f"jobs/{job}").json()
            if body["status"] == "succeeded":
                return body
            assert body["status"] in {"queued", "running"}, body
            time.sleep(0.05)  # the times are the server's: polling faster would only slow it down

    def close(self) -> None:
        """End the connections."""
        self._http.close()


def durations(jobs: list[dict[str, Any]]) -> list[float]:
    """Seconds from durable to stored, by the server's own clock: polling does not add to it."""
    return [(_moment(job["completed_at"]) - _moment(job["created_at"])).total_seconds() for job in jobs]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def measure() -> list[Result]:
    """All numbers."""
    with (
        tempfile.TemporaryDirectory() as data_dir,
        simulator_process("--step-seconds", "0", "--preview-method", "none") as (url, _),
    ):
        plain = median(plain_script(url, WARM_UP + RUNS)[WARM_UP:])
        server = Standalone(Path(data_dir), COMFYUI_URLS=url, DEMO_PASSWORD=PASSWORD, ADMIN_PASSWORD=PASSWORD)
        api = Api(server.url, server.manage("create_api_key", "demo@example.com"))
        try:
            ours = median(durations([api.done(api.submit(10_000 + seed)) for seed in range(WARM_UP + RUNS)])[WARM_UP:])
            flood = [api.done(job) for job in [api.submit(20_000 + seed) for seed in range(FLOOD)]]
        finally:
            api.close()
            server.stop()
    first = min(_moment(job["created_at"]) for job in flood)
    last = max(_moment(job["completed_at"]) for job in flood)
    rate = FLOOD / (last - first).total_seconds()
    return [
        milliseconds("plain_script_p50_ms", plain),
        milliseconds("generation_p50_ms", ours),
        milliseconds("overhead_p50_ms", ours - plain),
        Result("overhead_ratio_vs_script", round(ours / plain, 2), "x"),
        Result("generations_per_second", round(rate, 1), "1/s"),
        Result("throughput_ratio_vs_script", round(rate * plain, 2), "x"),
    ]
