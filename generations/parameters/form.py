"""A template's parameters as a Django form. It checks nothing itself: `clean` asks `validate`."""

import uuid
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

from django import forms
from django.utils.datastructures import MultiValueDict

from generations.parameters.schema import Parameter, ParameterType, SeedMode
from generations.parameters.validate import InvalidInputs, json_values, validate
from generations.parameters.values import SEED_MODES, Value

_ACCEPT: dict[ParameterType, str] = {
    "image": "image/png,image/jpeg,image/webp,image/gif,image/bmp,image/tiff,image/avif",
    "mask": "image/png,image/webp,image/jpeg",
    "video": "video/*",
    "audio": "audio/*,video/mp4,video/quicktime,video/webm,video/x-matroska",
}
# Stands for a file that came with the form and has no asset id yet.
_NEW_FILE = str(uuid.UUID(int=0))


class _Exposed(forms.Field):
    """A field that page templates can ask about its parameter."""

    parameter: Parameter

    @property
    def is_advanced(self) -> bool:
        return self.parameter.is_advanced

    @property
    def section(self) -> str:
        return self.parameter.section

    @property
    def type(self) -> ParameterType:
        return self.parameter.type


class ValueField(_Exposed):
    def __init__(self, parameter: Parameter, initial: object) -> None:
        self.parameter = parameter
        super().__init__(
            required=False,
            label=parameter.label,
            help_text=parameter.help,
            initial=initial,
            widget=_widget(parameter),
        )


class UploadField(_Exposed, forms.FileField):
    def __init__(self, parameter: Parameter, *, is_needed: bool) -> None:
        self.parameter = parameter
        attrs = {"accept": _ACCEPT[parameter.type], **_common(parameter, is_needed=is_needed)}
        if parameter.drawn_on:
            attrs["data-drawn-on"] = parameter.drawn_on
        super().__init__(
            required=False,
            label=parameter.label,
            help_text=parameter.help,
            widget=forms.FileInput(attrs=attrs),
        )


class ParametersForm(forms.Form):
    """One field for each parameter, by its name; media have a hidden `<name>_asset` besides, for an earlier
    upload.

    When valid, `cleaned_data` maps every parameter's name to what `validate` returns, except that a new
    upload is its UploadedFile, for the caller to turn into an asset.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        *,
        data: Mapping[str, Any] | None = None,
        files: MultiValueDict[str, Any] | None = None,
        initial: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(data=data, files=files)
        self.parameters = tuple(parameters)
        for parameter in parameters:
            self._add(parameter, initial or {})

    def _add(self, parameter: Parameter, initial: Mapping[str, Any]) -> None:
        name = parameter.name
        if not parameter.is_media:
            # A field that is filled in goes before the mode: seeds that follow one start blank.
            value = initial.get(name, parameter.default if parameter.seed_mode == "randomize" else None)
            self.fields[name] = ValueField(parameter, json_values([parameter], {name: value})[name])
            return
        asset = initial.get(f"{name}_asset") or initial.get(name)
        self.fields[name] = UploadField(parameter, is_needed=parameter.required and not asset)
        self.fields[f"{name}_asset"] = forms.Field(required=False, initial=asset, widget=forms.HiddenInput())

    def keep(self, name: str, asset_id: uuid.UUID) -> None:
        """The file sent for this parameter is an asset now. If the form is shown again, it names that asset."""
        data: Any = copy(self.data)
        data[f"{name}_asset"] = self.cleaned_data[name] = str(asset_id)
        self.data = data

    @property
    def sections(self) -> list[tuple[str, list[forms.BoundField]]]:
        """Heading -> fields that are not folded, in the order of the parameters; "" for those without a heading."""
        found: dict[str, list[forms.BoundField]] = {}
        for parameter in self.parameters:
            if not parameter.is_advanced:
                found.setdefault(parameter.section, []).append(self[parameter.name])
        return list(found.items())

    @property
    def advanced(self) -> list[forms.BoundField]:
        """The folded fields."""
        return [self[parameter.name] for parameter in self.parameters if parameter.is_advanced]

    @property
    def has_advanced(self) -> bool:
        """True when any field is folded."""
        return any(parameter.is_advanced for parameter in self.parameters)

    @property
    def has_advanced_errors(self) -> bool:
        """True when a folded field has an error, so the folded part must be open."""
        return any(parameter.is_advanced and parameter.name in self.errors for parameter in self.parameters)

    def clean(self) -> dict[str, Any]:
        sent = self.cleaned_data
        uploads = {p.name: sent[p.name] for p in self.parameters if p.is_media and sent.get(p.name)}
        raw = {p.name: self._raw(p, sent, uploads) for p in self.parameters}
        try:
            values: dict[str, Value] = validate(self.parameters, raw)
        except InvalidInputs as invalid:
            for name, sentences in invalid.errors.items():
                if name not in self.errors:
                    self.add_error(name, sentences)
            return self.cleaned_data
        return values | uploads

    def _raw(self, parameter: Parameter, sent: Mapping[str, Any], uploads: Mapping[str, object]) -> object:
        if parameter.name in uploads:
            return _NEW_FILE
        return sent.get(f"{parameter.name}_asset" if parameter.is_media else parameter.name)


def parameters_form(
    parameters: Sequence[Parameter],
    *,
    data: Mapping[str, Any] | None = None,
    files: MultiValueDict[str, Any] | None = None,
    initial: Mapping[str, Any] | None = None,
) -> ParametersForm:
    """The form; `initial` takes values as `json_values` stores them, media as asset ids."""
    return ParametersForm(parameters, data=data, files=files, initial=initial)


def _widget(parameter: Parameter) -> forms.Widget:
    attrs = _common(parameter, is_needed=parameter.required and parameter.default in (None, ""))
    if parameter.max_length is not None:
        attrs["maxlength"] = parameter.max_length
    match parameter.type:
        case "integer" | "number":
            return forms.NumberInput(attrs=attrs | _range(parameter))
        case "seed":
            return forms.TextInput(attrs=attrs | _SEED | _seed_mode(parameter.seed_mode))
        case "text":
            return forms.Textarea(attrs=attrs | {"rows": 4})
        case "boolean":
            # A ticked box is one of two right answers, so the browser must not insist on it.
            return _Checkbox(attrs={key: value for key, value in attrs.items() if key != "required"})
        case "choice":
            return forms.Select(attrs=attrs, choices=_options(parameter))
        case _:
            return forms.TextInput(attrs=attrs)


_SEED_WORDS: dict[SeedMode, str] = {
    "randomize": "Random",
    "fixed": "Always the same",
    "increment": "One more each time",
    "decrement": "One less each time",
}
_SEED: dict[str, Any] = {
    "inputmode": "numeric",
    "autocomplete": "off",
    "pattern": rf"\s*([0-9]{{1,20}}|[Rr]andom|{'|'.join(f'[{w[0].upper()}{w[0]}]{w[1:]}' for w in SEED_MODES)})?\s*",
    "required": False,
}


def _seed_mode(mode: SeedMode) -> dict[str, str]:
    """`data-random` is what means a random seed in the field: nothing, where seeds are random by default."""
    return {"placeholder": _SEED_WORDS[mode], "data-random": "" if mode == "randomize" else "random"}


class _Checkbox(forms.CheckboxInput):
    """Browsers do not send an unticked box. `validate` reads what they do send: Django would take “off” for True."""

    def value_from_datadict(self, data: Mapping[str, Any], files: object, name: str) -> Any:
        return data.get(name, False)


def _common(parameter: Parameter, *, is_needed: bool) -> dict[str, Any]:
    return {"data-type": parameter.type, "required": is_needed}


def _range(parameter: Parameter) -> dict[str, Any]:
    """The step goes into data-step alone: as an attribute, browsers would refuse every value between two
    steps.
    """
    limits = {"min": parameter.minimum, "max": parameter.maximum}
    given = {key: value for key, value in limits.items() if value is not None}
    hints = {f"data-{key}": value for key, value in (given | {"step": parameter.step}).items() if value is not None}
    return {**given, **hints, "step": "1" if parameter.type == "integer" else "any"}


def _options(parameter: Parameter) -> list[tuple[str, str]]:
    options = [(str(choice), str(choice)) for choice in parameter.choices]
    if parameter.default is not None:
        return options
    return [("", "Choose …" if parameter.required else "As in the workflow"), *options]
