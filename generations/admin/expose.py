"""Which inputs of a workflow users may set, and how: one form for each input that could be exposed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django import forms

from generations.comfy.graph import Graph
from generations.models import TemplateVersion
from generations.parameters.detect import InputDescription, NodeDescription
from generations.parameters.schema import (
    MEDIA_TYPES,
    Choice,
    DefinitionError,
    Parameter,
    check_bindings,
    parse_parameters,
)

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
NUMBERS = {"integer", "number"}
TEXTS = {"text", "string"}
WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
# Faults of a definition as a whole begin like this; they are shown beside the setting they speak of.
PLACES = {
    "The default": "default",
    "The minimum": "minimum",
    "Minimum": "minimum",
    "The step": "step",
    "A choice needs": "choices",
    "Options": "choices",
    "Every option": "choices",
    "Another parameter": "name",
    "This name": "name",
}
CHANGED = "The workflow is not the same any more. Please start over."
Definition = dict[str, Any]


def _field(types: str, field: forms.Field) -> forms.Field:
    """A setting that only these types have; the page's script hides it for the others."""
    field.widget.attrs["data-types"] = types
    return field


class ExposeForm(forms.Form):
    """One input of one node: leave it as it is, or let users set it. `definition` when it is exposed and valid."""

    definition: Definition

    node_id = forms.CharField(required=False, widget=forms.HiddenInput)
    input_name = forms.CharField(required=False, widget=forms.HiddenInput)
    is_exposed = forms.BooleanField(required=False)
    label = forms.CharField(required=False, max_length=200, help_text="What users read.")
    name = forms.CharField(
        required=False, max_length=64, label="API name", help_text="Inputs with the same one are set together."
    )
    type = forms.ChoiceField(choices=TYPES, required=False)
    default = _field(
        "text string integer number boolean choice",
        forms.CharField(required=False, strip=False, widget=forms.Textarea(attrs={"rows": 1})),
    )
    minimum = _field("integer number seed", forms.CharField(required=False))
    maximum = _field("integer number seed", forms.CharField(required=False))
    step = _field("integer number seed", forms.CharField(required=False))
    max_length = _field("text string", forms.IntegerField(required=False, min_value=1, label="Longest text"))
    choices = _field("choice", forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3})))
    help = forms.CharField(required=False, max_length=2000, help_text="A hint beside the field.")
    section = forms.CharField(required=False, max_length=100, help_text="Heading to group it under.")
    is_required = forms.BooleanField(required=False, label="Required")
    is_advanced = forms.BooleanField(required=False, label="Advanced")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["choices"].help_text = "One a line."

    def clean(self) -> dict[str, Any]:
        """Make the definition. What is wrong with an input that is not exposed does not matter."""
        data: dict[str, Any] = super().clean() or {}
        if not data.get("is_exposed"):
            self.errors.clear()
            return data
        if (data.get("node_id"), data.get("input_name")) != (self.initial["node_id"], self.initial["input_name"]):
            self.add_error(None, CHANGED)
        if not data.get("name", "").strip():
            self.add_error("name", "Give it a name.")
        self.definition = self._define(data)
        return data

    def _define(self, data: dict[str, Any]) -> Definition:
        kind = data.get("type", "")
        made: Definition = {
            "name": data.get("name", "").strip(),
            "label": data.get("label", ""),
            "help": data.get("help", ""),
            "section": data.get("section", ""),
            "type": kind,
            "required": data.get("is_required", False),
            "is_advanced": data.get("is_advanced", False),
            "bindings": [{"node_id": self.initial["node_id"], "input_name": self.initial["input_name"]}],
        }
        if kind in NUMBERS or kind == "seed":
            made |= {key: self._number(key, data.get(key, "")) for key in ("minimum", "maximum", "step")}
        if kind in TEXTS:
            made["max_length"] = data.get("max_length")
        if kind == "choice":
            lines = (line.strip() for line in data.get("choices", "").splitlines())
            made["choices"] = [self._choice(line) for line in lines if line]
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
        self.add_error(field, f"“{text}” is no number.")
        return None

    def _choice(self, text: str) -> Choice:
        """The option with this text: where the node chooses among numbers, only a number will do."""
        known: dict[str, Choice] = self.initial["known_choices"]
        return known.get(text, text)

    def show(self, sentence: str) -> None:
        """Put a fault of the definition beside the setting it speaks of."""
        field, separator, reason = sentence.partition(": ")
        field = {"required": "is_required"}.get(field, field)
        if separator and field in self.fields:
            self.add_error(field, f"{reason[:1].upper()}{reason[1:]}")
            return
        self.add_error(next((field for start, field in PLACES.items() if sentence.startswith(start)), None), sentence)


class BaseExposeFormSet(forms.BaseFormSet):  # type: ignore[type-arg]  # generic in its stubs alone
    """All inputs of a graph. `parameters` when valid."""

    graph: Graph
    parameters: list[Definition]

    def initial_form_count(self) -> int:
        """As many as the workflow has inputs, whatever was sent."""
        return len(self.initial or ())

    def total_form_count(self) -> int:
        """The same: there are no others."""
        return self.initial_form_count()

    def clean(self) -> None:
        """The parameters as a whole: names, bounds, bindings. Faults are put beside the input that has them."""
        if self.management_form.cleaned_data["TOTAL_FORMS"] != self.total_form_count():
            raise forms.ValidationError(CHANGED)
        if not any(self.errors):
            self._merge()
        if any(form.errors for form in self.forms):
            msg = "Something is not right yet: look for the red sentences below."
            raise forms.ValidationError(msg)

    def _merge(self) -> None:
        merged: dict[str, Definition] = {}
        first: dict[str, Any] = {}
        for form in self.forms:
            if not form.cleaned_data.get("is_exposed"):
                continue
            made = form.definition
            name = made["name"]
            if name not in merged:
                merged[name], first[name] = made, form
            elif made["type"] == merged[name]["type"]:
                merged[name]["bindings"] += made["bindings"]
            else:
                form.add_error("name", "Another input has this name and a different type. Choose another name.")
        self.parameters = list(merged.values())
        try:
            check_bindings(parse_parameters(self.parameters), self.graph)
        except DefinitionError as error:
            for name, sentences in error.errors.items():
                for sentence in sentences:
                    first[name].show(sentence)


ExposeFormSet = forms.formset_factory(ExposeForm, formset=BaseExposeFormSet, extra=0, max_num=5000, absolute_max=5000)


def expose_initial(nodes: Sequence[NodeDescription], version: TemplateVersion | None) -> list[Definition]:
    """A row for each input that may be exposed: as the current version has it, else as a suggestion."""
    current = dict(_bound(version))
    taken = {parameter.name for parameter in current.values()}
    rows = []
    for node in nodes:
        for each in node.inputs:
            found = current.get((node.node_id, each.input_name))
            if each.suggested is not None:
                rows.append(_row(node, each, found or each.suggested, taken, is_exposed=found is not None))
    return rows


def lost_parameters(nodes: Sequence[NodeDescription], version: TemplateVersion | None) -> list[str]:
    """Names of the current version's parameters that no input of the new workflow is left for."""
    places = {(node.node_id, each.input_name) for node in nodes for each in node.inputs if each.suggested}
    kept = {parameter.name for place, parameter in _bound(version) if place in places}
    return [each.name for each in (version.parsed_parameters if version else ()) if each.name not in kept]


def _bound(version: TemplateVersion | None) -> Iterator[tuple[tuple[str, str], Parameter]]:
    for parameter in version.parsed_parameters if version else ():
        for binding in parameter.bindings:
            yield (binding.node_id, binding.input_name), parameter


def _row(
    node: NodeDescription, each: InputDescription, shown: Parameter, taken: set[str], *, is_exposed: bool
) -> Definition:
    default: object = shown.default
    if default is None and not shown.required and shown.type not in {*MEDIA_TYPES, "seed"}:
        default = each.value  # what an absent value means: the workflow's own
    name = shown.name
    if not is_exposed and name in taken:
        name = f"{name[:50]}_{node.node_id}".lower().replace(":", "_").replace(".", "_")
    options = (*(each.suggested.choices if each.suggested else ()), *shown.choices)
    return {
        "node_id": node.node_id,
        "input_name": each.input_name,
        "is_exposed": is_exposed,
        "name": name,
        "label": shown.label,
        "help": shown.help,
        "section": shown.section,
        "type": shown.type,
        "default": _shown(default),
        "minimum": _shown(shown.minimum),
        "maximum": _shown(shown.maximum),
        "step": _shown(shown.step),
        "max_length": shown.max_length,
        "choices": "\n".join(map(str, shown.choices)),
        "known_choices": {str(option): option for option in options},
        "is_required": shown.required,
        "is_advanced": shown.is_advanced,
    }


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
