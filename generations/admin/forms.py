"""The form of a template itself."""

from __future__ import annotations

import io
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.urls import reverse
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminImageFieldWidget,
    UnfoldAdminTextInputWidget,
)

from generations.comfy.stripping import WorkflowLeftError, without_workflow
from generations.files import spooling
from generations.models import WorkflowTemplate
from generations.models.template import Visibility
from generations.studio.packages import COVER_FORMATS

NOBODY = "Nobody sees it but staff: there is nobody (any more) in what was chosen. Staff always see it."


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


class CoverField(forms.ImageField):
    """Django's own lets Pillow try every format it knows, and to open an ICO is to decode the picture in it."""

    def to_python(self, data: Any) -> Any:
        """ValidationError for anything but the few formats that a cover may have."""
        if data:
            found = spooling.sniff(data)
            data.seek(0)
            if found not in {f"image/{each}" for each in COVER_FORMATS.values()}:
                raise forms.ValidationError(f"Use a PNG, JPEG, WebP or GIF picture; this is {found}.")
        return super().to_python(data)


class TemplateForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in its stubs alone
    """How a template presents itself, and to whom: `visibility` decides, and no list counts that it does not name."""

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
            "category",
            "tags",
            "visibility",
            "groups",
            "workspaces",
            "position",
            "credits_cost",
            "time_limit_seconds",
            "is_workflow_removed",
        )
        field_classes = {"cover": CoverField}
        widgets = {
            "cover": CoverWidget(attrs={"accept": "image/*"}),
            "groups": UnfoldAdminCheckboxSelectMultipleWidget(),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["tags"] = ", ".join(self.instance.tags)
        for name in ("time_limit_seconds", "credits_cost"):
            if name in self.fields:  # not for those who may only look
                self.fields[name].required = False
        if "visibility" in self.fields and self.instance.has_nobody:
            self.fields["visibility"].help_text = NOBODY

    def clean_credits_cost(self) -> int:
        """Left empty: the usual one. 0 is a price, too."""
        usual: int = WorkflowTemplate._meta.get_field("credits_cost").default
        cost: int | None = self.cleaned_data["credits_cost"]
        return usual if cost is None else cost

    def clean_time_limit_seconds(self) -> int:
        """Left empty: the usual one."""
        usual: int = WorkflowTemplate._meta.get_field("time_limit_seconds").default
        return self.cleaned_data["time_limit_seconds"] or usual

    def clean_tags(self) -> list[str]:
        """The words, each once."""
        words = (word.strip() for word in self.cleaned_data["tags"].split(","))
        return list(dict.fromkeys(word for word in words if word))

    def clean_cover(self) -> Any:
        """A picture that browsers show, with the ending that says which kind it is."""
        cover = self.cleaned_data["cover"]
        if isinstance(cover, UploadedFile):
            picture_format = getattr(cover, "image").format  # noqa: B009  (set by forms.ImageField)
            cover.name = f"cover.{picture_format.lower()}"
            self._check_workflow(cover)
        return cover

    @staticmethod
    def _check_workflow(cover: UploadedFile[Any]) -> None:
        try:
            without_workflow(io.BytesIO(cover.read())).close()
            cover.seek(0)
        except WorkflowLeftError as error:
            msg = "The workflow cannot be taken out of this picture. Save it again with another program, and upload it."
            raise forms.ValidationError(msg) from error

    def clean(self) -> dict[str, Any]:
        """Refuses an audience without anybody, and lists that the page hides from everyone with scripts."""
        data: dict[str, Any] = super().clean() or {}
        for kind in (Visibility.GROUPS, Visibility.WORKSPACES):
            if kind.value not in self.fields:
                continue
            is_chosen = data.get("visibility") == kind
            if is_chosen and not data.get(kind.value):
                self.add_error(kind.value, f"Choose at least one of the {kind.value}: nobody would see it.")
            elif not is_chosen and data.get(kind.value):
                if kind.value in self.changed_data:
                    said = f"You chose {kind.value}, but not “{kind.label}”. Choose that, or none of them."
                    self.add_error("visibility", said)
                data[kind.value] = self.fields[kind.value].queryset.none()  # type: ignore[attr-defined]  # a choice of rows
        return data
