"""A server as a whole: what a restart loses, and what is installed."""

from __future__ import annotations

import pytest
import websocket

from tests.simulator.driver import Driver, run
from tests.support.graphs import node, plain, text_to_image, words
from tests.support.simulator import RunningSimulator


def test_restart_loses_queue_history_cache_and_temp_but_no_outputs(driver: Driver, simulator: RunningSimulator) -> None:
    entry = driver.run({**plain(), "8": node("PreviewImage", images=["1", 0])})
    simulator.simulator.environment.step_seconds = 0.05
    running = driver.submit(text_to_image(steps=1000))
    waiting = driver.submit(words())
    driver.socket.read_until("progress", prompt_id=running)
    assert driver.http.post("/simulator/restart").status_code == 200
    with pytest.raises((websocket.WebSocketException, OSError)):
        while True:
            driver.socket.read()
    assert driver.remaining() == 0
    assert driver.http.get("/history").json() == {}
    assert driver.view(entry["outputs"]["9"]["images"][0]).status_code == 200
    assert driver.view(entry["outputs"]["8"]["images"][0]).status_code == 404
    with Driver(simulator.url) as after:
        nodes, entry = run(after, plain())
        assert nodes == ["1", "9"]
        assert entry["prompt"][0] == 0
        assert set(after.http.get("/history").json()).isdisjoint({running, waiting})
