"""Templates and their versions, which nobody changes, and who may run them."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission
from django.utils import timezone

from accounts.models import User, Workspace
from generations.models import WorkflowTemplate
from generations.models.template import Visibility
from tests.support.factories import (
    make_team,
    make_template,
    make_user,
    own,
    txt2img_graph,
    version_of,
)

pytestmark = pytest.mark.django_db


def test_a_version_cannot_be_changed() -> None:
    version = make_template().versions.get()
    version.note = "changed"
    with pytest.raises(TypeError, match="immutable"):
        version.save()


def test_only_who_makes_templates_runs_a_version_that_was_never_published(owner: User) -> None:
    template = make_template()
    template.add_version(graph=txt2img_graph(), parameters=[])
    draft = version_of(template)
    helper = make_user("helper@example.com", is_staff=True)
    assert not draft.may_be_run_by(owner, own(owner))
    assert not draft.may_be_run_by(helper, own(helper))
    helper.user_permissions.add(Permission.objects.get(codename="change_workflowtemplate"))
    assert draft.may_be_run_by(User.objects.get(pk=helper.pk), own(helper))
    owner.user_permissions.add(Permission.objects.get(codename="change_workflowtemplate"))
    assert not draft.may_be_run_by(User.objects.get(pk=owner.pk), own(owner))  # the studio is for staff


def test_only_a_version_of_its_own_is_published() -> None:
    template, other = make_template(publish=False), make_template("other")
    with pytest.raises(ValueError, match="another template"):
        template.set_published(version_of(other))
    assert not WorkflowTemplate.objects.published().filter(pk=template.pk).exists()
    assert version_of(template).published_at is None


def test_who_sees_a_template(owner: User, stranger: User, staff: User) -> None:
    group = Group.objects.create(name="friends")
    owner.groups.add(group)
    everyone, friends = make_template("everyone"), make_template("friends", visibility="groups")
    make_template("draft", publish=False)
    friends.groups.add(group, Group.objects.create(name="others"))
    secret = make_template("secret", visibility="staff")
    people = (owner, stranger, staff)
    seen = [set(WorkflowTemplate.objects.visible_to(user, own(user))) for user in people]
    assert seen == [{everyone, friends}, {everyone}, {everyone, friends, secret}]
    assert not WorkflowTemplate.objects.visible_to(AnonymousUser(), own(owner)).exists()
    assert not WorkflowTemplate.objects.visible_somewhere_to(AnonymousUser()).exists()
    assert WorkflowTemplate.objects.visible_to(owner, own(owner)).count() == 2  # each once, whatever the groups
    runnable = WorkflowTemplate.objects.runnable
    assert runnable(staff, own(staff), "secret") and not runnable(owner, own(owner), "secret")
    assert not version_of(secret).may_be_run_by(owner, own(owner))
    group.delete()
    assert friends.has_nobody and not everyone.has_nobody and not secret.has_nobody  # nobody is in the other group
    Group.objects.all().delete()
    assert friends.has_nobody


def test_a_template_for_workspaces_is_there_only_while_somebody_works_in_one(owner: User, stranger: User) -> None:
    team, others = make_team(owner, name="Film"), make_team(stranger, name="Print")
    template = make_template(visibility="workspaces")
    template.workspaces.add(team)
    for user, workspace, is_seen in ((owner, team, True), (owner, own(owner), False), (stranger, others, False)):
        assert WorkflowTemplate.objects.visible_to(user, workspace).exists() is is_seen
        assert bool(WorkflowTemplate.objects.runnable(user, workspace, template.slug)) is is_seen
        assert version_of(template).may_be_run_by(user, workspace) is is_seen
    assert WorkflowTemplate.objects.visible_somewhere_to(owner).exists()
    assert not WorkflowTemplate.objects.visible_somewhere_to(stranger).exists()
    assert not template.has_nobody
    Workspace.objects.filter(pk=team.pk).update(dissolve_after=timezone.now())
    assert template.has_nobody and not WorkflowTemplate.objects.visible_somewhere_to(owner).exists()
    team.delete()
    template.refresh_from_db()
    assert template.has_nobody and template.visibility == "workspaces"  # nobody's, rather than everyone's


def test_lists_of_another_kind_are_emptied_and_none_may_be_empty(owner: User) -> None:
    template, team, group = make_template(), make_team(owner), Group.objects.create(name="VIP")
    template.open_to(Visibility.GROUPS, groups=[group])
    template.open_to(Visibility.WORKSPACES, workspaces=[team])
    assert not template.groups.exists() and template.workspaces.get() == team
    for kind in (Visibility.GROUPS, Visibility.WORKSPACES):
        with pytest.raises(ValueError, match="nobody would see it"):
            template.open_to(kind)
    assert template.workspaces.get() == team
    template.open_to(Visibility.STAFF, workspaces=[team])
    assert not template.workspaces.exists()


def test_a_search_wants_all_words_wherever_they_are() -> None:
    found = make_template(title="Old film", description="with grain", tags=["Portrait"], category="Style")
    make_template("other", title="New film")
    for text in ("film GRAIN", "portrait style", "old\x00film", "  "):
        assert found in WorkflowTemplate.objects.search(text), text
    assert not WorkflowTemplate.objects.search("old portrait landscape").exists()


def test_a_run_moves_the_estimate_a_quarter_of_the_way() -> None:
    template = make_template(mean_seconds=8.0)
    assert WorkflowTemplate.objects.note_run(template.pk, seconds=16.0) == 1
    template.refresh_from_db()
    assert template.mean_seconds == 10.0


def test_a_file_leads_to_the_first_template_made_from_it_that_still_has_a_workflow() -> None:
    WorkflowTemplate.objects.create(slug="emptied", title="Its only draft was discarded", imported_hash="blake3:1")
    first = make_template("first", imported_hash="blake3:1")
    make_template("second", imported_hash="blake3:1")
    make_template("by-hand")
    assert WorkflowTemplate.objects.made_from("blake3:1") == first
    assert WorkflowTemplate.objects.made_from("blake3:2") is None
    assert WorkflowTemplate.objects.made_from("") is None
