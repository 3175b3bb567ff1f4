"""From a pasted workflow to parameters: the two forms of the template admin."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from generations.comfy.graph import Graph, GraphError, check_graph, load_api_graph
from generations.models import ComfyServer, TemplateVersion
from generations.parameters.detect import NodeDescription, describe
from generations.parameters.schema import DefinitionError, Parameter, check_bindings, parse_parameters

MAX_WORKFLOW_BYTES = 5 * 1024 * 1024
TYPES = [(name, name.capitalize()) for name in (
    "text", "string", "integer", "number", "boolean", "choice", "seed", "image", "mask", "video", "audio",
)]  # fmt: skip
Definition = dict[str, Any]


def known_nodes() -> dict[str, Any] | None:
    """The node classes of all enabled servers together; None while none has been asked yet."""
    catalogs: Iterable[Any] = (
        ComfyServer.objects.enabled().exclude(object_info=None).values_list("object_info", flat=True)
    )
    merged: dict[str, Any] = {}
    for catalog in catalogs:
        merged = {**catalog, **merged}
    return merged or None


class WorkflowForm(forms.Form):
    """A workflow in API format, pasted or as a file. Each fault is told in a sentence that says what to do."""

    workflow = forms.CharField(
        required=False, strip=True, widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false"})
    )
    file = forms.FileField(required=False)

    def clean(self) -> dict[str, Any]:
        """`graph` in cleaned_data."""
        data = super().clean() or {}
        file: UploadedFile[Any] | None = data.get("file")
        if file is not None and (file.size or 0) > MAX_WORKFLOW_BYTES:
            self.add_error("file", "This file is larger than 5 MB: that is no workflow.")
            return data
        source: bytes | str = file.read() if file is not None else data.get("workflow", "")
        field = "file" if file is not None else "workflow"
        if not source:
            self.add_error(None, "Paste a workflow, or choose its file.")
            return data
        try:
            data["graph"] = load_api_graph(source)
        except GraphError as error:
            self.add_error(field, str(error))
            return data
        self._check_nodes(field, data["graph"])
        return data

    def _check_nodes(self, field: str, graph: Graph) -> None:
        """Refuse what no server could run. Model files may still be installed later: those are no obstacle."""
        catalog = known_nodes()
        if catalog is None:
            return
        unknown = [
            problem for problem in check_graph(graph, catalog) if graph[problem.node_id]["class_type"] not in catalog
        ]
        for problem in unknown:
            self.add_error(field, f"{problem.title}: {problem.message}")


class ExposeForm(forms.Form):
    """One input of one node: leave it as it is, or let users set it."""

    node_id = forms.CharField(widget=forms.HiddenInput)
    input_name = forms.CharField(widget=forms.HiddenInput)
    is_exposed = forms.BooleanField(required=False, label="Users may set it")
    name = forms.CharField(required=False, max_length=64, help_text="In the API. The same name twice is one parameter.")
    label = forms.CharField(required=False, max_length=200)
    help = forms.CharField(required=False, max_length=2000)
    type = forms.ChoiceField(choices=TYPES, required=False)
    default = forms.CharField(required=False, strip=False, widget=forms.Textarea(attrs={"rows": 1}))
    minimum = forms.CharField(required=False)
    maximum = forms.CharField(required=False)
    step = forms.CharField(required=False)
    choices = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}), help_text="One a line.")
    required_ = forms.BooleanField(required=False, label="Required")
    is_advanced = forms.BooleanField(required=False, label="Under “Advanced”")

    def definition(self) -> Definition:
        """The parameter as JSON. ValueError when a number is none."""
        data = self.cleaned_data
        kind = data["type"]
        made: Definition = {
            "name": data["name"].strip(),
            "label": data["label"],
            "help": data["help"],
            "type": kind,
            "required": data["required_"],
            "is_advanced": data["is_advanced"],
            "bindings": [{"node_id": data["node_id"], "input_name": data["input_name"]}],
        }
        if data["default"] != "" and kind not in {"image", "mask", "video", "audio", "seed"}:
            made["default"] = _typed(data["default"], kind)
        if kind in {"integer", "number", "seed"}:
            for key in ("minimum", "maximum", "step"):
                if data[key].strip():
                    made[key] = _number(data[key], key)
        if kind == "choice":
            made["choices"] = [line.strip() for line in data["choices"].splitlines() if line.strip()]
        return made


def _number(text: str, what: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        msg = f"The {what} “{text}” is no number."
        raise ValueError(msg) from None


def _typed(text: str, kind: str) -> Any:
    if kind == "integer":
        return _number(text, "default")
    if kind == "number":
        return float(_number(text, "default"))
    if kind == "boolean":
        return text.strip().lower() in {"true", "yes", "on", "1"}
    return text


class BaseExposeFormSet(forms.BaseFormSet[ExposeForm]):
    """All inputs of a graph. `parameters` after is_valid()."""

    graph: Graph
    parameters: list[Definition]

    def clean(self) -> None:
        """The parameters as a whole: names, bounds, bindings. Faults are put beside the input that has them."""
        if any(self.errors):
            return
        merged: dict[str, Definition] = {}
        places: dict[str, ExposeForm] = {}
        for form in self.forms:
            if not form.cleaned_data.get("is_exposed"):
                continue
            try:
                made = form.definition()
            except ValueError as error:
                form.add_error(None, str(error))
                continue
            places.setdefault(made["name"], form)
            if made["name"] in merged:
                merged[made["name"]]["bindings"] += made["bindings"]
            else:
                merged[made["name"]] = made
        self.parameters = list(merged.values())
        try:
            check_bindings(parse_parameters(self.parameters), self.graph)
        except DefinitionError as error:
            for name, sentences in error.errors.items():
                form = places.get(name) or next(iter(places.values()))
                form.add_error(None, sentences)
        if any(form.errors for form in self.forms):
            msg = "Something is not right yet: see below."
            raise forms.ValidationError(msg)


ExposeFormSet = forms.formset_factory(ExposeForm, formset=BaseExposeFormSet, extra=0, max_num=5000, absolute_max=5000)


def expose_initial(nodes: list[NodeDescription], version: TemplateVersion | None) -> list[dict[str, Any]]:
    """A row for each input that may be exposed: as the current version has it, else as a suggestion."""
    known: dict[tuple[str, str], Parameter] = {}
    for parameter in version.parsed_parameters if version else ():
        for binding in parameter.bindings:
            known[binding.node_id, binding.input_name] = parameter
    rows = []
    for node in nodes:
        for each in node.inputs:
            current = known.get((node.node_id, each.input_name))
            shown = current or each.suggested
            if shown is None:
                continue
            rows.append(
                {
                    "node_id": node.node_id,
                    "input_name": each.input_name,
                    "is_exposed": current is not None,
                    "name": shown.name,
                    "label": shown.label,
                    "help": shown.help,
                    "type": shown.type,
                    "default": "" if shown.default is None else str(shown.default),
                    "minimum": _shown(shown.minimum),
                    "maximum": _shown(shown.maximum),
                    "step": _shown(shown.step),
                    "choices": "\n".join(map(str, shown.choices)),
                    "required_": shown.required,
                    "is_advanced": shown.is_advanced,
                }
            )
    return rows


def _shown(value: float | None) -> str:
    return "" if value is None else str(value)


def nodes_of(graph: Graph) -> list[NodeDescription]:
    """The graph's nodes with their inputs, for the page."""
    return describe(graph, known_nodes())


def dump(graph: Graph) -> str:
    """The graph as text, for the hidden field of the second step and for downloads."""
    return json.dumps(graph, indent=2, ensure_ascii=False)
