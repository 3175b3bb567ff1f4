"""Rows of a result: written with what they need, and known without a query."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import transaction

from accounts.models import User
from generations.comfy.outputs import FileRef, OutputItem
from generations.lifecycle import results
from generations.lifecycle.results import Copied
from generations.models import Asset, Generation, Output, Status, StorageUsage, reading
from tests.support.factories import (
    make_generation,
    own,
)

pytestmark = pytest.mark.django_db


def picture(user: User, *, size_bytes: int = 7) -> Asset:
    """Its file is in the storage; no row says so yet."""
    key = f"outputs/{uuid.uuid4()}"
    return Asset(user=user, name="a.png", key=key, content_type="image/png", size_bytes=size_bytes, hash="blake3:0")


def item(index: int, *, folder: str = "output", text: str | None = None) -> OutputItem:
    file = FileRef(filename="a.png", subfolder="", type=folder) if text is None else None
    kind: Any = "image" if file else "text"
    return OutputItem(kind=kind, node_id="9", key="images", index=index, file=file, value=text)


def copied(generation: Generation) -> list[Copied]:
    """Two files, of which one is a preview, and a text."""
    return [
        Copied(0, item(0), picture(generation.user)),
        Copied(1, item(1, folder="temp"), picture(generation.user, size_bytes=5)),
        Copied(2, item(2, text="a text"), None),
    ]


def test_each_output_has_its_file_or_its_value_and_the_files_are_counted(owner: User) -> None:
    generation = make_generation(owner, status=Status.STORING)
    written = results.write(generation, copied(generation))
    found = list(generation.outputs.all())
    assert found == written
    assert [(each.kind, each.is_temporary, each.value) for each in found] == [
        ("image", False, None), ("image", True, None), ("text", False, "a text")
    ]  # fmt: skip
    assert [each.asset is not None for each in found] == [True, True, False]
    assert StorageUsage.objects.stored_in(own(owner)) == 12


def test_a_rollback_leaves_no_row_and_no_number(owner: User) -> None:
    generation = make_generation(owner, status=Status.STORING)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        results.write(generation, copied(generation))
        raise ZeroDivisionError
    assert not Output.objects.exists() and not Asset.objects.exists()
    assert StorageUsage.objects.stored_in(own(owner)) == 0


def test_whoever_watches_hears_of_each_output_once_it_is_committed(
    owner: User, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[Any] = []
    monkeypatch.setattr("generations.live.publisher.outbox.put", lambda group, event: told.append(event))
    generation = make_generation(owner, status=Status.STORING)
    with django_capture_on_commit_callbacks(execute=True):
        results.write(generation, copied(generation))
        assert told == []
    assert [(event["type"], event["prompt_id"]) for event in told] == [("output", str(generation.pk))] * 3


def test_what_was_written_is_known_without_a_query(owner: User, django_assert_num_queries: Any) -> None:
    generation = make_generation(owner, status=Status.STORING)
    written = results.write(generation, copied(generation))
    fresh = Generation.objects.get(pk=generation.pk)
    reading.attach(fresh, written)
    with django_assert_num_queries(0):
        assert [each.value for each in fresh.outputs.all()] == [None, None, "a text"]
        assert all(each.asset for each in fresh.outputs.all() if each.kind == "image")


def test_names_of_nodes_that_are_too_long_are_cut(owner: User) -> None:
    generation = make_generation(owner, status=Status.STORING)
    long = OutputItem(kind="text", node_id="n" * 300, key="k" * 300, index=0, file=None, value="x")
    results.write(generation, [Copied(0, long, None)])
    found = Output.objects.get()
    assert (len(found.node_id), len(found.key)) == (200, 200)
