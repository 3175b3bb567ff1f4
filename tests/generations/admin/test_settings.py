"""The settings of a parameter, in its card."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from generations.admin.settings import SettingsForm
from generations.models import Generation, WorkflowTemplate
from generations.studio import checks, drafts
from tests.generations.admin.pages import address, draft_names, post
from tests.support.factories import make_template


def settings_of(template: WorkflowTemplate, position: int, **changes: Any) -> dict[str, Any]:
    """What a browser sends of a parameter's card."""
    definition = drafts.draft_of(template).parameters[position]
    form = SettingsForm(definition)
    sent = {name: form.initial[name] for name in form.fields if form.initial.get(name) not in (None, False)}
    sent |= {"was": definition["name"], **changes}
    return {name: "on" if value is True else value for name, value in sent.items() if value is not False}


def test_settings_are_kept_as_they_are_typed(admin: Client, server: Any) -> None:
    template = make_template()
    steps = draft_names(template).index("steps")
    data = settings_of(template, steps, label="Patience", maximum="12", help="More is slower", section="Quality")
    response = post(admin, template, f"parameters/{steps}/", **data)
    assert "Patience" in response.content.decode()
    stored = drafts.draft_of(template).parameters[steps]
    assert (stored["label"], stored["maximum"], stored["section"]) == ("Patience", 12, "Quality")
    assert stored["bindings"] == [{"node_id": "3", "input_name": "steps"}]


def test_what_becomes_of_a_seed_that_is_not_given_is_a_setting(admin: Client, server: Any) -> None:
    template = make_template()
    seed = draft_names(template).index("seed")
    post(admin, template, f"parameters/{seed}/", **settings_of(template, seed, seed_mode="increment"))
    assert drafts.draft_of(template).parameters[seed]["seed_mode"] == "increment"
    page = admin.get(address(template)).content.decode()
    assert '<option value="increment" selected>One more</option>' in page


def test_untouched_settings_change_nothing(admin: Client, server: Any) -> None:
    template = make_template()
    before = drafts.draft_of(template)
    drafts.change(template, Generation.user.field.related_model.objects.get(is_staff=True), lambda draft: None)
    for position in range(len(before.parameters)):
        post(admin, template, f"parameters/{position}/", **settings_of(template, position))
    after = checks.valid_parameters(drafts.draft_of(template))
    assert after == checks.valid_parameters(before)


def test_role_is_chosen_in_plain_words_and_ends_with_a_type_that_it_does_not_fit(admin: Client, server: Any) -> None:
    template = make_template()
    steps = draft_names(template).index("steps")
    html = " ".join(admin.get(address(template)).content.decode().split())
    assert '<option value="steps" selected data-fits="integer choice">Steps</option>' in html
    assert "Picture or video to enlarge" in html
    post(admin, template, f"parameters/{steps}/", **settings_of(template, steps, role="frames"))
    assert drafts.draft_of(template).parameters[steps]["role"] == "frames"
    post(admin, template, f"parameters/{steps}/", **settings_of(template, steps, type="number"))
    assert drafts.draft_of(template).parameters[steps]["role"] == ""


def test_role_of_another_parameter_is_a_fault_beside_the_setting(admin: Client, server: Any) -> None:
    template = make_template()
    negative = draft_names(template).index("negative_prompt")
    response = post(admin, template, f"parameters/{negative}/", **settings_of(template, negative, role="prompt"))
    assert 'data-setting="role"' in response.content.decode()
    assert "The role “Prompt” belongs to" in response.content.decode()


@pytest.mark.parametrize(
    ("name", "changes", "setting"),
    [
        ("steps", {"minimum": "90"}, "minimum"),
        ("steps", {"minimum": "0"}, "minimum"),
        ("steps", {"maximum": "99999"}, "maximum"),
        ("steps", {"minimum": "many"}, "minimum"),
        ("steps", {"default": "999"}, "default"),
        ("steps", {"name": "Not a name"}, "name"),
        ("steps", {"name": "prompt"}, "name"),
        ("steps", {"name": ""}, "name"),
        ("steps", {"type": "choice", "choices": ""}, "choices"),
        ("steps", {"type": "text"}, "type"),
    ],
)
def test_fault_is_said_beside_the_setting(
    admin: Client, server: Any, name: str, changes: dict[str, str], setting: str
) -> None:
    template = make_template()
    position = draft_names(template).index(name)
    response = post(admin, template, f"parameters/{position}/", **settings_of(template, position, **changes))
    assert f'data-setting="{setting}"' in response.content.decode()
    assert "disabled" in admin.get(address(template)).content.decode() or setting in {"minimum", "name"}


def test_settings_of_a_parameter_that_moved_reload_the_page(admin: Client, server: Any) -> None:
    template = make_template()
    data = settings_of(template, 0)
    post(admin, template, "parameters/0/move/", to="2")
    assert post(admin, template, "parameters/0/", **data)["HX-Refresh"] == "true"
    assert post(admin, template, "parameters/99/", **data)["HX-Refresh"] == "true"
