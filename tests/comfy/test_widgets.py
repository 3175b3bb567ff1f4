"""Which stored value belongs to which input: by name, by position, or by nobody's guess."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.convert import ConversionError, convert_flagged
from tests.comfy.one_node import described, inputs, read
from tests.support.workflows import OBJECT_INFO

SAMPLER = {"seed": 5, "steps": 25, "cfg": 7.0, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1.0}
FILM: dict[str, Any] = {
    "model": [
        "COMFY_DYNAMICCOMBO_V3",
        {
            "options": [
                {
                    "key": "fast",
                    "inputs": {
                        "required": {
                            "duration": ["INT", {"default": 5, "min": 1, "max": 12}],
                            "seed": ["INT", {"default": -1, "min": -1, "max": 4294967295}],
                            "watermark": ["BOOLEAN", {"default": False}],
                            "generate_audio": ["BOOLEAN", {"default": True}],
                            "service_tier": ["COMBO", {"options": ["default", "flex"]}],
                            "priority": ["INT", {"default": 0, "min": 0, "max": 9}],
                        }
                    },
                },
                {"key": "slow", "inputs": {"required": {"duration": ["INT", {"default": 5}]}}},
            ]
        },
    ],
    "prompt": ["STRING", {"multiline": True, "default": ""}],
}
SIZED: dict[str, Any] = {
    "width": ["INT", {"default": 512, "min": 16, "max": 16384}],
    "height": ["INT", {"default": 512, "min": 16, "max": 16384}],
    "strength": ["FLOAT", {"default": 1.0}],
    "falloff": ["FLOAT", {"default": 0.0}],
}


def refusal(values: Any, info: dict[str, Any] | None = None, kind: str = "N", **fields: Any) -> str:
    with pytest.raises(ConversionError) as error:
        read(values, info, kind, **fields)
    assert {problem.node_id for problem in error.value.problems} == {"3"} and str(error.value).startswith(
        "Mine (node 3)"
    )
    return "\n".join(problem.message for problem in error.value.problems)


# --------------------------------------------------------------------------------------------- names
NAMED = {
    "model": "fast",
    "model.duration": 8,
    "model.seed": -1,
    "model.watermark": False,
    "model.generate_audio": True,
    "model.service_tier": "default",
    "model.priority": 3,
    "prompt": "a kite",
}


@pytest.mark.parametrize("named", [None, NAMED])
def test_nested_seed_has_no_control_word_behind_it(named: dict[str, Any] | None) -> None:
    assert inputs(list(NAMED.values()), described(**FILM), widgets_values_named=named) == NAMED


def test_names_count_where_the_class_got_inputs_since() -> None:
    info = described(new=["INT", {"default": 9}], width=["INT", {}], mode=[["a", "b"], {}])
    assert inputs([64, "b"], info, widgets_values_named={"width": 64, "mode": "b"}) == {
        "new": 9, "width": 64, "mode": "b"
    }  # fmt: skip


def test_names_count_where_the_class_changed_their_order() -> None:
    info = described(width=["INT", {}], height=["INT", {}])
    assert inputs([768, 1344], info, widgets_values_named={"height": 768, "width": 1344}) == {
        "width": 1344, "height": 768
    }  # fmt: skip


def test_value_edited_in_the_list_alone_is_taken_as_the_editor_does_and_flagged() -> None:
    found = read(["new.png", "image"], None, "LoadImage", widgets_values_named={"image": "old.png", "upload": "image"})
    assert found.graph["3"]["inputs"]["image"] == "new.png"
    assert [(flag.node_id, flag.title) for flag in found.flags] == [("3", "Mine")]
    assert '“image”; "new.png" is taken' in found.flags[0].message


def test_list_and_names_with_the_same_values_in_other_places_are_refused() -> None:
    info = described(width=["INT", {}], height=["INT", {}])
    message = refusal([768, 1344], info, widgets_values_named={"width": 1344, "height": 768})
    assert "“width”, “height”" in message


def test_named_value_that_the_class_has_no_input_for_is_flagged() -> None:
    found = read([64, True], described(width=["INT", {}]), widgets_values_named={"width": 64, "ultra": True})
    assert found.graph["3"]["inputs"] == {"width": 64}
    assert "true for “ultra”" in found.flags[0].message


def test_named_value_that_does_not_fit_is_kept_and_flagged() -> None:
    found = read(
        [24, "auto"], described(fps=["FLOAT", {}], depth=["INT", {}]), widgets_values_named={"fps": 24, "depth": "auto"}
    )
    assert found.graph["3"]["inputs"] == {"fps": 24, "depth": "auto"}
    assert [flag.message for flag in found.flags] == ['Its input “depth” holds "auto", where a whole number belongs.']


def test_serialized_properties_hold_the_values() -> None:
    stored = ["seconds", 768, 1344, 18, 0.9, 0.25]
    properties = {"has_serialized_properties": True, "width": 1344, "height": 768, "strength": 0.9, "falloff": 0.25}
    assert inputs(stored, described(**SIZED), properties=properties) == {
        "width": 1344, "height": 768, "strength": 0.9, "falloff": 0.25
    }  # fmt: skip
    del properties["falloff"]
    assert "“falloff”" in refusal(stored, described(**SIZED), properties=properties)


# --------------------------------------------------------------------------------------------- positions
@pytest.mark.parametrize(
    "values",
    [
        [5, "fixed", 25, 7.0, "dpmpp_2m", "karras", 1.0],
        [5, None, 25, 7.0, "dpmpp_2m", "karras", 1.0],
        [5, True, 25, 7.0, "dpmpp_2m", "karras", 1.0],
        [5, 25, 7.0, "dpmpp_2m", "karras", 1.0],
        [None, 5, "randomize", 25, 7.0, "dpmpp_2m", "karras", 1.0],
        [5, "fixed", 25, 7.0, None, "dpmpp_2m", "karras", 1.0],
        [5, "fixed", 25, 7.0, "dpmpp_2m", "karras", 1.0, None, "", "image"],
    ],
)
def test_only_layout_in_which_all_values_fit_is_taken(values: list[Any]) -> None:
    assert inputs(values, kind="KSampler") == SAMPLER


def test_other_order_in_which_numbers_could_change_places_is_refused() -> None:
    assert "more than one way" in refusal([5, "fixed", 25, "dpmpp_2m", 7.0, "karras", 1.0], kind="KSampler")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["a boat", "fixed", 25, 7.0, "dpmpp_2m", "karras", 1.0], 'input “seed” holds "a boat", where a whole number'),
        ([5, "fixed", "many", 7.0, "dpmpp_2m", "karras", 1.0], 'input “steps” holds "many", where a whole number'),
        (
            [5, "fixed", 25, 7.0, True, "karras", 1.0],
            "input “sampler_name” holds true, which is not one of its options",
        ),
        ([5, "fixed", 25, 7.0, "karras", "karras", 1.0], 'input “sampler_name” holds "karras", which is not one'),
        ([5, 12, 13, 14, 15], "12 stands where the editor keeps the control word"),
    ],
)
def test_value_that_fits_nowhere_is_refused_with_input_and_value(values: list[Any], words: str) -> None:
    assert words in refusal(values, kind="KSampler")


def test_word_of_a_control_that_the_class_has_no_more_shifts_no_text() -> None:
    info = described(seed=["INT", {"control_after_generate": False}], prompt=["STRING", {}])
    assert inputs([7, "randomize", "a boat"], info) == {"seed": 7, "prompt": "a boat"}


def test_dummies_of_inputs_that_can_only_be_linked_take_no_value() -> None:
    info = described(
        status=["STRING", {"forceInput": True}], unet=[["a", "b"], {}], clip=[["c", "d"], {}], dtype=[["e", "f"], {}]
    )
    expected = {"unet": "b", "clip": "d", "dtype": "f"}
    for values in (["b", "d", "f"], ["", "b", "d", "f"], ["text", "b", "d", "f"], [None, "b", "d", "f", None]):
        assert inputs(values, info) == expected


def test_values_in_another_order_are_put_where_alone_they_fit() -> None:
    info = described(
        TAPose=["BOOLEAN", {"default": False}],
        Seed=["INT", {"min": 0, "max": 65535, "control_after_generate": False}],
        Material=[["PBR", "Shaded"], {}],
        Polygons=[["4K-Quad", "500K-Triangle"], {}],
    )
    assert inputs([0, "PBR", "500K-Triangle", False], info) == {
        "TAPose": False, "Seed": 0, "Material": "PBR", "Polygons": "500K-Triangle"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "required"),
    [
        ([5, True], {"seed": ["INT", {}], "flag": ["BOOLEAN", {}]}),
        ([5, ""], {"seed": ["INT", {}], "prompt": ["STRING", {"default": "a boat"}]}),
        ([5, "fixed"], {"seed": ["INT", {}], "mode": [["populate", "fixed"], {}]}),
    ],
)
def test_control_word_that_may_be_a_value_is_refused(values: list[Any], required: dict[str, Any]) -> None:
    assert "more than one way" in refusal(values, described(**required))


def test_several_layouts_that_fit_are_refused() -> None:
    info = described(a=["INT", {}], b=["INT", {}], word=[["x", "y"], {}])
    message = refusal(["x", 1, 2], info)
    assert "“a” could be" in message and "1" in message and "2" in message


def test_file_that_the_server_lacks_is_no_misfit() -> None:
    assert inputs(["mine.safetensors"], kind="CheckpointLoaderSimple") == {"ckpt_name": "mine.safetensors"}
    assert inputs([5, "fixed", 25, 7.0, "newest_sampler", "karras", 1.0], kind="KSampler") == {
        **SAMPLER, "sampler_name": "newest_sampler"
    }  # fmt: skip


def test_surplus_values_are_flagged_unless_they_say_nothing() -> None:
    assert inputs([64, 64, 1, 0, None, "", "image", {}], kind="EmptyImage") == {
        "width": 64, "height": 64, "batch_size": 1, "color": 0
    }  # fmt: skip
    found = read([64, 64, 1, 0, "extra", 5], None, "EmptyImage")
    assert [flag.message for flag in found.flags] == [
        'The file has "extra", which none of its inputs takes; it is left out.',
        "The file has 5, which none of its inputs takes; it is left out.",
    ]  # fmt: skip


def test_option_that_the_server_does_not_know_is_refused_by_name() -> None:
    assert 'input “model” holds "newest", which is not one of its options' in refusal(
        ["newest", 8, "a kite"], described(**FILM)
    )


def test_stored_value_of_a_linked_input_does_not_matter() -> None:
    source = {"id": 1, "type": "PrimitiveInt", "mode": 0, "widgets_values": [7, "fixed"], "outputs": [{"type": "INT"}]}
    slot = {"name": "steps", "type": "INT", "widget": {"name": "steps"}, "link": 9}
    values = [5, "fixed", "", 7.0, "dpmpp_2m", "karras", 1.0]
    target = {"id": 3, "type": "KSampler", "mode": 0, "widgets_values": values, "inputs": [slot]}
    graph = convert_flagged({"nodes": [source, target], "links": [[9, 1, 0, 3, 0, "INT"]]}, OBJECT_INFO).graph
    assert graph["3"]["inputs"] == {**SAMPLER, "steps": ["1", 0]}
