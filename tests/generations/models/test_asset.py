"""Whose files are found, which of them are needed, and what they take."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from generations.models import Asset, Output, Status
from generations.models.asset import file_name
from generations.models.generation import ACTIVE
from tests.support.factories import make_asset, make_generation, make_output


@pytest.mark.parametrize(
    ("given", "offered"),
    [
        ("cat.png", "cat.png"),
        ('a\r\nSet-Cookie: x="1"', 'a  Set-Cookie: x="1"'),
        ("\u202egnp.exe", "gnp.exe"),
        ("größe 猫.png", "größe 猫.png"),
        ("x" * 300 + ".png", "x" * 251 + ".png"),
        (" \x00 ", "file"),
        ("", "file"),
    ],
)
def test_a_name_ends_no_header_and_fits_its_column(given: str, offered: str) -> None:
    assert file_name(given) == offered


@pytest.mark.django_db
def test_users_find_their_own_files_while_these_are_kept(owner: User, stranger: User, staff: User) -> None:
    now = timezone.now()
    kept = {make_asset(owner), make_asset(owner, expires_at=now + timedelta(minutes=1))}
    make_asset(owner, expires_at=now - timedelta(seconds=1))
    assert set(Asset.objects.for_member(owner)) == kept
    for other in (stranger, staff, AnonymousUser()):
        assert not Asset.objects.for_member(other).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("status", list(Status))
def test_inputs_of_unfinished_runs_and_results_are_in_use(owner: User, status: Status) -> None:
    given, free = make_asset(owner), make_asset(owner)
    for _ in range(2):
        make_generation(owner, status=status, input_assets=[given])
    result = make_output(make_generation(owner, status=Status.SUCCEEDED)).asset
    assert result is not None
    in_use = [result, given] if status in ACTIVE else [result]
    assert sorted(Asset.objects.in_use(), key=str) == sorted(in_use, key=str)  # each once
    assert free not in Asset.objects.in_use()


@pytest.mark.django_db
def test_files_that_share_their_bytes_are_counted_once_and_found_by_their_hash(owner: User) -> None:
    first = make_asset(owner, b"same bytes", content_type="text/plain")
    make_asset(owner, b"same bytes", key=first.key, content_type="text/plain")
    make_asset(owner, b"other", content_type="text/plain")
    assert Asset.objects.stored_bytes() == len(b"same bytes") + len(b"other")
    assert Asset.objects.none().stored_bytes() == 0
    assert Asset.objects.with_bytes(first.hash.upper()).count() == 2


@pytest.mark.django_db
def test_an_output_is_a_file_or_a_value_and_stands_in_one_place(owner: User) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED)
    made = make_output(generation, value="a text")
    for change in ({"value": None}, {"kind": "poem"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Output.objects.filter(pk=made.pk).update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_output(generation, value="another text in the same place")
    make_output(generation, position=1, value=0)
    assert [output.value for output in generation.outputs.all()] == ["a text", 0]
