"""Widgets that the scripts of custom nodes add in the browser."""

from __future__ import annotations

from typing import Any

import pytest

from tests.comfy.one_node import described, inputs, read


def test_power_lora_loader_sends_its_rows_as_its_script_does() -> None:
    row, other = {"on": True, "lora": "ink.safetensors", "strength": 0.8}, {"on": False, "lora": "a", "strength": 1}
    header = {"type": "PowerLoraLoaderHeaderWidget"}
    values = [{}, header, {**row, "strengthTwo": None}, {**other, "strengthTwo": 0.5}, {}, ""]
    kind = "Power Lora Loader (rgthree)"
    info = {"input": {"required": {}, "optional": {"model": ["MODEL"], "clip": ["CLIP"]}}}
    expected = {
        "PowerLoraLoaderHeaderWidget": header,
        "lora_1": row,
        "lora_2": other,
        "\N{HEAVY PLUS SIGN} Add Lora": "",
    }
    assert inputs(values, info, kind) == expected
    named = dict(zip(["divider", "PowerLoraLoaderHeaderWidget", "lora_4", "lora_2", "x", "y"], values, strict=True))
    assert inputs(values, info, kind, widgets_values_named=named) == expected
    assert inputs(values, info, kind, properties={"Show Strengths": "Separate Model & Clip"}) == {
        **expected, "lora_1": {**row, "strengthTwo": 1}, "lora_2": {**other, "strengthTwo": 0.5}
    }  # fmt: skip


COMBINER = described(
    frame_rate=["FLOAT", {"default": 8}],
    filename_prefix=["STRING", {"default": "film"}],
    format=[
        ["image/webp", "video/h264-mp4"],
        {
            "formats": {
                "video/h264-mp4": [
                    ["pix_fmt", ["yuv420p", "yuv420p10le"]], ["crf", "INT", {"default": 19, "min": 0, "max": 100}]
                ],
                "image/webp": [["lossless", "BOOLEAN", {"default": True}]],
            }
        },
    ],
    pingpong=["BOOLEAN", {"default": False}],
    save_output=["BOOLEAN", {"default": True}],
) | {"python_module": "custom_nodes.ComfyUI-VideoHelperSuite"}  # fmt: skip


def test_widgets_of_a_format_come_with_it() -> None:
    common = {"frame_rate": 8, "filename_prefix": "film", "pingpong": True, "save_output": True}
    film = {**common, "format": "video/h264-mp4", "pix_fmt": "yuv420p10le", "crf": 12}
    kind = "VHS_VideoCombine"
    assert inputs({**film, "videopreview": {"params": {}}}, COMBINER, kind) == film
    assert inputs({**common, "format": "image/webp"}, COMBINER, kind) == {
        **common, "format": "image/webp", "lossless": True
    }  # fmt: skip
    assert inputs([8, "film", "video/h264-mp4", "yuv420p10le", 12, True, True], COMBINER, kind) == film
    assert inputs([8, "film", "video/h264-mp4", True, True], COMBINER, kind) == {
        **film,
        "pix_fmt": "yuv420p",
        "crf": 19,
    }


def test_widget_of_an_unknown_script_is_sent_by_its_name_and_flagged() -> None:
    found = read({"frame_rate": 8, "format": "video/ProRes", "profile": "hq"}, COMBINER, "VHS_VideoCombine")
    assert found.graph["3"]["inputs"]["profile"] == "hq"
    assert any("“profile”" in flag.message and '"hq"' in flag.message for flag in found.flags)


def test_former_name_of_a_widget_counts() -> None:
    assert inputs({"format": "image/webp", "save_image": False}, COMBINER, "VHS_VideoCombine")["save_output"] is False


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("Power Primitive (rgthree)", ["BOOL", True], {"type": "BOOLEAN", "value": True}),
        ("Power Primitive (rgthree)", ["INT", 7], {"type": "INT", "value": 7}),
        ("Power Puter (rgthree)", [{"outputs": ["INT"]}, "a + b"], {"outputs": {"outputs": ["INT"]}, "code": "a + b"}),
        ("Power Puter (rgthree)", ["BOOL", "a"], {"outputs": {"outputs": ["BOOLEAN"]}, "code": "a"}),
        (
            "Lora Loader (LoraManager)",
            [[{"name": "ink", "strength": 0.5}]],
            {"loras": {"__value__": [{"name": "ink", "strength": 0.5}]}},
        ),
        ("Image Comparer (rgthree)", [[{"name": "A", "url": "/view?a"}]], {}),
    ],
)
def test_widgets_of_known_scripts(kind: str, values: list[Any], expected: dict[str, Any]) -> None:
    assert inputs(values, {"input": {"required": {}}}, kind) == expected
