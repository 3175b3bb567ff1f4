"""The preview, trying a draft, and covers from results."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from generations.models import ComfyServer, Generation, Status
from generations.studio import drafts, editing
from tests.generations.admin.pages import HTMX, address, draft_names
from tests.support.factories import make_asset, make_generation, make_output, make_template
from tests.support.simulator import usual_catalog


def test_preview_is_the_form_of_users_in_a_frame(admin: Client, server: Any) -> None:
    template = make_template(publish=False)
    response = admin.get(address(template, "preview/"))
    html = response.content.decode()
    assert 'name="prompt"' in html and address(template, "try/") in html
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    policy = response["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in policy and "unsafe" not in policy
    assert admin.get(address(template))["X-Frame-Options"] == "DENY"


def test_draft_is_tried_as_oneself_and_users_notice_nothing(admin: Client, staff: Any, server: Any) -> None:
    template = make_template()
    drafts.change(template, staff, lambda draft: editing.remove(draft, draft_names(template).index("negative_prompt")))
    data = {"prompt": "a fox", "steps": "4", "cfg": "7", "width": "64", "height": "64", "seed": "5"}
    response = admin.post(address(template, "try/"), data, headers=HTMX)
    assert response.status_code == 422
    assert b"lack" in response.content  # the recordings' server has another checkpoint
    ComfyServer.objects.saw_nodes(server.pk, object_info=json.loads(usual_catalog()))
    response = admin.post(address(template, "try/"), data, headers=HTMX)
    assert b'class="panel' in response.content
    generation = Generation.objects.get()
    assert (generation.user, generation.version.number, generation.version.published_at) == (staff, 2, None)
    template.refresh_from_db()
    assert template.published_version is not None and template.published_version.number == 1


def test_wrong_values_of_a_try_are_shown_in_the_form(admin: Client, server: Any) -> None:
    template = make_template()
    response = admin.post(address(template, "try/"), {"prompt": "", "steps": "999"}, headers=HTMX)
    assert response.status_code == 422
    assert b"errorlist" in response.content
    assert not Generation.objects.exists()


def test_result_of_ones_own_becomes_the_cover(admin: Client, staff: Any, owner: Any) -> None:
    template = make_template()
    mine = make_output(make_generation(staff, template=template, status=Status.SUCCEEDED)).asset
    other = make_output(make_generation(owner, template=template, status=Status.SUCCEEDED)).asset
    assert mine is not None and other is not None
    html = admin.post(address(template, "cover/")).content.decode()
    assert str(mine.pk) in html and str(other.pk) not in html
    for pk in (other.pk, "nonsense", make_asset(staff).pk):
        assert admin.post(address(template, "cover/"), {"asset": pk}).status_code == 404
    admin.post(address(template, "cover/"), {"asset": mine.pk})
    template.refresh_from_db()
    assert template.cover.name.startswith("covers/")
