"""The settings of one parameter, as an admin types them in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms

from generations.parameters.roles import ROLES, fitting_role
from generations.parameters.schema import MEDIA_TYPES, Choice, Fault
from generations.studio.definitions import Definition

TYPES = [
    ("text", "Text (several lines)"),
    ("string", "Text (one line)"),
    ("integer", "Whole number"),
    ("number", "Number"),
    ("boolean", "Yes or no"),
    ("choice", "Choice"),
    ("seed", "Seed"),
    ("image", "Picture"),
    ("mask", "Mask"),
    ("video", "Video"),
    ("audio", "Sound"),
]
SEED_MODES = [
    ("randomize", "Random"),
    ("fixed", "The same"),
    ("increment", "One more"),
    ("decrement", "One less"),
]
NUMBERS = {"integer", "number"}
TEXTS = {"text", "string"}
WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
ROLE_HELP = "Lets the site and programs recognise this setting even if you rename it."


ROLE_CHOICES = [("", "Nothing in particular"), *((role, meaning.label) for role, meaning in ROLES.items())]


class RoleSelect(forms.Select):
    """Each option has the types that it fits; the page's script hides options that do not fit."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Django's, with those types."""
        option: dict[str, Any] = super().create_option(name, value, *args, **kwargs)
        if value:
            option["attrs"]["data-fits"] = " ".join(ROLES[value].types)
        return option


def _field(types: str, field: forms.Field) -> forms.Field:
    """The field of a setting that only these types have; the page's script hides it for the others."""
    field.widget.attrs["data-types"] = types
    return field


class SettingsForm(forms.Form):
    """One parameter's settings. When valid, `definition` has them as drafts store them, without the bindings.

    A draft may have settings that make no sense, such as a minimum above the maximum.
    """

    definition: Definition

    label = forms.CharField(required=False, max_length=200, help_text="What users read.")
    help = forms.CharField(required=False, max_length=2000, help_text="A hint below the field.")
    type = forms.ChoiceField(choices=TYPES)
    default = _field(
        "text string integer number boolean choice",
        forms.CharField(required=False, strip=False, widget=forms.Textarea(attrs={"rows": 2})),
    )
    minimum = _field("integer number seed", forms.CharField(required=False))
    maximum = _field("integer number seed", forms.CharField(required=False))
    step = _field("integer number", forms.CharField(required=False))
    seed_mode = _field("seed", forms.ChoiceField(required=False, choices=SEED_MODES, label="When none is given"))
    max_length = _field("text string", forms.IntegerField(required=False, min_value=1, label="Longest text"))
    choices = _field("choice", forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3})))
    is_live = _field("choice", forms.BooleanField(required=False, label="Offer what the servers have"))
    drawn_on = _field("mask", forms.CharField(required=False, max_length=64, help_text="API name of a picture."))
    role = forms.ChoiceField(
        required=False, label="Meaning", widget=RoleSelect, choices=ROLE_CHOICES, help_text=ROLE_HELP
    )
    name = forms.CharField(max_length=64, label="API name", help_text="What programs call it.")
    section = forms.CharField(required=False, max_length=100, label="Group", help_text="Heading in the form.")
    is_required = forms.BooleanField(required=False, label="Required")
    is_advanced = forms.BooleanField(required=False, label="Advanced (folded)")

    def __init__(self, definition: Definition, data: Any = None, *, position: int = 0) -> None:
        self.before = definition
        super().__init__(data, initial=_shown_all(definition), auto_id=f"p{position}-%s")
        self.fields["choices"].help_text = "One option per line."

    def clean(self) -> dict[str, Any]:
        """Make the definition."""
        data: dict[str, Any] = super().clean() or {}
        self.definition = self._define(data)
        return data

    def _define(self, data: Mapping[str, Any]) -> Definition:
        kind = data.get("type", "")
        # What this form does not know of stays as it was.
        known = {*self.fields, "required"}
        made: Definition = {key: value for key, value in self.before.items() if key not in known}
        made |= {
            "name": data.get("name", "").strip(),
            "label": data.get("label", ""),
            "help": data.get("help", ""),
            "section": data.get("section", ""),
            "type": kind,
            # Another type ends a role that does not fit it; the page's script shows that.
            "role": fitting_role(data.get("role", ""), kind),
            "required": data.get("is_required", False),
            "is_advanced": data.get("is_advanced", False),
        }
        if kind in NUMBERS or kind == "seed":
            keys = ("minimum", "maximum", "step") if kind in NUMBERS else ("minimum", "maximum")
            made |= {key: self._number(key, data.get(key, "")) for key in keys}
        if kind == "seed":
            made["seed_mode"] = data.get("seed_mode") or "randomize"
        if kind in TEXTS:
            made["max_length"] = data.get("max_length")
        if kind == "choice":
            lines = (line.strip() for line in data.get("choices", "").splitlines())
            made["choices"] = [self._choice(line) for line in lines if line]
            made["is_live"] = data.get("is_live", False)
        if kind == "mask":
            made["drawn_on"] = data.get("drawn_on", "").strip()
        made["default"] = self._default(kind, data.get("default", ""), is_required=made["required"])
        return made

    def _default(self, kind: str, text: str, *, is_required: bool) -> Any:
        if kind in MEDIA_TYPES or kind == "seed":
            return None
        if kind in TEXTS:
            # An empty text is a default like any other, unless users have to write one.
            return None if is_required and not text else text.replace("\r\n", "\n")
        if not text.strip():
            return None
        if kind in NUMBERS:
            return self._number("default", text)
        if kind == "boolean":
            if text.strip().lower() not in WORDS:
                self.add_error("default", "Write yes or no.")
            return WORDS.get(text.strip().lower())
        return self._choice(text.strip())

    def _number(self, field: str, text: str) -> int | float | None:
        text = text.strip()
        for read in (int, float):
            try:
                return read(text) if text else None
            except ValueError:
                continue
        self.add_error(field, f"“{text}” is not a number.")
        return None

    def _choice(self, text: str) -> Choice:
        """The option with this text: nodes that choose among numbers take only numbers."""
        known = {str(option): option for option in self.before.get("choices", ())}
        found: Choice = known.get(text, text)
        return found


def beside_fields(faults: Iterable[Fault]) -> dict[str, list[str]]:
    """Field of the form -> what is wrong with it; "" for what has no field."""
    found: dict[str, list[str]] = {}
    for fault in faults:
        field = {"required": "is_required"}.get(fault.field, fault.field)
        found.setdefault(field if field in SettingsForm.base_fields else "", []).append(fault.message)
    return found


def _shown_all(definition: Definition) -> dict[str, Any]:
    return {
        "name": definition.get("name", ""),
        "label": definition.get("label", ""),
        "help": definition.get("help", ""),
        "section": definition.get("section", ""),
        "type": definition.get("type", "string"),
        "role": definition.get("role", ""),
        "default": _shown(definition.get("default")),
        "minimum": _shown(definition.get("minimum")),
        "maximum": _shown(definition.get("maximum")),
        "step": _shown(definition.get("step")),
        "seed_mode": definition.get("seed_mode", "randomize"),
        "max_length": definition.get("max_length"),
        "choices": "\n".join(map(str, definition.get("choices", ()))),
        "is_live": definition.get("is_live", False),
        "drawn_on": definition.get("drawn_on", ""),
        "is_required": definition.get("required", False),
        "is_advanced": definition.get("is_advanced", False),
    }


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
