"""Files that nothing names any more go, whatever becomes of the broker, the worker and the storage meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from generations import broker, tasks
from generations.files import assets, storage
from generations.lifecycle import storing
from generations.models import Asset, DiscardedFile
from generations.models.discarded import ASKED_AGAIN
from generations.webhooks import sending
from tests.support.factories import make_asset, make_user

pytestmark = pytest.mark.django_db(transaction=True)


def unreachable(*_: object) -> None:
    raise OperationalError("Error 111 connecting to the broker")


@pytest.fixture
def stored() -> Asset:
    """An asset with its file and thumbnail."""
    return make_asset(make_user())


@contextmanager
def dead_broker() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker, "_broker", broker._Broker())
        for task in (assets.delete_files, sending.deliver_webhooks, storing.store_outputs):
            patch.setattr(task, "delay", unreachable)
        yield


def discard(asset: Asset) -> None:
    with transaction.atomic():
        assets.discard(Asset.objects.filter(pk=asset.pk))


def is_kept(asset: Asset) -> list[bool]:
    return [default_storage.exists(key) for key in (asset.key, asset.thumbnail_key)]


def later() -> None:
    DiscardedFile.objects.update(asked_at=timezone.now() - 2 * ASKED_AGAIN)


def test_files_go_with_the_last_row_that_names_them(stored: Asset, eager_tasks: None) -> None:
    discard(stored)
    assert is_kept(stored) == [False, False]
    assert not DiscardedFile.objects.exists()


def test_a_lost_message_is_made_up_for(stored: Asset, eager_tasks: None) -> None:
    with dead_broker():
        discard(stored)
    assert is_kept(stored) == [True, True]

    tasks.sweep()
    assert is_kept(stored) == [True, True]  # a worker may be at it
    later()
    tasks.sweep()
    assert is_kept(stored) == [False, False]
    assert not DiscardedFile.objects.exists()


def test_what_the_storage_keeps_for_now_is_deleted_later(stored: Asset, eager_tasks: None) -> None:
    delete = storage.delete

    def refusing(keys: list[str]) -> None:
        if keys == [stored.thumbnail_key]:
            raise OSError("The storage refuses")
        delete(keys)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "delete", refusing)
        discard(stored)
    assert is_kept(stored) == [False, True]
    assert [row.key for row in DiscardedFile.objects.all()] == [stored.thumbnail_key]

    later()
    tasks.sweep()
    assert is_kept(stored) == [False, False]
    assert not DiscardedFile.objects.exists()


def test_a_rollback_keeps_row_and_files(stored: Asset, eager_tasks: None) -> None:
    class Undone(Exception):
        pass

    with pytest.raises(Undone), transaction.atomic():
        assets.discard(Asset.objects.filter(pk=stored.pk))
        raise Undone
    assert is_kept(stored) == [True, True]
    assert Asset.objects.filter(pk=stored.pk).exists()
    assert not DiscardedFile.objects.exists()
