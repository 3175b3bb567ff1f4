import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generations.comfy.outputs import MAX_VALUES, FileRef, collect, is_unfinished, merged, sanitise
from tests.comfy.recorded import recording


def file(filename: str, **more: Any) -> dict[str, Any]:
    return {"filename": filename, "subfolder": "", "type": "output", **more}


def recorded(name: str) -> list[Any]:
    (entry,) = recording(name)["history"].values()
    return collect(entry["outputs"])


def test_a_recorded_batch_keeps_its_order() -> None:
    items = recorded("sd15_cold")
    assert [(item.kind, item.node_id, item.key, item.index) for item in items] == [
        ("image", "9", "images", 0),
        ("image", "9", "images", 1),
    ]
    assert items[0].file is not None
    assert items[0].file.subfolder == "sub"
    assert items[0].file.filename < items[1].file.filename


def test_recorded_previews_and_animations_are_files_and_flags_are_not() -> None:
    items = recorded("preview_and_animated")
    assert [(item.node_id, item.kind, item.file.type) for item in items] == [
        ("2", "image", "temp"),
        ("3", "image", "output"),
    ]


@pytest.mark.parametrize(("name", "kind"), [("video", "video"), ("text_output", "text")])
def test_recorded_kinds(name: str, kind: str) -> None:
    assert {item.kind for item in recorded(name)} == {kind}


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (file("a.PNG"), "image"),
        (file("a.svg"), "image"),
        (file("clip.mp4"), "video"),
        (file("a.flac"), "audio"),
        (file("a.latent"), "latent"),
        (file("mesh.glb"), "file"),
        (file("noextension"), "file"),
        (file("noextension", format="video/h264-mp4"), "video"),
        (file("strange.xyz", format="text/html"), "file"),
    ],
)
def test_the_extension_decides_and_then_the_format(item: object, kind: str) -> None:
    (found,) = collect({"1": {"images": [item]}})
    assert found.kind == kind


def test_a_file_has_sensible_defaults() -> None:
    (item,) = collect({"1": {"images": [{"filename": "a.png"}]}})
    assert item.file == FileRef("a.png", "", "output")


def test_details_are_kept_without_paths_of_the_server() -> None:
    item = file("x.mp4", format="video/h264-mp4", frame_rate=24.0, workflow="x.png", fullpath="/srv/x.mp4")
    (found,) = collect({"1": {"gifs": [item]}})
    assert found.details == {"format": "video/h264-mp4", "frame_rate": 24.0, "workflow": "x.png"}


def test_nothing_is_dropped_whatever_its_key() -> None:
    outputs = {
        "10": {"custom": [1, {"a": [1]}, "words", [["deep"], [2.5]]], "flag": [True]},
        "9": {"result": ["model.glb", {"position": 1}, None], "string": "bare"},
        "12:3": ["loose"],
    }
    assert [(item.node_id, item.key, item.index, item.kind, item.value) for item in collect(outputs)] == [
        ("9", "result", 0, "data", "model.glb"),
        ("9", "result", 1, "data", {"position": 1}),
        ("9", "string", 0, "text", "bare"),
        ("10", "custom", 0, "data", 1),
        ("10", "custom", 1, "data", {"a": [1]}),
        ("10", "custom", 2, "text", "words"),
        ("10", "custom", 3, "text", "deep"),
        ("10", "custom", 4, "data", 2.5),
        ("10", "flag", 0, "data", True),
        ("12:3", "", 0, "text", "loose"),
    ]


def test_animated_is_dropped_only_as_a_flag() -> None:
    assert collect({"1": {"animated": [True, False]}}) == []
    assert [item.kind for item in collect({"1": {"animated": [file("a.webp")]}})] == ["image"]


@pytest.mark.parametrize("text", ["The mood of this picture is calm. " * 120, "größe 🎨 x", "ok", "42"])
def test_a_text_that_arrives_as_its_characters_is_one_text(text: str) -> None:
    flattened = list(text)  # as ComfyUI does to a node that returns {"text": text}
    assert [(item.kind, item.index, item.value) for item in collect({"2": {"text": flattened}})] == [("text", 0, text)]


@pytest.mark.parametrize("texts", [["x"], ["a", "words"], ["ab", "cd"], ["a", 1], [["a"], ["b"]]])
def test_other_lists_of_texts_stay_lists(texts: list[Any]) -> None:
    assert len(collect({"2": {"text": texts}})) == len(texts)


def test_the_name_of_a_model_file_is_rejoined_too_and_stays_data() -> None:
    assert [(item.kind, item.value) for item in collect({"2": {"result": list("mesh.glb")}})] == [("data", "mesh.glb")]


def test_too_many_texts_and_values_become_one_list_and_nothing_is_lost() -> None:
    values: list[Any] = [f"line {number}" for number in range(MAX_VALUES + 1)]
    items = collect({"2": {"text": [file("a.png"), *values, file("b.png"), None]}})
    assert [(item.kind, item.index) for item in items] == [("image", 0), ("image", 1), ("data", 2)]
    assert items[2].value == values
    assert len(collect({"2": {"text": values[:MAX_VALUES]}})) == MAX_VALUES


@pytest.mark.parametrize("key", ["animated", "unfinished_batch"])
def test_flags_that_describe_their_neighbours_are_no_outputs(key: str) -> None:
    assert collect({"1": {key: [True]}}) == []


def test_a_null_result_is_no_output() -> None:
    assert collect({"1": None, "2": {}, "3": {"images": []}}) == []


def test_the_order_does_not_depend_on_the_server() -> None:
    outputs = {"2": {"b": ["x"], "a": ["y"]}, "10": {"t": ["z"]}}
    backwards = {key: dict(reversed(value.items())) for key, value in reversed(outputs.items())}
    assert collect(outputs) == collect(backwards)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=5), _json, max_size=4))
def test_whatever_comes_is_collected_and_storable(outputs: dict[str, Any]) -> None:
    for item in collect(outputs):
        json.dumps([item.value, dict(item.details)], allow_nan=False).encode()
        assert (item.file is None) != (item.value is None)


@settings(max_examples=100, deadline=None)
@given(_json)
def test_sanitised_values_are_legal_json_and_stay_so(value: object) -> None:
    clean = sanitise(value)
    text = json.dumps(clean, allow_nan=False, ensure_ascii=False)
    assert "\0" not in text.encode().decode()
    assert sanitise(clean) == clean


def test_a_batch_that_goes_on_elsewhere_is_known_by_its_flag() -> None:
    assert is_unfinished({"3": {"unfinished_batch": [True]}})
    assert not is_unfinished({"3": {"gifs": [file("a.mp4")]}, "4": None, "5": ["unfinished_batch"]})


def test_parts_of_a_batch_are_one_result() -> None:
    first = {"3": {"unfinished_batch": [True]}, "4": {"images": [file("a.png")]}, "5": {"text": ["x"]}}
    second = {"3": {"gifs": [file("film.mp4")]}, "4": {"images": [file("a.png"), file("b.png")]}, "6": {"text": ["y"]}}
    assert merged(merged({}, first), second) == {
        "3": {"gifs": [file("film.mp4")]},
        "4": {"images": [file("a.png"), file("b.png")]},
        "5": {"text": ["x"]},
        "6": {"text": ["y"]},
    }
