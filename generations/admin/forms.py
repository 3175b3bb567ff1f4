"""The forms of a template itself, and of the workflow that becomes its next version."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.urls import reverse
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminImageFieldWidget,
    UnfoldAdminTextInputWidget,
)

from generations.comfy.graph import Graph, GraphError, GraphProblem, check_graph, load_api_graph
from generations.models import ComfyServer, WorkflowTemplate
from generations.models.template import Visibility

MAX_WORKFLOW_BYTES = 5 * 1024 * 1024
COVER_FORMATS = {"PNG", "JPEG", "WEBP", "GIF"}


class _StoredCover:
    """The present cover as its input shows it. It may belong to a draft, so the admin serves it itself."""

    def __init__(self, file: Any) -> None:
        self.url = reverse("admin:template_cover", args=[file.instance.pk])

    def __str__(self) -> str:
        return "the present cover"


class CoverWidget(UnfoldAdminImageFieldWidget):  # type: ignore[misc]  # unfold ships no types
    """Covers lie in private storage, where no public address leads."""

    def format_value(self, value: Any) -> _StoredCover | None:
        """What the page links to."""
        return _StoredCover(value) if self.is_initial(value) else None

    def is_initial(self, value: Any) -> bool:
        """True for a stored one; asking for its address, as Django does, would sign a link for nothing."""
        return bool(value) and hasattr(value, "instance")


class TemplateForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in its stubs alone
    """How a template presents itself, and to whom."""

    tags = forms.CharField(
        required=False,
        max_length=300,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Words to sort by, separated by commas.",
    )

    class Meta:
        model = WorkflowTemplate
        fields = (
            "title",
            "slug",
            "description",
            "cover",
            "tags",
            "visibility",
            "groups",
            "position",
            "time_limit_seconds",
        )
        widgets = {
            "cover": CoverWidget(attrs={"accept": "image/*"}),
            "groups": UnfoldAdminCheckboxSelectMultipleWidget(),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["tags"] = ", ".join(self.instance.tags)
        if "time_limit_seconds" in self.fields:  # not for those who may only look
            self.fields["time_limit_seconds"].required = False

    def clean_time_limit_seconds(self) -> int:
        """Left empty: the usual one."""
        usual: int = WorkflowTemplate._meta.get_field("time_limit_seconds").default
        return self.cleaned_data["time_limit_seconds"] or usual

    def clean_tags(self) -> list[str]:
        """The words, each once."""
        words = (word.strip() for word in self.cleaned_data["tags"].split(","))
        return list(dict.fromkeys(word for word in words if word))

    def clean_cover(self) -> Any:
        """A picture under a name of ours: two templates may well be given a cover.png."""
        cover = self.cleaned_data["cover"]
        if isinstance(cover, UploadedFile):
            picture_format = getattr(cover, "image").format  # noqa: B009  (set by forms.ImageField)
            if picture_format not in COVER_FORMATS:
                msg = f"Use a PNG, JPEG, WebP or GIF picture; this is {picture_format}."
                raise forms.ValidationError(msg)
            cover.name = f"{uuid.uuid4().hex}.{picture_format.lower()}"
        return cover

    def clean(self) -> dict[str, Any]:
        """Groups, where they decide."""
        data: dict[str, Any] = super().clean() or {}
        if data.get("visibility") == Visibility.GROUPS and not data.get("groups"):
            self.add_error("groups", "Choose at least one group, or let everyone see it.")
        return data


def known_nodes() -> dict[str, Any] | None:
    """The node classes of all enabled servers together; None while none has been asked yet."""
    merged: dict[str, Any] = {}
    for server in ComfyServer.objects.enabled().exclude(object_info=None).only("object_info"):
        merged = {**(server.object_info or {}), **merged}
    return merged or None


class WorkflowForm(forms.Form):
    """A workflow in API format, pasted or as a file. Each fault is told in a sentence that says what to do.

    When valid, `cleaned_data["graph"]` is the graph, and `warnings` says what may become a problem.
    """

    workflow = forms.CharField(
        required=False, strip=True, widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false"})
    )
    file = forms.FileField(required=False, allow_empty_file=True)

    def __init__(self, *args: Any, catalog: dict[str, Any] | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.catalog = catalog
        self.warnings: list[str] = []

    def clean(self) -> dict[str, Any]:
        """Read it. A chosen file goes before pasted text."""
        data: dict[str, Any] = super().clean() or {}
        file: UploadedFile[Any] | None = data.get("file")
        field = "workflow" if file is None else "file"
        if file is not None and (file.size or 0) > MAX_WORKFLOW_BYTES:
            self.add_error(field, "This file is larger than 5 MB, so it is no workflow.")
            return data
        source: bytes | str = data.get("workflow", "") if file is None else file.read()
        if not source.strip():
            self.add_error(field, "This is empty. Paste a workflow, or choose its file.")
            return data
        try:
            data["graph"] = load_api_graph(source)
        except GraphError as error:
            self.add_error(field, str(error))
        else:
            self._check(field, data["graph"])
        return data

    def _check(self, field: str, graph: Graph) -> None:
        """Refuse what no server could ever run; model files and the like may still come, so they are warnings."""
        if self.catalog is None:
            self.warnings.append(
                "The node types were not checked, because no server has told yet which it has. "
                "Add a ComfyUI server and use “Check now”."
            )
            return
        for problem in check_graph(graph, self.catalog):
            if not problem.node_id or graph[problem.node_id]["class_type"] not in self.catalog:
                self.add_error(field, _sentence(problem))
            else:
                self.warnings.append(_sentence(problem))


def _sentence(problem: GraphProblem) -> str:
    return f"{problem.title} (node {problem.node_id}): {problem.message}" if problem.node_id else problem.message


def dump(graph: Graph) -> str:
    """The graph as text, for the text area and for downloads."""
    return json.dumps(graph, indent=2, ensure_ascii=False)
