"""The worker: the cache, the order of nodes, errors, interrupts, and what survives a restart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image

from tests.simulator.driver import Driver, run, wait_until
from tests.support.graphs import node, plain, text_to_image, words
from tests.support.simulator import RunningSimulator


def test_same_prompt_again_runs_nothing_and_names_the_old_files(driver: Driver) -> None:
    _, first = run(driver, plain())
    nodes, second = run(driver, plain())
    assert nodes == []
    assert second["outputs"] == first["outputs"]
    assert driver.socket.data("execution_cached")[-1]["nodes"] == ["1", "9"]
    assert driver.socket.data("executed")[-1]["output"] == first["outputs"]["9"]


def test_only_what_changed_and_what_follows_runs_again(driver: Driver) -> None:
    run(driver, text_to_image(seed=1))
    assert run(driver, text_to_image(seed=2))[0] == ["3", "8", "9"]
    graph = text_to_image(seed=2)
    graph["9"]["inputs"]["filename_prefix"] = "y"
    assert run(driver, graph)[0] == ["9"]


def test_cache_reaches_back_one_prompt_only(driver: Driver) -> None:
    run(driver, plain(1))
    run(driver, words())
    assert run(driver, plain(1))[0] == ["1", "9"]


def test_node_ids_do_not_matter_to_the_cache_but_the_history_has_the_old_ones(driver: Driver) -> None:
    run(driver, plain())
    renamed = {"a": plain()["1"], "b": node("SaveImage", images=["a", 0], filename_prefix="x")}
    nodes, entry = run(driver, renamed)
    assert nodes == []
    assert entry["meta"]["b"]["node_id"] == "9"


def test_untargeted_output_in_the_cache_is_in_the_history(driver: Driver) -> None:
    graph = {**plain(), "8": node("PreviewAny", source="a")}
    driver.run(graph)
    entry = driver.run(graph, partial_execution_targets=["8"])
    assert set(entry["outputs"]) == {"8", "9"}


def test_second_of_two_equal_nodes_is_told_but_not_run(driver: Driver) -> None:
    graph = text_to_image(text="same")
    graph["7"]["inputs"]["text"] = "same"
    nodes, entry = run(driver, graph)
    assert nodes == ["4", "5", "7", "3", "8", "9"]
    assert entry["status"]["completed"]
    told = {data["node"]: data["output"] for data in driver.socket.data("executed")}
    assert told == {"6": None, "9": entry["outputs"]["9"]}
    assert driver.socket.data("execution_cached")[0]["nodes"] == []


def test_free_memory_makes_everything_run_again(driver: Driver) -> None:
    run(driver, plain())
    assert driver.http.post("/free", json={"unload_models": True}).content == b""
    assert run(driver, plain())[0] == []
    driver.http.post("/free", json={"free_memory": True})
    nodes, entry = run(driver, plain())
    assert nodes == ["1", "9"]
    assert entry["outputs"]["9"]["images"][0]["filename"] == "x_00002_.png"
    assert driver.http.post("/free").status_code == 500


def test_changed_input_file_runs_again(driver: Driver, simulator: RunningSimulator) -> None:
    path = simulator.data_dir / "input" / "a.png"
    graph = {"1": node("LoadImage", image="a.png"), "9": node("PreviewImage", images=["1", 0])}
    Image.new("RGB", (8, 8), "red").save(path)
    run(driver, graph)
    assert run(driver, graph)[0] == []
    Image.new("RGB", (8, 8), "blue").save(path)
    assert run(driver, graph)[0] == ["1", "9"]


def test_outputs_are_run_as_early_as_possible(driver: Driver) -> None:
    graph = {
        "1": node("EmptyImage", width=8, height=8, batch_size=1, color=1),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("ImageInvert", image=["2", 0]),
        "8": node("PreviewImage", images=["1", 0]),
        "9": node("PreviewImage", images=["3", 0]),
    }
    assert run(driver, graph)[0] == ["1", "8", "2", "3", "9"]


def test_nodes_that_no_output_needs_are_not_run(driver: Driver) -> None:
    graph = {**plain(), "5": node("EmptyImage", width=8, height=8, batch_size=1, color=9)}
    assert run(driver, graph)[0] == ["1", "9"]


def test_error_keeps_earlier_outputs_and_the_server_goes_on(driver: Driver) -> None:
    graph = {**plain(), "5": node("ImageInvert", image=["1", 0])}
    graph["8"] = node("SaveImage", images=["5", 0], filename_prefix="../../evil")
    _, entry = run(driver, graph)
    assert entry["status"]["status_str"] == "error"
    assert entry["status"]["completed"] is False
    assert entry["status"]["messages"][-1][0] == "execution_error"
    assert list(entry["outputs"]) == ["9"]
    nodes, entry = run(driver, plain())
    assert nodes == []
    assert entry["status"]["status_str"] == "success"


def test_types_of_exceptions_have_their_module(driver: Driver, simulator: RunningSimulator) -> None:
    (simulator.data_dir / "input" / "a.png").write_text("no picture")
    driver.run({"1": node("LoadImage", image="a.png"), "9": node("PreviewImage", images=["1", 0])})
    (error,) = driver.socket.data("execution_error")
    assert error["exception_type"] == "PIL.UnidentifiedImageError"
    assert error["current_inputs"] == {"image": ["a.png"]}
    assert error["exception_message"].endswith("\n")


@pytest.mark.parametrize("body", ["", "{}", '{"prompt_id": ""}', '{"prompt_id": "mine"}', "not json"])
def test_interrupt_ends_the_run(driver: Driver, simulator: RunningSimulator, body: str) -> None:
    simulator.simulator.environment.step_seconds = 0.02
    prompt_id = driver.submit(text_to_image(steps=1000), prompt_id="mine")
    driver.socket.read_until("progress")
    assert driver.http.post("/interrupt", content=body).content == b""
    driver.socket.read_until("executing", node=None)
    status = driver.history(prompt_id)["status"]
    assert (status["status_str"], status["completed"]) == ("error", False)
    assert status["messages"][-1][0] == "execution_interrupted"
    assert status["messages"][-1][1]["executed"] == ["4", "5", "7", "6"]


def test_interrupt_of_another_or_of_no_prompt_does_nothing(driver: Driver, simulator: RunningSimulator) -> None:
    driver.http.post("/interrupt")  # nothing runs: it is forgotten
    simulator.simulator.environment.step_seconds = 0.02
    prompt_id = driver.submit(text_to_image(steps=8))
    waiting = driver.submit(words())
    driver.socket.read_until("progress")
    driver.http.post("/interrupt", json={"prompt_id": waiting})
    driver.socket.read_until("execution_success", prompt_id=prompt_id)
    driver.socket.read_until("execution_success", prompt_id=waiting)
    assert driver.http.post("/interrupt", content="[]").status_code == 500


@pytest.mark.parametrize("fatal", ["no inputs", "no extra data"])
def test_prompt_that_kills_the_worker(driver: Driver, simulator: RunningSimulator, fatal: str) -> None:
    body: dict[str, Any] = {"prompt": plain()}
    if fatal == "no inputs":
        body["prompt"]["5"] = {"class_type": "ImageInvert"}
    else:
        body["extra_data"] = None
    assert driver.http.post("/prompt", json=body).status_code == 200
    wait_until(lambda: driver.http.get("/queue").json()["queue_running"], "taking the prompt")
    driver.submit(words())
    driver.http.post("/interrupt")
    assert driver.remaining() == 2
    assert len(driver.http.get("/queue").json()["queue_running"]) == 1
    simulator.restart()
    with Driver(simulator.url) as after:
        assert after.run(words())["status"]["completed"]


def test_metadata_of_files_is_the_graph_as_validated_and_what_the_client_sent(
    driver: Driver, simulator: RunningSimulator
) -> None:
    graph = plain()
    graph["1"]["inputs"]["width"] = "8"
    driver.run(graph, extra_data={"extra_pnginfo": {"workflow": {"nodes": ["é"]}}})
    with Image.open(simulator.data_dir / "output" / "x_00001_.png") as image:
        assert json.loads(image.info["prompt"])["1"]["inputs"]["width"] == 8
        assert json.loads(image.info["workflow"]) == {"nodes": ["é"]}


def test_previews_of_one_node_keep_their_prefix_and_count_on(driver: Driver) -> None:
    names = [
        driver.run({"1": plain(color)["1"], "9": node("PreviewImage", images=["1", 0])})["outputs"]["9"]["images"][0]
        for color in (1, 2)
    ]
    assert names[0]["type"] == "temp"
    assert names[1]["filename"] == names[0]["filename"].replace("00001", "00002")


def test_same_seed_same_picture_other_seed_another(driver: Driver) -> None:
    pictures = []
    for seed in (1, 2, 1):
        (image,) = driver.run(text_to_image(seed=seed))["outputs"]["9"]["images"]
        pictures.append(driver.view(image, channel="rgb").content)
    assert pictures[0] == pictures[2]
    assert pictures[0] != pictures[1]
