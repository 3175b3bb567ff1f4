"""Where model files come from and go to."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.model_sources import Source, folder_of, read_sources

URL = "https://models.example/a.safetensors"
GRAPH = {"1": {"class_type": "UNETLoader", "inputs": {"unet_name": "a.safetensors"}}}


def entry(**fields: Any) -> dict[str, Any]:
    return {"name": "a.safetensors", "url": URL, "directory": "diffusion_models"} | fields


def said(url: str = URL, directory: str = "diffusion_models") -> dict[str, Source]:
    return {"a.safetensors": {"url": url, "directory": directory}}


@pytest.mark.parametrize(
    "workflow",
    [
        {"nodes": [{"properties": {"models": [entry()]}}]},
        {"nodes": [], "definitions": {"subgraphs": [{"nodes": [{"properties": {"models": [entry()]}}]}]}},
        {"models": [entry(), entry(url="https://other.example/")]},
    ],
)
def test_models_of_nodes_of_sub_graphs_and_of_workflows(workflow: Any) -> None:
    assert read_sources(workflow, GRAPH) == said()


def test_file_in_a_folder_of_its_own_is_found_by_its_last_name() -> None:
    graph = {"1": {"class_type": "UNETLoader", "inputs": {"unet_name": "mine\\a.safetensors"}}}
    assert list(read_sources({"models": [entry()]}, graph)) == ["mine\\a.safetensors"]


def test_what_the_graph_does_not_name_is_left_out() -> None:
    assert read_sources({"models": [entry(name="b.safetensors")]}, GRAPH) == {}


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "http://models.example/",
        "https://",
        "https://[",
        "file:///x",
        3,
        None,
        "https://x/" + "a" * 1000,
    ],
)
def test_only_addresses_by_https_are_kept(url: Any) -> None:
    assert read_sources({"models": [entry(url=url)]}, GRAPH) == {}


@pytest.mark.parametrize("directory", ["../x", "/etc", "", None, "a" * 101, "<b>"])
def test_folders_are_plain_names_below_models(directory: Any) -> None:
    assert read_sources({"models": [entry(directory=directory)]}, GRAPH) == said(directory="")


@pytest.mark.parametrize("broken", [None, [], "x", {"nodes": 3}, {"nodes": [None, {"properties": []}], "models": [1]}])
def test_damaged_workflows_say_nothing(broken: Any) -> None:
    assert read_sources(broken, GRAPH) == {}


@pytest.mark.parametrize(
    ("node_class", "name", "folder"),
    [
        ("CheckpointLoaderSimple", "ckpt_name", "checkpoints"),
        ("DualCLIPLoader", "clip_name2", "text_encoders"),
        ("CLIPVisionLoader", "clip_name", "clip_vision"),
        ("Unheard", "model_name", ""),
    ],
)
def test_folders_of_loaders(node_class: str, name: str, folder: str) -> None:
    assert folder_of(node_class, name) == folder
