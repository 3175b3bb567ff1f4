"""Deleting accounts for good: everything that is theirs alone, in steps that can be cut off anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts import closing
from accounts.models import AuditEntry, OutgoingMail, Setback, User, Workspace
from accounts.workspaces import delete_dissolved
from generations.files.assets import delete_files
from generations.lifecycle import emptying, erasure, exporting, withdrawal
from generations.models import (
    Asset,
    DataExport,
    DiscardedFile,
    Generation,
    IdempotencyKey,
    Status,
    Webhook,
    WebhookDelivery,
)
from tests.support.factories import make_asset, make_generation, make_key, make_output, make_team

pytestmark = pytest.mark.django_db(transaction=True)


def close_and_wait(person: User) -> None:
    """Until the time of this account has come; what was under way is canceled."""
    closing.close(person)
    withdrawal.cancel_withdrawn(person.pk)
    moment = timezone.now() - timedelta(days=15)
    Workspace.objects.filter(dissolve_after=person.delete_after).update(dissolve_after=moment)
    changes = {"closed_at": moment, "suspended_at": moment, "delete_after": timezone.now() - timedelta(hours=1)}
    User.objects.filter(pk=person.pk).update(**changes)


def files(root: Path) -> list[Path]:
    """Once the storage has let go of what nothing names."""
    delete_files(list(DiscardedFile.objects.values_list("key", flat=True)))
    return [each for each in root.rglob("*") if each.is_file()]


def furnish(person: User) -> None:
    """One of everything."""
    upload = make_asset(person)
    done = make_generation(person, status=Status.SUCCEEDED, input_assets=[upload])
    make_output(done)
    make_generation(person, status=Status.QUEUED)
    hook = person.webhooks.create(url="https://example.com/hook")
    hook.deliveries.create(event="job.failed", payload={})
    make_key(person)
    IdempotencyKey.objects.create(user=person, key="once")
    exporting.make_export(str(exporting.request(person).pk))


def everything(person: User) -> list[Any]:
    models: list[Any] = [Generation, Asset, Webhook, DataExport, IdempotencyKey]
    rows = [row for model in models for row in model.objects.filter(user=person.pk)]
    return rows + list(WebhookDelivery.objects.filter(webhook__user=person.pk))


def test_nothing_is_left_of_an_account_and_others_keep_theirs(owner: User, stranger: User, media_root: Path) -> None:
    furnish(stranger)
    before = set(files(media_root))
    furnish(owner)
    close_and_wait(owner)
    assert erasure.delete_accounts() == 1
    assert everything(owner) == []
    assert not User.objects.filter(pk=owner.pk).exists()
    assert set(files(media_root)) == before
    assert len(everything(stranger)) == 8
    assert erasure.delete_accounts() == 0


def test_nothing_happens_before_its_time(owner: User) -> None:
    furnish(owner)
    closing.close(owner)
    withdrawal.cancel_withdrawn(owner.pk)
    number = len(everything(owner))
    assert erasure.delete_accounts() == 0
    assert len(everything(owner)) == number


STEPS: list[tuple[Any, str]] = [
    (closing, "part"), (closing, "forget"), (exporting, "discard_all"), (emptying, "remove_some"),
    (emptying, "discard_unused"), (emptying, "delete_some"), (erasure, "delete_some"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "name"), STEPS, ids=[name for _module, name in STEPS])
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_step_is_made_good(  # noqa: PLR0917  (fixtures)
    owner: User, media_root: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, is_after: bool
) -> None:
    furnish(owner)
    close_and_wait(owner)
    real: Callable[..., Any] = getattr(module, name)

    def killed(*args: Any, **kwargs: Any) -> Any:
        if is_after:
            real(*args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, name, killed)
        with pytest.raises(KeyboardInterrupt):
            erasure.delete_accounts()
    erasure.delete_accounts()
    assert everything(owner) == []
    assert not User.objects.filter(pk=owner.pk).exists()
    assert files(media_root) == []


def test_it_takes_several_turns_when_there_is_much(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        make_generation(owner, status=Status.SUCCEEDED)
    close_and_wait(owner)
    monkeypatch.setattr(emptying, "AT_ONCE", 2)
    person = User.objects.get(pk=owner.pk)
    assert not erasure.erase(person, until=time.monotonic() - 1)
    assert Generation.objects.filter(user=owner).count() == 3
    assert not erasure.erase(person, until=time.monotonic() - 1)
    assert erasure.erase(person, until=time.monotonic() + 60)


def test_it_waits_for_a_server_that_has_not_let_go(owner: User) -> None:
    running = make_generation(owner, status=Status.RUNNING)
    close_and_wait(owner)
    assert erasure.delete_accounts() == 0
    assert User.objects.filter(pk=owner.pk).exists()
    Generation.objects.filter(pk=running.pk).update(status=Status.CANCELED, finished_at=timezone.now())
    assert erasure.delete_accounts() == 1


def test_what_was_made_for_a_team_stays_there_without_a_name(owner: User, stranger: User, media_root: Path) -> None:
    team = make_team(stranger, member=owner)
    theirs = make_generation(owner, workspace=team, status=Status.SUCCEEDED)
    make_generation(owner, status=Status.SUCCEEDED)
    hook = Webhook.objects.create(user=owner, workspace=team, url="https://example.com/team")
    close_and_wait(owner)
    assert erasure.delete_accounts() == 1
    theirs.refresh_from_db()
    hook.refresh_from_db()
    assert theirs.user.shown_name == "Deleted account"
    assert not hook.is_enabled
    assert list(Generation.objects.filter(user=owner)) == [theirs]
    assert erasure.delete_accounts() == 0


def test_a_team_without_others_goes_first(owner: User) -> None:
    team = make_team(owner)
    make_generation(owner, workspace=team, status=Status.SUCCEEDED)
    close_and_wait(owner)
    assert erasure.delete_accounts() == 0
    delete_dissolved()
    assert erasure.delete_accounts() == 1
    assert not User.objects.filter(pk=owner.pk).exists()


def test_a_mail_server_that_is_down_holds_up_nothing(owner: User, settings: Any) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_HOST = "comfysaas.mail.Outbox", "127.0.0.1"
    close_and_wait(owner)
    assert erasure.delete_accounts() == 1
    assert OutgoingMail.objects.filter(subject__contains="was deleted").exists()


def test_the_audit_log_stays(owner: User, staff: User) -> None:
    from accounts import standing

    standing.sign_out_everywhere(owner, by=staff)
    close_and_wait(owner)
    assert erasure.delete_accounts() == 1
    assert AuditEntry.objects.about(owner.pk).exists()


def test_the_fault_of_one_account_stops_no_other_and_is_tried_again_later(
    owner: User, stranger: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for person in (owner, stranger):
        close_and_wait(person)
    part, tried = closing.part, []

    def fail_for_the_owner(person: User) -> bool:
        tried.append(person.pk)
        if person.pk == owner.pk:
            raise RuntimeError
        return part(person)

    with monkeypatch.context() as patch:
        patch.setattr(closing, "part", fail_for_the_owner)
        assert erasure.delete_accounts() == 1
        assert erasure.delete_accounts() == 0
        assert sorted(tried) == sorted([owner.pk, stranger.pk])  # the owner's not at once again
    assert f"the account {owner.pk} failed" in caplog.text
    assert not User.objects.filter(pk=stranger.pk).exists()
    Setback.objects.update(retry_at=timezone.now())
    assert erasure.delete_accounts() == 1
    assert not Setback.objects.exists()
