"""Faults on demand."""

from __future__ import annotations

import math
import time

import httpx
import pytest
import websocket

from generations.simulator.faults import Faults
from tests.simulator.driver import Driver, kind_of, wait_until
from tests.support.graphs import node, plain, text_to_image, words
from tests.support.simulator import RunningSimulator
from tests.support.waiting import patient

IMAGE = {"filename": "x_00001_.png", "subfolder": "", "type": "output"}


def test_faults_are_set_and_read_over_http(driver: Driver, simulator: RunningSimulator) -> None:
    body = driver.http.post("/simulator/faults", json={"view_404": 2, "node_error": {"KSampler": "boom"}}).json()
    assert (body["view_404"], body["node_error"]) == (2, {"KSampler": "boom"})
    assert driver.http.get("/simulator/faults").json() == simulator.faults.state()
    simulator.faults.clear()
    assert simulator.faults.state() == Faults().state()


@pytest.mark.parametrize(
    "wrong", [{"none": 1}, {"zombie": 1}, {"view_404": "x"}, {"history_delay": "x"}, {"node_error": {"A": 1}}]
)
def test_wrong_faults_are_refused_as_a_whole(driver: Driver, wrong: dict[str, object]) -> None:
    response = driver.http.post("/simulator/faults", json={"big_frame": True, **wrong})
    assert response.status_code == 400
    assert next(iter(wrong)) in response.text
    assert driver.http.get("/simulator/faults").json()["big_frame"] is False


def test_drop_sockets_cuts_them_off(driver: Driver) -> None:
    driver.http.post("/simulator/faults", json={"drop_sockets": True})
    with pytest.raises((websocket.WebSocketException, OSError)):
        driver.socket.read()
    assert driver.connect(driver.socket.client_id).kinds() == ["status"]


def test_half_open_socket_stays_open_and_hears_nothing_not_even_a_pong(
    driver: Driver, simulator: RunningSimulator
) -> None:
    simulator.faults.set(half_open=True)
    other = driver.connect()
    driver.socket.raw.ping()
    driver.submit(words(), client_id=other.client_id)
    other.read_until("executing", node=None)
    driver.socket.raw.settimeout(0.2)
    with pytest.raises(websocket.WebSocketTimeoutException):
        driver.socket.raw.recv_data(control_frame=True)


def test_zombie_takes_prompts_and_runs_nothing_until_it_is_over(driver: Driver, simulator: RunningSimulator) -> None:
    simulator.faults.zombie = True
    prompt_id = driver.submit(words())
    wait_until(lambda: driver.http.get("/queue").json()["queue_running"], "taking the prompt")
    assert "execution_start" not in driver.socket.kinds()
    simulator.faults.zombie = False
    driver.socket.read_until("executing", node=None, prompt_id=prompt_id)


def test_refused_and_unanswered_prompts(driver: Driver, simulator: RunningSimulator) -> None:
    simulator.faults.set(refuse_prompts=1, close_prompts=1)
    assert driver.post(plain()).status_code == 503
    with pytest.raises(httpx.TransportError):
        driver.post(plain())
    assert driver.http.get("/history").json() == {}
    assert driver.post(plain()).status_code == 200


def test_prompt_runs_although_its_post_is_never_answered(driver: Driver, simulator: RunningSimulator) -> None:
    simulator.faults.post_timeout = 1
    body = {"prompt": words(), "prompt_id": "lost", "client_id": driver.socket.client_id}
    with pytest.raises(httpx.ReadTimeout):
        driver.http.post("/prompt", json=body, timeout=httpx.Timeout(patient(10), read=0.1))
    driver.socket.read_until("executing", node=None, prompt_id="lost")
    assert driver.history("lost")["status"]["completed"]


def test_view_faults_last_as_often_as_told(driver: Driver, simulator: RunningSimulator) -> None:
    driver.run(plain(size=64))
    simulator.faults.set(view_404=1, view_error=1, view_truncate=1)
    assert driver.view(IMAGE).status_code == 404
    assert driver.view(IMAGE).status_code == 500
    with pytest.raises(httpx.RemoteProtocolError):
        driver.view(IMAGE)
    assert driver.view(IMAGE).content == (simulator.data_dir / "output" / "x_00001_.png").read_bytes()


def test_upload_error(driver: Driver, simulator: RunningSimulator) -> None:
    simulator.faults.upload_error = 1
    statuses = [driver.http.post("/upload/image", files={"image": ("a.png", b"x")}).status_code for _ in range(2)]
    assert statuses == [500, 200]


def test_node_error_and_out_of_memory(driver: Driver, simulator: RunningSimulator) -> None:
    simulator.faults.node_error = {"EmptyImage": "boom"}
    driver.run(plain())
    simulator.faults.set(node_error={}, oom={"EmptyImage": ""})
    driver.run(plain())
    boom, oom = driver.socket.data("execution_error")
    assert (boom["exception_type"], boom["exception_message"]) == ("RuntimeError", "boom\n")
    assert oom["exception_type"] == "torch.OutOfMemoryError"
    assert oom["exception_message"].startswith("Allocation on device 0 would exceed allowed memory. (out of memory)\n")
    simulator.faults.oom = {}
    assert driver.run(plain())["status"]["completed"]


def test_ignored_interrupt_lets_the_run_succeed(driver: Driver, simulator: RunningSimulator) -> None:
    simulator.faults.ignore_interrupt = True
    simulator.simulator.environment.step_seconds = 0.01
    driver.submit(text_to_image(steps=10))
    driver.socket.read_until("progress")
    driver.http.post("/interrupt")
    driver.socket.read_until("execution_success")


def test_odd_messages(driver: Driver, simulator: RunningSimulator) -> None:
    simulator.faults.set(unknown_messages=True, foreign_noise=True, nan_progress=True)
    prompt_id = driver.submit(text_to_image())
    driver.socket.read_until("executing", node=None)
    assert {"crystools.monitor", "binary 99", "broken"} <= set(driver.socket.kinds())
    own = [data for data in driver.socket.data("progress") if data["prompt_id"] == prompt_id]
    assert own
    assert all(math.isnan(data["value"]) for data in own)
    assert len(own) < len(driver.socket.data("progress"))


def test_null_output_and_a_frame_of_megabytes(driver: Driver, simulator: RunningSimulator) -> None:
    simulator.faults.output_null = True
    entry = driver.run(plain())
    assert driver.socket.data("executed")[-1]["output"] is None
    assert entry["outputs"]["9"] == {"images": [IMAGE]}
    simulator.faults.set(output_null=False, big_frame=True)
    driver.run(words())
    assert len(driver.socket.data("executed")[-1]["output"]["text"][0]) > 4 * 1024 * 1024


def test_object_info_slow_and_broken(driver: Driver, simulator: RunningSimulator) -> None:
    simulator.faults.slow_object_info = 0.1
    begin = time.monotonic()
    assert driver.http.get("/object_info").status_code == 200
    assert time.monotonic() - begin >= 0.1
    simulator.faults.set(slow_object_info=0.0, object_info_error=True)
    assert driver.http.get("/object_info").status_code == 500
    simulator.faults.object_info_error = False
    assert "KSampler" in driver.http.get("/object_info").json()


def test_client_that_does_not_read_holds_up_everybodys_events_but_not_the_work(
    driver: Driver, simulator: RunningSimulator
) -> None:
    lazy = driver.connect()
    graph = {"1": node("PreviewAny", source="x" * 3_000_000)}
    first = driver.submit(graph, client_id=lazy.client_id)
    for number in range(5):  # more than the buffers of both ends hold
        graph["1"]["inputs"]["source"] = f"{number}" * 3_000_000
        driver.submit(graph, client_id=lazy.client_id)
    last = driver.submit(words())
    wait_until(lambda: driver.http.get(f"/history/{last}").json(), "running the last prompt")
    assert driver.history(first)["status"]["completed"]
    heard = len(driver.socket.frames)
    while not driver.socket.is_silent(0.1):
        assert kind_of(driver.socket.frames[-1]) == "status"
    assert len(driver.socket.frames) > heard
    lazy.raw.shutdown()
    driver.socket.read_until("executing", node=None, prompt_id=last)
