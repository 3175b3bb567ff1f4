"""Which texts name a file on the server, and what stands in an input for a file that was uploaded."""

from __future__ import annotations

import pytest

from generations.comfy.file_inputs import FileInput, input_value, leads_somewhere, looks_like_file, split_annotation


@pytest.mark.parametrize("text", ["x [output]", "/data/x", "../x", "input/x", "C:\\x", "~/x/y", "file:///x/y"])
def test_a_place_on_the_server(text: str) -> None:
    assert leads_somewhere(text)


@pytest.mark.parametrize("text", ["output", "/imagine a fox", "a fox", "either/or", ""])
def test_words_are_no_places(text: str) -> None:
    assert not leads_somewhere(text)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("source", "fox.png", True),
        ("source", '"fox.PNG"', True),
        ("source", "a fox.\nfox.png", False),
        ("source", "https://example.invalid/fox.png", False),
        ("filename_prefix", "fox.png", False),
    ],
)
def test_a_text_that_can_hardly_be_anything_but_a_file(name: str, text: str, expected: bool) -> None:
    assert looks_like_file(name, text) == expected


def test_the_folder_behind_a_name_is_split_off() -> None:
    assert split_annotation("fox.png [output]") == ("fox.png", "output")
    assert split_annotation("fox [1].png") == ("fox [1].png", "")


@pytest.mark.parametrize(
    ("known", "value"),
    [
        (None, "comfysaas/ab/fox.png"),
        (FileInput("image"), "comfysaas/ab/fox.png"),
        (FileInput("image", is_path=True), "input/comfysaas/ab/fox.png"),
        (FileInput("image", is_folder=True), "comfysaas/ab"),
        (FileInput("image", is_path=True, is_folder=True), "input/comfysaas/ab"),
    ],
)
def test_an_input_gets_the_file_as_it_reads_it(known: FileInput | None, value: str) -> None:
    assert input_value(known, "comfysaas/ab/fox.png") == value
