"""`python -m generations.simulator` as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.simulator.driver import Driver, wait_until
from tests.support.graphs import text_to_image, words
from tests.support.simulator import ROOT, RunningSimulator, simulator_process
from tests.support.waiting import patient

pytestmark = pytest.mark.slow  # each starts processes


def test_runs_prompts_and_stops_at_a_signal(tmp_path: Path) -> None:
    with simulator_process("--data-dir", str(tmp_path), "--step-seconds", "0", "--checkpoint", "ours.sft") as (
        url,
        process,
    ):
        with Driver(url) as driver:
            assert driver.run(text_to_image())["status"]["completed"]
            assert "ours.sft" in driver.http.get("/models/checkpoints").json()
        assert (tmp_path / "output" / "x_00001_.png").is_file()
        process.send_signal(signal.SIGTERM)
        assert process.wait(patient(10)) == 0


def test_stops_in_the_middle_of_a_run() -> None:
    with simulator_process("--step-seconds", "0.05", "--preview-method", "none") as (url, process):
        with Driver(url) as driver:
            driver.submit(text_to_image(steps=1000))
            driver.socket.read_until("progress")
            assert not any(kind.startswith("binary") for kind in driver.socket.kinds())
        process.send_signal(signal.SIGINT)
        assert process.wait(patient(10)) == 0


def test_faults_can_be_given() -> None:
    with (
        simulator_process("--fault", 'node_error={"PreviewAny": "boom"}', "--fault", "view_404=2") as (url, _),
        Driver(url) as driver,
    ):
        assert driver.run(words())["status"]["status_str"] == "error"
        assert driver.http.get("/simulator/faults").json()["view_404"] == 2


def test_nodes_inputs_and_models_can_differ() -> None:
    changes = {
        "without": ["PreviewAny"],
        "inputs": {"KSampler": {"steps": ["INT", {"max": 5}], "guidance": ["FLOAT", {"default": 1.0}]}},
        "models": {"checkpoints": ["only.safetensors"]},
    }
    with simulator_process("--installation", json.dumps(changes)) as (url, _), Driver(url) as driver:
        nodes = driver.http.get("/object_info").json()
        assert "PreviewAny" not in nodes
        assert nodes["KSampler"]["input"]["required"]["steps"] == ["INT", {"max": 5}]
        assert nodes["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] == ["only.safetensors"]
        refused = driver.http.post("/prompt", json={"prompt": text_to_image(steps=6)}).json()
        kinds = {error["type"] for node in refused["node_errors"].values() for error in node["errors"]}
        assert kinds == {"required_input_missing", "value_bigger_than_max", "value_not_in_list"}


@pytest.mark.parametrize(
    "argument",
    [
        "--fault=nonsense=1",
        "--fault=zombie=maybe",
        "--step-seconds=nan",
        "--installation=[]",
        '--installation={"without": ["Nothing"]}',
    ],
)
def test_wrong_arguments_are_explained(argument: str) -> None:
    command = [sys.executable, "-m", "generations.simulator", argument]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=patient(20), check=False)
    assert answer.returncode == 2
    assert argument.partition("=")[0] in answer.stderr


def test_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'generations.simulator', '--port', '0',"
        " '--exit-with-parent'], stdout=subprocess.PIPE, text=True)\n"
        "print(child.pid, child.stdout.readline().split()[-1], flush=True)\n"
        f"time.sleep({patient(60)})\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    pid, url = parent.stdout.readline().split()
    try:
        assert httpx.get(f"{url}/prompt").status_code == 200
        parent.kill()
        parent.wait()
        wait_until(lambda: not _answers(url), "the end of the simulator")
    except AssertionError:
        os.kill(int(pid), signal.SIGKILL)
        raise
    finally:
        parent.kill()
        parent.stdout.close()


def _answers(url: str) -> bool:
    try:
        httpx.get(f"{url}/prompt")
    except httpx.TransportError:
        return False
    return True


def test_taken_port_is_explained() -> None:
    with simulator_process() as (url, _):
        port = url.rsplit(":", 1)[-1]
        command = [sys.executable, "-m", "generations.simulator", "--port", port]
        answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=patient(20), check=False)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"The simulator cannot listen on 127.0.0.1:{port}: ")
    with RunningSimulator() as one, pytest.raises(OSError, match="address already in use"):
        RunningSimulator(port=one.port)


def test_stopped_server_can_come_back_at_its_address(tmp_path: Path) -> None:
    with RunningSimulator(data_dir=tmp_path) as first, Driver(first.url) as driver:
        driver.run(words())
    with RunningSimulator(port=first.port, data_dir=tmp_path) as second, Driver(second.url) as driver:
        assert second.url == first.url
        assert driver.http.get("/history").json() == {}
        assert driver.run(words())["status"]["completed"]
