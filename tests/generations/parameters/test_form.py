from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils.datastructures import MultiValueDict
from hypothesis import given, settings

from generations.parameters.form import ParametersForm, parameters_form
from generations.parameters.schema import Parameter, parse_parameters
from generations.parameters.validate import InvalidInputs, validate
from tests.generations.parameters.strategies import definition, definitions_and_inputs, one

ASSET = "4ff8565b-2fd8-40e1-9488-c7698e196ef2"
PARAMETERS = parse_parameters(
    [
        definition("prompt", "text", required=True, help="What to draw"),
        definition("steps", "integer", minimum=1, maximum=50, step=1, default=20, section="Sampling"),
        definition("cfg", "number", minimum=0, maximum=30, step=0.5, default=7.5, is_advanced=True),
        definition("seed", "seed"),
        definition("tile", "boolean", default=True),
        definition("size", "choice", default="b"),
        definition("photo", "image", required=True),
    ]
)


def html(parameter: Parameter, **options: Any) -> str:
    return str(parameters_form([parameter], **options)["x"])


def upload() -> SimpleUploadedFile:
    return SimpleUploadedFile("cat.png", b"png", "image/png")


def sent(form_data: dict[str, Any], *, file: SimpleUploadedFile | None = None) -> ParametersForm:
    files: MultiValueDict[str, Any] = MultiValueDict({"photo": [file]} if file else {})
    return parameters_form(PARAMETERS, data=form_data, files=files)


def test_a_complete_form_gives_typed_values_and_the_upload() -> None:
    file = upload()
    form = sent({"prompt": "a cat", "steps": "30", "cfg": "2.25", "seed": str(2**64 - 1), "size": "1"}, file=file)
    assert form.is_valid(), form.errors
    assert form.cleaned_data == {
        "prompt": "a cat",
        "steps": 30,
        "cfg": 2.25,
        "seed": 2**64 - 1,
        "tile": False,
        "size": 1,
        "photo": file,
    }


def test_an_earlier_upload_is_passed_on_by_its_id() -> None:
    form = sent({"prompt": "a cat", "photo_asset": ASSET})
    assert form.is_valid(), form.errors
    assert form.cleaned_data["photo"] == ASSET
    assert form.cleaned_data["seed"] is None
    assert form.cleaned_data["steps"] == 20
    assert "photo_asset" not in form.cleaned_data


def test_a_new_upload_wins_over_an_earlier_one() -> None:
    file = upload()
    form = sent({"prompt": "a cat", "photo_asset": ASSET}, file=file)
    assert form.is_valid()
    assert form.cleaned_data["photo"] is file


def test_faults_are_at_their_fields() -> None:
    form = sent({"prompt": " ", "steps": "99", "cfg": "x", "seed": "-1", "size": "z", "photo_asset": "nope"})
    assert not form.is_valid()
    assert form.errors.keys() == {"prompt", "steps", "cfg", "seed", "size", "photo"}
    assert form.errors["steps"] == ["Must be at most 50."]


def test_an_empty_file_has_one_fault() -> None:
    form = sent({"prompt": "x"}, file=SimpleUploadedFile("cat.png", b""))
    assert not form.is_valid()
    assert len(form.errors["photo"]) == 1


def test_fields_tell_templates_where_they_belong() -> None:
    form = parameters_form(PARAMETERS)
    assert form.fields["cfg"].is_advanced is True  # type: ignore[attr-defined]
    assert form.fields["steps"].section == "Sampling"  # type: ignore[attr-defined]
    assert form.fields["photo"].type == "image"  # type: ignore[attr-defined]
    assert form.fields["prompt"].help_text == "What to draw"
    assert form.fields["prompt"].label == "Prompt"
    assert form.is_multipart()
    assert [field.name for field in form.hidden_fields()] == ["photo_asset"]


@pytest.mark.parametrize(
    ("kind", "more", "parts"),
    [
        ("integer", {"minimum": 16, "maximum": 99, "step": 8}, ['type="number"', 'min="16"', 'max="99"']),
        ("integer", {"step": 8}, ['step="1"', 'data-step="8"']),
        ("number", {"step": 0.1, "minimum": 0}, ['step="any"', 'data-step="0.1"', 'data-min="0"']),
        ("text", {"max_length": 9}, ["<textarea", 'maxlength="9"']),
        ("string", {"required": True}, ['type="text"', " required"]),
        ("boolean", {"default": True, "required": True}, ['type="checkbox"', " checked"]),
        ("choice", {"default": 1}, ["<select", '<option value="1" selected>', '<option value="a">']),
        ("choice", {}, ['<option value="" selected>As in the workflow']),
        ("seed", {}, ['inputmode="numeric"', 'data-random=""', 'placeholder="Random"']),
        (
            "seed",
            {"seed_mode": "increment"},
            ['placeholder="One more each time"', 'data-random="random"', "|[Ii]ncrement|"],
        ),
        ("image", {"required": True}, ['type="file"', 'accept="image/', " required"]),
        ("video", {}, ['accept="video/*"']),
        ("audio", {}, ['accept="audio/*,video/mp4']),
    ],
)
def test_widgets_fit_their_type(kind: str, more: dict[str, Any], parts: list[str]) -> None:
    rendered = html(one(kind, **more))
    assert [part for part in [*parts, f'data-type="{kind}"'] if part not in rendered] == []


@pytest.mark.parametrize("parameter", [one("seed", required=True), one("boolean", required=True)])
def test_a_browser_does_not_insist_on_what_may_be_left_empty(parameter: Parameter) -> None:
    assert " required" not in html(parameter)


def test_an_earlier_upload_need_not_be_repeated() -> None:
    form = parameters_form([one("image", required=True)], initial={"x": ASSET})
    assert " required" not in str(form["x"])
    assert f'value="{ASSET}"' in str(form["x_asset"])


def test_initial_values_are_shown_exactly() -> None:
    assert 'value="18446744073709551615"' in html(one("seed"), initial={"x": str(2**64 - 1)})
    assert 'value="18446744073709551615"' in html(one("seed"), initial={"x": 2**64 - 1})
    assert 'value="123456"' in html(one("integer", default=5), initial={"x": 123456})


def test_markup_in_definitions_is_escaped() -> None:
    rendered = str(parameters_form([one("choice", choices=["<script>"], label="<b>", help="<i>")]))
    assert "<script>" not in rendered
    assert "<b>" not in rendered


@settings(max_examples=60, deadline=None)
@given(definitions_and_inputs())
def test_the_form_agrees_with_validate(case: tuple[tuple[Parameter, ...], dict[str, Any]]) -> None:
    parameters, inputs = case
    # What a browser sends: text, nothing for an unticked box, and ids of files in their hidden fields.
    inputs = {name: value for name, value in inputs.items() if value is not None}
    data: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.name in inputs:
            key = f"{parameter.name}_asset" if parameter.is_media else parameter.name
            data[key] = str(inputs[parameter.name])
        elif parameter.type == "boolean":
            inputs[parameter.name] = False
    form = parameters_form(parameters, data=data)
    try:
        expected = validate(parameters, inputs)
    except InvalidInputs as invalid:
        assert form.errors.keys() == invalid.errors.keys()
    else:
        assert form.is_valid(), form.errors
        assert form.cleaned_data == expected


def test_a_seed_that_follows_its_mode_starts_blank() -> None:
    assert 'value="7"' in html(one("seed", default=7))
    assert "value=" not in html(one("seed", default=7, seed_mode="increment"))
    assert 'value="9"' in html(one("seed", default=7, seed_mode="increment"), initial={"x": "9"})
