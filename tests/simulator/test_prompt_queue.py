"""The order of prompts, the queue's list, and the history."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.driver import Driver, wait_until
from tests.support.graphs import plain, words
from tests.support.simulator import RunningSimulator


@pytest.fixture
def blocked(driver: Driver, simulator: RunningSimulator) -> str:
    """A prompt that was taken from the queue and stays there until `zombie` is off."""
    simulator.faults.zombie = True
    prompt_id = driver.submit(words())
    wait_until(lambda: driver.http.get("/queue").json()["queue_running"], "taking the prompt")
    return prompt_id


def order_of_runs(driver: Driver) -> list[str]:
    return [data["prompt_id"] for data in driver.socket.data("execution_start")]


def test_prompts_run_by_number_then_by_id(driver: Driver, simulator: RunningSimulator, blocked: str) -> None:
    for prompt_id, body in {
        "plain": {}, "b": {"number": 7}, "a": {"number": 7}, "front": {"front": True}, "first": {"front": True},
    }.items():  # fmt: skip
        driver.submit(words(prompt_id), prompt_id=prompt_id, **body)
    simulator.faults.zombie = False
    driver.socket.read_until("executing", node=None, prompt_id="b")
    assert order_of_runs(driver) == [blocked, "first", "front", "plain", "a", "b"]


def test_queue_lists_items_as_arrays_in_heap_order(driver: Driver, blocked: str) -> None:
    for number in (5, 4, 3):
        driver.submit(words(), prompt_id=str(number), number=number)
    queue = driver.http.get("/queue").json()
    (running,) = queue["queue_running"]
    assert running == [0, blocked, words(), {"client_id": driver.socket.client_id}, ["1"]]
    assert [item[1] for item in queue["queue_pending"]] == ["3", "5", "4"]
    assert driver.remaining() == 4


def test_delete_and_clear_take_only_waiting_prompts(driver: Driver, simulator: RunningSimulator, blocked: str) -> None:
    for prompt_id in "abc":
        driver.submit(words(prompt_id), prompt_id=prompt_id)
    assert driver.http.post("/queue", json={"delete": ["a", blocked, "unknown"]}).content == b""
    assert sorted(item[1] for item in driver.http.get("/queue").json()["queue_pending"]) == ["b", "c"]
    driver.http.post("/queue", json={"clear": True})
    simulator.faults.zombie = False
    driver.socket.read_until("executing", node=None, prompt_id=blocked)
    assert driver.remaining() == 0
    assert list(driver.http.get("/history").json()) == [blocked]
    assert driver.http.post("/queue").status_code == 500


def test_deleting_the_only_waiting_prompt_is_told_twice(driver: Driver, blocked: str) -> None:
    driver.submit(words(), prompt_id="a")
    driver.socket.read_until("status", status={"exec_info": {"queue_remaining": 2}})
    before = len(driver.socket.frames)
    driver.http.post("/queue", json={"delete": ["a"]})
    told = [driver.socket.read() for _ in range(2)]
    assert told == [{"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 1}}}}] * 2
    assert len(driver.socket.frames) == before + 2


def test_another_graph_with_the_same_number_and_id_is_an_error_but_queued(driver: Driver, blocked: str) -> None:
    assert driver.post(words("one"), prompt_id="a", number=5).status_code == 200
    assert driver.post(words("two"), prompt_id="a", number=5).status_code == 500
    assert driver.remaining() == 3


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "abcde"),
        ({"max_items": 2}, "de"),
        ({"max_items": 9}, "abcde"),
        ({"max_items": 2, "offset": 1}, "bc"),
        ({"offset": 3}, "de"),
        ({"max_items": 2, "offset": -1}, "de"),
    ],
)
def test_history_is_a_slice_oldest_first(driver: Driver, query: dict[str, Any], expected: str) -> None:
    for prompt_id in "abcde":
        driver.run(words(prompt_id), prompt_id=prompt_id)
    assert "".join(driver.http.get("/history", params=query).json()) == expected


def test_history_of_unknown_and_unfinished_prompts_is_empty(driver: Driver, blocked: str) -> None:
    for prompt_id in (blocked, "unknown"):
        response = driver.http.get(f"/history/{prompt_id}")
        assert (response.status_code, response.json()) == (200, {})
    assert driver.http.get("/history?max_items=x").status_code == 500


def test_history_can_be_deleted(driver: Driver) -> None:
    for prompt_id in "abc":
        driver.run(words(prompt_id), prompt_id=prompt_id)
    driver.http.post("/history", json={"delete": ["b", "unknown"]})
    assert list(driver.http.get("/history").json()) == ["a", "c"]
    driver.http.post("/history", json={"clear": True})
    assert driver.http.get("/history").json() == {}


def test_history_comes_after_success_and_before_the_end(driver: Driver, simulator: RunningSimulator) -> None:
    simulator.faults.history_delay = 0.2
    prompt_id = driver.submit(plain())
    driver.socket.read_until("execution_success")
    assert driver.http.get(f"/history/{prompt_id}").json() == {}
    assert driver.remaining() == 1
    driver.socket.read_until("executing", node=None)
    assert driver.history(prompt_id)["status"]["completed"] is True
