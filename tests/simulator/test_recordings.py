"""The simulator against runs recorded on a real 0.3.64: the same messages in the same order with the same keys."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

import pytest
from PIL import Image

from tests.comfy.recorded import NAMES, recording
from tests.simulator.driver import Driver, Frame, Socket
from tests.support.simulator import RunningSimulator

REJECTED = [name for name in NAMES if recording(name)["post_status"] == 400]
# What had been run before, so that the same nodes are cached.
BEFORE = {
    "sd15_cached": "sd15_cold",
    "sd15_newseed_metadata_preview": "sd15_cold",
    "client_prompt_id": "sd15_newseed_metadata_preview",
    "preview_and_animated": "runtime_error",
}
COMPLETED = [name for name in NAMES if name not in REJECTED and name != "interrupted"]


def normal(value: Any) -> Any:
    """Without what differs from run to run: ids, times, counters of files, paths."""
    if isinstance(value, dict):
        return {key: "*" if key in {"timestamp", "sid"} else normal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, str):
        value = re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9a-f]{32}\b", "ID", value)
        value = re.sub(r"(ComfyUI_temp)_[a-z]{5}", r"\1_LETTERS", re.sub(r"_\d{5}_", "_N_", value))
        return re.sub(r"(folder|_dir|path): \S+", r"\1: PATH", value)
    return value


def shown(frame: Frame) -> str:
    """A frame as text, keys in their order on the wire; of pictures only the head."""
    if isinstance(frame, bytes):
        kind = int.from_bytes(frame[:4], "big")
        if kind == 4:
            return f"binary 4 {json.dumps(normal(json.loads(frame[8 : 8 + int.from_bytes(frame[4:8], 'big')])))}"
        return f"binary {kind} format {int.from_bytes(frame[4:8], 'big')}"
    frame = normal(frame)
    if frame["type"] == "execution_error":
        data = frame["data"]
        data["current_outputs"] = sorted(data["current_outputs"])
        data["current_inputs"] = sorted(data["current_inputs"])
        assert data["traceback"] and all(isinstance(line, str) for line in data["traceback"])
        data["traceback"] = "*"
    return json.dumps(frame)


def recorded_frames(name: str) -> list[str]:
    found = []
    heads: list[bytes] = []
    for entry in recording(name)["frames"]:
        if "json" in entry:
            found.append(shown(entry["json"]))
            continue
        if "base64" in entry:
            heads.append(base64.b64decode(entry["base64"]))
        found.append(shown(heads[0]))  # of the later ones only 64 bytes were kept
    return found


def prepare(driver: Driver, simulator: RunningSimulator, name: str) -> Socket:
    """The state of the server as it was when the recording began, and a socket like the recorder's."""
    if name in BEFORE:
        driver.run(recording(BEFORE[name])["prompt"])
    if name == "uploaded_input":
        folder = simulator.data_dir / "input" / "comfysaas" / "u1"
        folder.mkdir(parents=True)
        Image.new("RGB", (64, 64), "teal").save(folder / "in put.png")
    return driver.connect(flags={"supports_preview_metadata": True} if "metadata" in name else None)


def prompt_of(name: str) -> dict[str, Any]:
    """The graph in the order in which its outputs were run; the server collects them unordered."""
    graph = recording(name)["prompt"]
    order = ["1", "3", "2"] if name == "preview_and_animated" else list(graph)
    return {node_id: graph[node_id] for node_id in order}


@pytest.mark.parametrize("name", COMPLETED)
def test_replay_gives_the_recorded_messages_and_history(driver: Driver, simulator: RunningSimulator, name: str) -> None:
    expected = recording(name)
    socket = prepare(driver, simulator, name)
    prompt_id = expected["post_body"]["prompt_id"] if name == "client_prompt_id" else None
    response = driver.post(prompt_of(name), client_id=socket.client_id, prompt_id=prompt_id)
    assert response.status_code == expected["post_status"]
    assert list(response.json()) == list(expected["post_body"])
    assert prompt_id in {None, response.json()["prompt_id"]}
    socket.read_until("executing", node=None)

    assert [shown(frame) for frame in socket.frames] == recorded_frames(name)
    (wanted,) = expected["history"].values()
    entry = driver.history(response.json()["prompt_id"])
    wanted["prompt"][0] = entry["prompt"][0]
    assert list(entry) == list(wanted)
    for each in (entry, wanted):
        messages = [shown({"type": kind, "data": data}) for kind, data in each["status"]["messages"]]
        each["status"]["messages"] = messages
    assert normal(entry) == normal(wanted)


@pytest.mark.parametrize("name", REJECTED)
def test_replay_gives_the_recorded_refusal(driver: Driver, name: str) -> None:
    expected = recording(name)
    checkpoints = driver.http.get("/models/checkpoints").json()
    response = driver.post(expected["prompt"])
    body = response.text.replace(json.dumps(checkpoints), '["tiny-random-sd15.safetensors"]')
    body = body.replace(str(checkpoints), "['tiny-random-sd15.safetensors']")
    assert response.status_code == 400
    assert body == json.dumps(expected["post_body"])
    assert driver.remaining() == 0


def test_replay_of_an_interrupted_run() -> None:
    with (
        RunningSimulator(
            checkpoints=("tiny-random-sd15.safetensors",), preview_size=64, step_seconds=0.02
        ) as simulator,
        Driver(simulator.url) as driver,
    ):
        driver.run(recording("client_prompt_id")["prompt"])
        socket = driver.connect()
        prompt_id = driver.submit(recording("interrupted")["prompt"], client_id=socket.client_id)
        socket.read_until("progress", value=4)
        assert driver.http.post("/interrupt", json={"prompt_id": prompt_id}).status_code == 200
        socket.read_until("executing", node=None)

        frames = [shown(frame) for frame in socket.frames]
        steps = [index for index, frame in enumerate(frames) if '"value": 4' in frame]
        last = next(index for index, frame in enumerate(frames) if "execution_interrupted" in frame)
        more = (last - steps[-1] - 2) // 3  # steps that were done until the request arrived
        del frames[last - 3 * more : last]
        assert frames == recorded_frames("interrupted")
        (wanted,) = recording("interrupted")["history"].values()
        entry = driver.history(prompt_id)
        wanted["prompt"][0] = entry["prompt"][0]
        assert normal(entry) == normal(wanted)


def test_previews_are_jpegs_in_the_preview_size(driver: Driver) -> None:
    driver.run(recording("sd15_cold")["prompt"])
    pictures = [frame[8:] for frame in driver.socket.frames if isinstance(frame, bytes)]
    assert len(pictures) == recording("sd15_cold")["prompt"]["3"]["inputs"]["steps"]
    for picture in pictures:
        with Image.open(io.BytesIO(picture)) as image:
            assert (image.format, image.size) == ("JPEG", (64, 64))
