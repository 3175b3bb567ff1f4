import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from generations.comfy.object_info import InputSpec, merge, node_spec, read_node_spec
from tests.comfy.recorded import OBJECT_INFO


def spec_of(*spec: object, name: str = "x") -> InputSpec:
    (found,) = read_node_spec("A", {"input": {"required": {name: list(spec)}}}).inputs
    return found


def test_the_sampler_of_a_real_server() -> None:
    node = node_spec(OBJECT_INFO, "KSampler")
    assert node is not None
    seed, steps, cfg = (node.input(name) for name in ("seed", "steps", "cfg"))
    assert seed is not None
    assert steps is not None
    assert cfg is not None
    assert (seed.type, seed.is_seed, seed.max) == ("INT", True, 18446744073709551615)
    assert (steps.min, steps.max, steps.default, steps.is_seed) == (1, 10000, 20, False)
    assert (cfg.type, cfg.step, cfg.default) == ("FLOAT", 0.1, 8.0)
    sampler, model = node.input("sampler_name"), node.input("model")
    assert sampler is not None
    assert model is not None
    assert sampler.type == "COMBO"
    assert sampler.choices is not None
    assert "euler" in sampler.choices
    assert (model.type, model.is_widget, seed.is_widget) == ("MODEL", False, True)
    assert not node.is_output_node


@pytest.mark.parametrize(
    ("class_type", "name", "upload"),
    [
        ("LoadImage", "image", "image"),
        ("LoadAudio", "audio", "audio"),
        ("LoadVideo", "file", "video"),
        ("CheckpointLoaderSimple", "ckpt_name", ""),
    ],
)
def test_upload_inputs_are_told_from_other_choices(class_type: str, name: str, upload: str) -> None:
    node = node_spec(OBJECT_INFO, class_type)
    assert node is not None
    spec = node.input(name)
    assert spec is not None
    assert spec.upload == upload


def test_prompts_are_multiline_and_savers_are_outputs() -> None:
    encode, save = node_spec(OBJECT_INFO, "CLIPTextEncode"), node_spec(OBJECT_INFO, "SaveImage")
    assert encode is not None
    assert save is not None
    assert [spec.multiline for spec in encode.inputs if spec.name == "text"] == [True]
    assert save.is_output_node


def test_both_forms_of_a_choice_read_the_same() -> None:
    assert spec_of(["a", 1, 2.5, None], {}).choices == spec_of("COMBO", {"options": ["a", 1, 2.5]}).choices
    assert spec_of([]).choices == ()
    assert spec_of("COMBO", {"remote": {"route": "/x"}}).choices is None
    assert spec_of("COMBO").type == "COMBO"


@pytest.mark.parametrize("spec", ["INT", [], ["INT", "sloppy"], ["INT", None], None, 5, [None], ["FLOAT,INT"]])
def test_sloppy_specs_still_have_a_name(spec: object) -> None:
    node = read_node_spec("A", {"input": {"required": {"x": spec}}})
    assert [found.name for found in node.inputs] == ["x"]


def test_infinite_and_nonsensical_bounds_are_none() -> None:
    spec = spec_of("FLOAT", {"min": float("-inf"), "max": "5", "step": True})
    assert (spec.min, spec.max, spec.step) == (None, None, None)


def test_the_given_order_wins_and_hidden_inputs_are_left_out() -> None:
    info = {
        "input": {
            "required": {"b": ["INT"], "a": ["INT"]},
            "optional": {"c": ["INT"]},
            "hidden": {"p": "PROMPT"},
        },
        "input_order": {"required": ["a", "gone", "b"]},
    }
    inputs = read_node_spec("A", info).inputs
    assert [(spec.name, spec.required) for spec in inputs] == [("a", True), ("b", True), ("c", False)]


def test_a_forced_link_is_no_widget() -> None:
    assert not spec_of("INT", {"forceInput": True}).is_widget


def test_unknown_classes_have_no_spec() -> None:
    assert node_spec(OBJECT_INFO, "Nope") is None
    assert node_spec(None, "KSampler") is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["input", "input_order", "display_name", "output_node"]), _json) | _json,
    _json,
)
def test_nothing_a_server_says_raises(info: object, spec: object) -> None:
    read_node_spec("A", info)
    read_node_spec("A", {"input": {"required": {"x": spec}, "optional": spec}, "input_order": spec})


# ---------------------------------------------------------------------------------------------- several servers
def sampler(required: dict[str, list[object]], optional: dict[str, list[object]] | None = None) -> dict[str, object]:
    return {"Sampler": {"input": {"required": required, "optional": optional or {}}, "output_node": True}}


def merged(**servers: dict[str, object]) -> dict[str, InputSpec]:
    node = node_spec(merge(servers), "Sampler")
    assert node is not None
    assert node.is_output_node
    return {each.name: each for each in node.inputs}


def test_one_server_alone_is_as_it_says() -> None:
    assert merge({"a": OBJECT_INFO}) == OBJECT_INFO
    assert merge({"a": OBJECT_INFO, "b": OBJECT_INFO}) == OBJECT_INFO


def test_every_servers_classes_are_there() -> None:
    assert merge({"a": {"X": {}}, "b": {"Y": {}}}) == {"X": {}, "Y": {}}


@pytest.mark.parametrize("form", ["old", "new"])
def test_choices_are_those_of_any_server(form: str) -> None:
    def of(*files: str) -> list[object]:
        return [list(files), {}] if form == "old" else ["COMBO", {"options": list(files)}]

    found = merged(a=sampler({"model": of("a", "both")}), b=sampler({"model": of("both", "b")}))
    assert found["model"].choices == ("a", "both", "b")
    assert found["model"].required
    assert not found["model"].only_on


def test_numbers_may_be_what_any_server_takes() -> None:
    found = merged(
        a=sampler({"steps": ["INT", {"min": 1, "max": 50}], "cfg": ["FLOAT", {"max": 3}]}),
        b=sampler({"steps": ["INT", {"min": 4, "max": 100}], "cfg": ["FLOAT", {}]}),
    )
    assert (found["steps"].min, found["steps"].max, found["cfg"].max) == (1, 100, None)


def test_what_only_some_servers_require_is_not_required_and_named() -> None:
    found = merged(
        a=sampler({"steps": ["INT"], "old": ["INT"]}),
        b=sampler({"steps": ["INT"], "new": ["INT", {"default": 3}]}, {"old": ["INT"]}),
    )
    assert list(found) == ["steps", "old", "new"]  # editors keep values by position: the first server's order stays
    assert [each.required for each in found.values()] == [True, False, False]
    assert (found["old"].only_on, found["old"].required_by) == ((), ("a",))
    assert (found["new"].only_on, found["new"].required_by, found["new"].default) == (("b",), ("b",), 3)


@example({"a": {"X": {"input": {"required": {"x": None}, "optional": {"y": []}}}}})
@given(st.dictionaries(st.sampled_from("ab"), st.dictionaries(st.sampled_from("XY"), st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["input", "required", "optional", "x", "min", "options"]), inner, max_size=3),
), max_size=2), max_size=2))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_nothing_that_servers_say_breaks_merging(servers: dict[str, dict[str, object]]) -> None:
    found = merge(servers)
    for name in found:
        node_spec(found, name)


def test_a_class_is_read_once_and_again_when_it_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generations.comfy.object_info.MAX_READ", 2)
    one, other = ({"A": {"input": {"required": {name: ["INT"]}}}, "B": {"input": {}}} for name in ("x", "y"))
    first = node_spec(one, "A")
    assert node_spec(one, "A") is first
    assert [each.name for spec in (first, node_spec(other, "A")) if spec for each in spec.inputs] == ["x", "y"]
    assert [spec.class_type for name in "BAB" if (spec := node_spec(one, name))] == ["B", "A", "B"]
    same = one["A"]
    assert [spec.class_type for name in "CD" if (spec := node_spec({"C": same, "D": same}, name))] == ["C", "D"]
