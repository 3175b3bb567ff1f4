import pytest

from generations.comfy.object_info import InputSpec, node_spec
from generations.parameters.detect import suggest_parameter
from tests.comfy.recorded import OBJECT_INFO


@pytest.mark.parametrize(
    ("class_type", "name", "kind"),
    [("LoadImage", "image", "image"), ("LoadVideo", "file", "video"), ("LoadAudio", "audio", "audio")],
)
def test_upload_inputs_become_media(class_type: str, name: str, kind: str) -> None:
    spec = node_spec(OBJECT_INFO, class_type)
    assert spec is not None
    parameter = suggest_parameter("1", name, "some.file", spec.input(name))
    assert (parameter.type, parameter.default, parameter.required) == (kind, None, True)


def test_a_value_that_breaks_the_rules_is_no_default() -> None:
    checkpoint = InputSpec("ckpt_name", "COMBO", choices=("a.safetensors",))
    assert suggest_parameter("1", "ckpt_name", "gone.safetensors", checkpoint).default is None
    assert suggest_parameter("1", "steps", 0, InputSpec("steps", "INT", min=1)).default is None


def test_choice_of_models_follows_the_servers_where_they_lack_the_workflows_own() -> None:
    vae = InputSpec("vae_name", "COMBO", choices=("pixel_space",))
    lacking, there = (suggest_parameter("1", "vae_name", value, vae) for value in ("wan.safetensors", "pixel_space"))
    assert (lacking.type, lacking.is_live, lacking.choices) == ("choice", True, ("pixel_space",))
    assert (there.type, there.is_live) == ("choice", False)


@pytest.mark.parametrize(
    ("value", "spec", "kind"),
    [
        (True, None, "boolean"),
        (5, None, "integer"),
        (5.5, None, "number"),
        ("word", None, "string"),
        ("two\nlines", None, "text"),
        ("x" * 200, InputSpec("x", "STRING"), "text"),
        ("x", InputSpec("x", "STRING", multiline=True), "text"),
        ("x", InputSpec("x", "COMBO", choices=None), "string"),
        ("x", InputSpec("x", "COMBO", choices=()), "string"),
        (1, InputSpec("x", "COMBO", choices=(1, 2)), "choice"),
        (1, InputSpec("x", "FLOAT"), "number"),
        (1, InputSpec("x", "FLOAT", step=-1), "number"),
        (7, InputSpec("x", "INT", is_seed=True), "seed"),
    ],
)
def test_kinds_follow_the_spec_and_then_the_value(value: object, spec: InputSpec | None, kind: str) -> None:
    assert suggest_parameter("1", "x", value, spec).type == kind


@pytest.mark.parametrize("value", [["4", 0], [1, 2], {"a": 1}, None])
def test_what_no_parameter_can_carry_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="no constant"):
        suggest_parameter("1", "x", value)


@pytest.mark.parametrize("name", ["1st", "", "Ünïcödé", "a.b[c]", "x" * 300])
def test_strange_input_names_still_give_a_parameter(name: str) -> None:
    if not name:
        with pytest.raises(ValueError, match="input_name"):
            suggest_parameter("1", name, 1)
    else:
        assert suggest_parameter("1", name[:200], 1).bindings[0].input_name == name[:200]


def test_name_that_is_taken_gets_the_title_that_somebody_gave_or_a_number() -> None:
    titled = suggest_parameter("13", "seed", 1, title="Second pass", taken={"seed"})
    assert (titled.name, titled.label) == ("second_pass_seed", "Seed (Second pass)")
    assert suggest_parameter("14", "seed", 1, title="Second pass", taken={"seed", "second_pass_seed"}).name == "seed_2"
    assert suggest_parameter("14", "seed", 1, taken={"seed"}).name == "seed_2"
