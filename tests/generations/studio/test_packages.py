"""Templates as files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from generations.models import TemplateVersion, WorkflowTemplate
from generations.studio import covers, drafts, importing, making, packages
from tests.support.factories import make_asset, make_template

pytestmark = pytest.mark.django_db


def test_package_carries_a_template_to_another_installation(
    staff: Any, django_capture_on_commit_callbacks: Any
) -> None:
    template = make_template(category="People", tags=["x"], description="**Bold**", credits_cost=3)
    template.output_nodes = []
    covers.set_cover_from(template, make_asset(staff))
    version = template.versions.get()
    package = packages.write(template, version)
    WorkflowTemplate.objects.update(published_version=None)
    TemplateVersion.objects.all().delete()
    WorkflowTemplate.objects.all().delete()
    imported = importing.read(json.dumps(package).encode(), None)
    with django_capture_on_commit_callbacks(execute=True):
        made, _notes = making.create(staff, imported, object_info=None)
    assert (made.title, made.category, made.tags, made.description, made.credits_cost) == (
        "Text to image", "People", ["x"], "**Bold**", 3
    )  # fmt: skip
    draft = drafts.draft_of(made)
    assert draft.is_like(version)
    with made.cover.open("rb") as file:
        assert file.read(4) == b"\x89PNG"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"revision": 99}, "newer"),
        ({"graph": None}, "no workflow"),
        ({"safety_node": "404"}, "safety node of this template package is not in its workflow"),
        ({"safety_node": 9}, "safety node of this template package is not in its workflow"),
        ({"parameters": [{"name": "x"}]}, "damaged"),
        ({"output_nodes": ["404"]}, "are not in its workflow"),
    ],
)
def test_damaged_package_is_refused(changes: Any, words: str) -> None:
    template = make_template()
    package = {**packages.write(template, template.versions.get()), **changes}
    with pytest.raises(importing.GraphError, match=words):
        packages.read(package)


@pytest.mark.parametrize("cover", ["no base64!", "aGVsbG8=", 5, "A" * 20_000_000])
def test_package_with_a_damaged_cover_is_read_without_it(cover: Any) -> None:
    template = make_template()
    package = {**packages.write(template, template.versions.get()), "cover": cover, "title": 5, "tags": "x"}
    details = packages.read(package).details
    assert not {"cover", "title", "tags"} & details.keys()
