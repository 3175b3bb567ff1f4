"""The node types of a real server in place of the simulator's own."""

from __future__ import annotations

import copy
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from generations.simulator import recording
from generations.simulator.nodes import REGISTRY
from generations.simulator.nodes.described import DESCRIBED
from generations.simulator.recording import Recording, RecordingError, Unknown
from generations.simulator.state import MODELS
from tests.simulator.driver import Driver
from tests.support.graphs import node, plain, text_to_image
from tests.support.simulator import ROOT, RunningSimulator, simulator_process
from tests.support.waiting import patient
from tests.support.workflows import newest_object_info

CHOICES = {"UNETLoader": ("unet_name", "model.sft"), "CLIPLoader": ("clip_name", "clip.sft")}


def with_files() -> dict[str, Any]:
    """The 0.29.0's answer, as if it had a few model files."""
    info = copy.deepcopy(newest_object_info())
    for class_type, (name, file) in CHOICES.items():
        info[class_type]["input"]["required"][name][0] = [file]
    return info


@pytest.fixture(scope="module")
def server() -> Iterator[RunningSimulator]:
    with RunningSimulator(recording=Recording(with_files()), profile="newest", preview_size=64) as running:
        yield running


@pytest.fixture
def driver(server: RunningSimulator) -> Iterator[Driver]:
    with Driver(server.url) as connected:
        yield connected


def errors(driver: Driver, graph: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Node id -> (type, details) of each error that POST /prompt answers with."""
    answer = driver.http.post("/prompt", json={"prompt": graph}).json()
    return {
        node_id: [(error["type"], error["details"]) for error in found["errors"]]
        for node_id, found in answer["node_errors"].items()
    }


# ------------------------------------------------------------------------------------------- what it has
def test_it_tells_what_the_recording_tells(driver: Driver) -> None:
    told, recorded = driver.http.get("/object_info").json(), with_files()
    assert list(told) == list(recorded)
    with_models = {"CheckpointLoaderSimple", "LoraLoader", "UpscaleModelLoader"}
    assert {name for name in told if told[name] != recorded[name]} == with_models
    assert driver.http.get("/object_info/Canny").json() == {"Canny": recorded["Canny"]}


def test_the_simulators_own_models_are_there_beside_the_recorded_ones(driver: Driver) -> None:
    told = driver.http.get("/object_info").json()
    assert told["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] == MODELS["checkpoints"]
    assert told["UpscaleModelLoader"]["input"]["required"]["model_name"][1]["options"] == MODELS["upscale_models"]
    assert told["UNETLoader"]["input"]["required"]["unet_name"][0] == ["model.sft"]


def test_every_class_of_the_simulator_runs_on_a_newer_server(server: RunningSimulator) -> None:
    registry = server.simulator.registry
    left = {name for name in (*REGISTRY, *DESCRIBED) if issubclass(registry[name], Unknown)}
    assert left == set()


@pytest.mark.slow
def test_a_class_with_other_inputs_does_not_run() -> None:
    info = with_files()
    del info["ImageInvert"]["input"]["required"]["image"]
    info["ImageBlur"]["output"] = ["MASK"]
    with RunningSimulator(recording=Recording(info)) as running:
        registry = running.simulator.registry
        assert all(issubclass(registry[name], Unknown) for name in ("ImageInvert", "ImageBlur"))


def test_descriptions_that_no_server_could_check_do_no_harm(tmp_path: Path) -> None:
    """Custom nodes make all sorts of things of the format."""
    odd = {"input": {"required": {"a": "INT", "b": [], "c": ["INT", None]}, "optional": None}, "output": [["x", "y"]]}
    with RunningSimulator(recording=Recording({**with_files(), "Odd": odd})) as running, Driver(running.url) as driver:
        assert driver.http.get("/object_info/Odd").json() == {"Odd": odd}
        entry = driver.run({"1": node("Odd", c=3), **plain()})
        assert entry["status"]["completed"]


# ------------------------------------------------------------------------------------------- what it draws
def test_what_it_can_is_drawn(driver: Driver) -> None:
    assert driver.run(text_to_image())["status"]["completed"]


def test_workflows_of_newer_models_are_drawn(driver: Driver) -> None:
    graph = text_to_image() | {
        "4": node("UNETLoader", unet_name="model.sft", weight_dtype="default"),
        "6": node("CLIPTextEncode", text=["20", 0], clip=["11", 0]),
        "7": node("ConditioningZeroOut", conditioning=["6", 0]),
        "5": node("EmptySD3LatentImage", width=["13", 0], height=["13", 1], batch_size=1),
        "8": node("VAEDecode", samples=["3", 0], vae=["14", 0]),
        "11": node("CLIPLoader", clip_name="clip.sft", type="qwen_image", device="default"),
        "12": node("ModelSamplingAuraFlow", model=["4", 0], shift=3.0),
        "13": node("ResolutionSelector", aspect_ratio="16:9 (Widescreen)", megapixels=0.1, multiple=8),
        "14": node("VAELoader", vae_name="pixel_space"),
        "15": node("CustomCombo", choice="a lake", option1="a hill", option2="a lake", index=1),
        "16": node("ComfySwitchNode", switch=True, on_false="nothing", on_true=["15", 0]),
        "20": node("StringReplace", string=["16", 0], find="lake", replace="tarn"),
    }
    graph["3"]["inputs"]["model"] = ["12", 0]
    entry = driver.run(graph)
    assert entry["status"]["completed"]
    name = entry["outputs"]["9"]["images"][0]["filename"]
    picture = Image.open(io.BytesIO(driver.http.get("/view", params={"filename": name}).content))
    assert picture.size == (432, 240)


def test_the_first_node_that_it_cannot_run_is_named(driver: Driver) -> None:
    graph = text_to_image() | {
        "20": node("Canny", image=["8", 0], low_threshold=0.4, high_threshold=0.8),
        "21": node("PreviewImage", images=["20", 0]),
    }
    del graph["9"]
    entry = driver.run(graph)
    kind, data = entry["status"]["messages"][-1]
    assert (kind, data["node_id"], data["node_type"]) == ("execution_error", "20", "Canny")
    assert data["exception_message"] == (
        "The simulator cannot run Canny nodes; it only knows what a real server told about them.\n"
    )
    assert "8" in data["executed"]


def test_an_output_that_is_not_made_is_named(driver: Driver) -> None:
    """Newer servers hand on what an output node shows."""
    graph = plain() | {"10": node("PreviewImage", images=["9", 0])}
    entry = driver.run(graph)
    assert entry["status"]["messages"][-1][1]["exception_message"] == (
        "The simulator cannot run this node: it takes output 0 of SaveImage, which does not make it.\n"
    )


# ------------------------------------------------------------------------------------------- what it checks
def test_prompts_are_checked_as_the_recorded_server_would(driver: Driver) -> None:
    graph = plain() | {
        "2": node("ImageScaleToTotalPixels", image=["1", 0], upscale_method="best", megapixels=99, resolution_steps=1),
        "3": node("PreviewImage", images=["2", 0]),
        "4": node("BatchImagesNode", **{"images.image1": ["1", 0]}),
        "5": node("PreviewImage", images=["4", 0]),
        "6": node("ResizeImageMaskNode", input=["1", 0], resize_type="scale dimensions", scale_method="area"),
        "7": node("PreviewImage", images=["6", 0]),
    }
    methods = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
    assert errors(driver, graph) == {
        "2": [
            ("value_not_in_list", f"upscale_method: 'best' not in {methods}"),
            ("value_bigger_than_max", "megapixels"),
        ],
        "4": [("required_input_missing", "images.image0")],
        "6": [("required_input_missing", f"resize_type.{name}") for name in ("width", "height", "crop")],
    }


def test_files_of_recorded_combos_are_there_and_others_are_not(driver: Driver) -> None:
    graph = {
        "1": node("UNETLoader", unet_name="model.sft", weight_dtype="default"),
        "2": node("PreviewAny", source=["1", 0]),
    }
    assert errors(driver, graph) == {}
    graph["1"]["inputs"]["unet_name"] = "other.sft"
    assert errors(driver, graph) == {"1": [("value_not_in_list", "unet_name: 'other.sft' not in ['model.sft']")]}


def test_uploaded_files_are_there_once_they_are_uploaded(driver: Driver) -> None:
    graph = {
        "1": node("LoadVideo", file="comfysaas/film.mp4"),
        "2": node("SaveVideo", video=["1", 0], filename_prefix="x", format="auto", codec="auto"),
    }
    invalid = "file - Invalid video file: comfysaas/film.mp4"
    assert errors(driver, graph) == {"1": [("custom_validation_failed", invalid)]}
    files = {"image": ("film.mp4", b"not really")}
    driver.http.post("/upload/image", files=files, data={"subfolder": "comfysaas"}).raise_for_status()
    assert errors(driver, graph) == {}


# ------------------------------------------------------------------------------------------- files that are none
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("\x80", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not an answer to GET /object_info: it is not an object of node types."),
        ("{}", "it is not an object of node types."),
        ('{"KSampler": 3}', "its entry KSampler is not an object."),
        ('{"3": {"class_type": "KSampler", "inputs": {}}}', "its entry 3 does not say what the node takes and gives."),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "object_info.json"
    path.write_text(text, "latin-1")
    with pytest.raises(RecordingError) as refused:
        Recording.read(path)
    assert words in str(refused.value)
    assert "curl -o object_info.json" in str(refused.value)


def test_missing_and_huge_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecordingError, match=r"nothing.json cannot be read: No such file or directory\.$"):
        Recording.read(tmp_path / "nothing.json")
    with pytest.raises(RecordingError, match="cannot be read: Is a directory"):
        Recording.read(tmp_path)
    monkeypatch.setattr(recording, "MAX_BYTES", 1_000_000)
    path = tmp_path / "huge.json"
    path.write_bytes(b" " * 2_000_001)
    with pytest.raises(RecordingError, match=r"has 2 MB; no more than 1 are read\.$"):
        Recording.read(path)


@pytest.mark.slow
def test_command_takes_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "object_info.json"
    path.write_text(json.dumps(with_files()))
    with simulator_process("--object-info", str(path)) as (url, _), Driver(url) as driver:
        assert driver.http.get("/object_info").json().keys() == newest_object_info().keys()
        assert driver.http.get("/system_stats").json()["system"]["comfyui_version"] == "0.45.2"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--object-info", "no-such-file.json"], "--object-info: no-such-file.json cannot be read"),
        (["--installation", '{"without": ["Canny"]}'], "--installation: there is no node class Canny"),
    ],
)
def test_command_explains_what_is_wrong(arguments: list[str], words: str) -> None:
    command = [sys.executable, "-m", "generations.simulator", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=patient(20), check=False)
    assert answer.returncode == 2
    assert words in answer.stderr
