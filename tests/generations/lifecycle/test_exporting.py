"""An archive of everything: what is in it, what is not, and every fault on the way."""

from __future__ import annotations

import json
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from accounts import profile, workspaces
from accounts.models import Membership, OutgoingMail, Setback, User, Workspace
from accounts.workspaces import NotAllowedError
from generations.files import storage
from generations.lifecycle import exporting
from generations.models import DataExport, DiscardedFile, Generation, Status, Webhook
from tests.support.factories import make_asset, make_generation, make_key, make_output, make_team
from tests.support.pictures import png

pytestmark = pytest.mark.django_db(transaction=True)
State = DataExport.State


@pytest.fixture(autouse=True)
def nobody_asks(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """No worker takes it before the test does; mails are rows."""
    settings.EMAIL_BACKEND = "comfysaas.mail.Outbox"
    monkeypatch.setattr(exporting, "ask", lambda *_: None)


def make(user: User) -> DataExport:
    export = exporting.request(user)
    exporting.make_export(str(export.pk))
    export.refresh_from_db()
    return export


def contents(export: DataExport) -> dict[str, bytes]:
    with storage.open_key(export.key) as file, zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def lines(text: bytes) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_it_has_everything_of_that_person_and_nothing_of_others(owner: User, stranger: User) -> None:
    make_asset(stranger, name="theirs.png")
    make_generation(stranger, inputs={"prompt": "not mine"})
    secret = make_key(owner)
    upload = make_asset(owner, png("olive"), name="../../évil name.png")
    job = make_generation(owner, status=Status.SUCCEEDED, inputs={"prompt": "a cat"})
    make_output(job)
    team = make_team(stranger, member=owner, name="Film crew")
    made_there = make_generation(owner, workspace=team, status=Status.SUCCEEDED)
    make_generation(stranger, workspace=team, inputs={"prompt": "of a colleague"})
    profile.change(owner, time_zone="Europe/Berlin")
    profile.set_avatar(owner, b"my picture")
    profile.set_avatar(stranger, b"a stranger's picture")
    found = contents(make(owner))
    assert found["picture.webp"] == b"my picture"
    assert {each["id"] for each in lines(found["jobs.jsonl"])} == {str(job.pk), str(made_there.pk)}
    listed = {each["id"]: each for each in lines(found["files.jsonl"])}
    assert found[listed[str(upload.pk)]["path"]] == png("olive")
    assert all(name.count("/") <= 1 and ".." not in name.split("/") for name in found)
    account = json.loads(found["account.json"])
    assert (account["email"], account["time_zone"]) == (owner.email, "Europe/Berlin")
    assert "Film crew" in {each["name"] for each in account["workspaces"]}
    whole = b"".join(found.values())
    for theirs in (b"not mine", b"a stranger's picture", b"of a colleague", b"theirs.png", secret.encode()):
        assert theirs not in whole


def team_export(team: Workspace, user: User) -> DataExport:
    export = exporting.request_team(Membership.objects.get(workspace=team, user=user))
    exporting.make_export(str(export.pk))
    export.refresh_from_db()
    return export


def test_an_owner_takes_along_all_that_is_the_teams_and_nothing_else(owner: User, stranger: User) -> None:
    team = make_team(owner, member=stranger, name="Film crew")
    job = make_generation(stranger, workspace=team, status=Status.SUCCEEDED, inputs={"prompt": "of a colleague"})
    upload = make_asset(stranger, png("olive"), workspace=team)
    Webhook.objects.create(user=stranger, workspace=team, url="https://example.com/team", events=["job.failed"])
    make_generation(owner, inputs={"prompt": "mine alone"})
    make_generation(stranger, inputs={"prompt": "theirs alone"})
    profile.set_avatar(owner, b"my picture")
    found = contents(team_export(team, owner))
    (made,) = lines(found["jobs.jsonl"])
    assert (made["id"], made["member"]) == (str(job.pk), stranger.email)
    (file,) = lines(found["files.jsonl"])
    assert (file["id"], file["member"], found[file["path"]]) == (str(upload.pk), stranger.email, png("olive"))
    about = json.loads(found["team.json"])
    assert (about["name"], [each["role"] for each in about["members"]]) == ("Film crew", ["owner", "member"])
    assert "https://example.com/team" in found["webhooks.json"].decode()
    whole = b"".join(found.values())
    assert not [each for each in (b"mine alone", b"theirs alone", b"my picture", b"whsec_") if each in whole]
    assert "account.json" not in found
    assert "the team “Film crew”" in " ".join(OutgoingMail.objects.get().text.split())


def test_only_owners_have_a_team_exported_and_fetch_it_while_they_own_it(owner: User, stranger: User) -> None:
    team = make_team(owner, admin=stranger)
    with pytest.raises(NotAllowedError):
        team_export(team, stranger)
    with pytest.raises(NotAllowedError):
        team_export(Workspace.objects.personal_of(owner), owner)
    assert team_export(team, owner).is_ready
    assert DataExport.objects.of(owner).count() == 1
    workspaces.transfer(acting=owner, to=Membership.objects.get(workspace=team, user=stranger))
    assert not DataExport.objects.of(owner).exists()
    assert not DataExport.objects.of(stranger).exists()


def test_one_that_waits_is_given_up_when_its_owner_hands_the_team_over(owner: User, stranger: User) -> None:
    team = make_team(owner, admin=stranger)
    export = exporting.request_team(Membership.objects.get(workspace=team, user=owner))
    workspaces.transfer(acting=owner, to=Membership.objects.get(workspace=team, user=stranger))
    exporting.make_export(str(export.pk))
    export.refresh_from_db()
    assert (export.state, export.attempts) == (State.WAITING, 0)
    exporting.tidy_exports()
    assert not DataExport.objects.exists()
    assert exporting.request(owner).state == State.WAITING  # nothing is in its way


def test_one_that_is_being_made_ends_with_the_ownership(owner: User, stranger: User) -> None:
    team = make_team(owner, admin=stranger)
    export = exporting.request_team(Membership.objects.get(workspace=team, user=owner))
    claimed = DataExport.objects.claim(export.pk)
    assert claimed is not None
    workspaces.transfer(acting=owner, to=Membership.objects.get(workspace=team, user=stranger))
    assert not claimed.go_on()
    assert not claimed.finish("exports/key.zip", 1)


def test_a_team_and_its_owner_have_a_pause_each(owner: User) -> None:
    team = make_team(owner)
    assert team_export(team, owner).is_ready
    with pytest.raises(exporting.ExportRefusedError):
        team_export(team, owner)
    assert make(owner).is_ready


def test_whoever_left_a_team_takes_nothing_of_it_along(owner: User, stranger: User) -> None:
    team = make_team(stranger, member=owner)
    make_generation(owner, workspace=team, inputs={"prompt": "of the team"})
    make_asset(owner, workspace=team, name="theirs.png")
    Webhook.objects.create(user=owner, workspace=team, url="https://example.com/theirs", events=["job.failed"])
    job = make_generation(owner)
    workspaces.leave(acting=owner, workspace=team)
    found = contents(make(owner))
    assert [each["id"] for each in lines(found["jobs.jsonl"])] == [str(job.pk)]
    for theirs in (b"of the team", b"theirs"):
        assert theirs not in b"".join(found.values())


def test_rows_come_in_batches(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "ROWS_AT_ONCE", 2)
    for _ in range(5):
        make_generation(owner)
    newest_first = [str(each.pk) for each in Generation.objects.newest_first()]
    assert [each["id"] for each in lines(contents(make(owner))["jobs.jsonl"])] == newest_first


def test_a_mail_says_when_it_is_ready_and_holds_no_secret_link(owner: User) -> None:
    export = make(owner)
    mail = OutgoingMail.objects.get()
    assert "/account/data/" in mail.text
    assert export.key not in mail.text
    assert export.is_ready


def test_a_file_that_is_gone_is_named(owner: User) -> None:
    asset = make_asset(owner)
    default_storage.delete(asset.key)
    assert str(asset.pk).encode() in contents(make(owner))["missing.txt"]


def test_a_storage_that_fails_is_tried_again_and_then_given_up_with_a_mail(
    owner: User, monkeypatch: pytest.MonkeyPatch, media_root: Path
) -> None:
    export = exporting.request(owner)

    def refuse(*_: Any, **__: Any) -> None:
        msg = "disk full"
        raise OSError(msg)

    with monkeypatch.context() as patch:
        patch.setattr("generations.files.backends.DiskStorage._save", refuse)
        for _ in range(5):
            exporting.make_export(str(export.pk))
            DataExport.objects.update(next_attempt_at=timezone.now())
    export.refresh_from_db()
    assert (export.state, export.error) == (State.FAILED, "OSError: disk full")
    assert "could not be made" in OutgoingMail.objects.get().subject
    assert make(owner).is_ready


def test_a_kill_leaves_it_to_the_next_worker_and_nothing_behind(
    owner: User, monkeypatch: pytest.MonkeyPatch, media_root: Path
) -> None:
    export = exporting.request(owner)
    with monkeypatch.context() as patch:
        patch.setattr(DataExport, "finish", _killed)
        with pytest.raises(KeyboardInterrupt):
            exporting.make_export(str(export.pk))
    exporting.make_export(str(export.pk))  # the claim holds
    export.refresh_from_db()
    assert export.state == State.WAITING
    DataExport.objects.update(next_attempt_at=timezone.now(), claimed_until=timezone.now())
    exporting.make_export(str(export.pk))
    export.refresh_from_db()
    assert export.is_ready
    left = list((media_root / "exports").rglob("*.zip"))
    assert len(left) == 2
    monkeypatch.setattr(exporting, "ORPHAN_AGE", timedelta(seconds=-1))
    exporting.clear_orphans()
    assert [each.name for each in (media_root / "exports").rglob("*.zip")] == ["2.zip"]
    assert export.key.endswith("/2.zip")


def _killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_who_is_suspended_meanwhile_gets_none(owner: User, monkeypatch: pytest.MonkeyPatch, media_root: Path) -> None:
    monkeypatch.setattr(exporting, "GO_ON_SECONDS", -1.0)
    export = exporting.request(owner)
    real = DataExport.go_on

    def suspended(self: DataExport) -> bool:
        User.objects.filter(pk=owner.pk).update(suspended_at=timezone.now())
        return real(self)

    monkeypatch.setattr(DataExport, "go_on", suspended)
    exporting.make_export(str(export.pk))
    export.refresh_from_db()
    assert export.state == State.WAITING
    assert not OutgoingMail.objects.exists()
    assert list((media_root / "exports").rglob("*.zip*")) == []


def test_it_is_deleted_when_its_time_is_up(owner: User, media_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = make(owner)
    assert exporting.tidy_exports() == 0
    DataExport.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert exporting.tidy_exports() == 1
    assert not DataExport.objects.filter(pk=export.pk).exists()
    assert set(DiscardedFile.objects.values_list("key", flat=True)) == {export.key}


def test_what_the_broker_lost_is_asked_for_again(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    export = exporting.request(owner)
    asked: list[Any] = []
    monkeypatch.setattr(exporting, "ask", lambda _task, *args: asked.extend(args))
    exporting.tidy_exports()
    assert asked == [str(export.pk)]


def test_an_export_that_is_gone_is_none(owner: User) -> None:
    export = exporting.request(owner)
    export.delete()
    exporting.make_export("00000000-0000-0000-0000-000000000001")


def test_an_export_that_cannot_be_deleted_holds_up_no_other(
    owner: User, stranger: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = make(owner), make(stranger)
    DataExport.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    discard = exporting._discard

    def fail_for_one(export: DataExport) -> None:
        if export.pk == bad.pk:
            raise OSError
        discard(export)

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "_discard", fail_for_one)
        assert exporting.tidy_exports() == 1
    assert DataExport.objects.get() == bad
    assert exporting.tidy_exports() == 0  # not at once again
    Setback.objects.update(retry_at=timezone.now())
    assert exporting.tidy_exports() == 1
    assert not DataExport.objects.filter(pk__in=(bad.pk, good.pk)).exists()
