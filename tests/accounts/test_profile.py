"""What a name and a time zone may be."""

from __future__ import annotations

import pytest

from accounts import profile
from accounts.models import Avatar, User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("sent", "kept"), [("  Ada   Lovelace ", "Ada Lovelace"), ("", ""), ("👩\u200d🚀 Zoë", "👩\u200d🚀 Zoë")]
)
def test_names_are_kept_with_single_spaces(owner: User, sent: str, kept: str) -> None:
    profile.change(owner, name=sent)
    assert owner.get_full_name() == User.objects.get(pk=owner.pk).get_full_name() == kept


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "x" * 101}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "Ada\u202egnp.exe"}, "name"),  # which would turn round what follows
        ({"name": "Ada", "time_zone": "Europe/Nowhere"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
    ],
)
def test_what_cannot_be_used_changes_nothing(owner: User, changes: dict[str, str], field: str) -> None:
    profile.change(owner, name="Before")
    with pytest.raises(profile.ProfileError) as refused:
        profile.change(owner, **changes)
    assert refused.value.field == field
    assert User.objects.get(pk=owner.pk).get_full_name() == "Before"


def test_a_picture_goes_with_its_hash_and_with_the_account(owner: User) -> None:
    profile.set_avatar(owner, b"one")
    first = owner.avatar_hash
    profile.set_avatar(owner, b"two")
    assert Avatar.objects.get().picture == b"two" and owner.avatar_hash != first
    profile.remove_avatar(owner)
    assert not Avatar.objects.exists() and User.objects.get(pk=owner.pk).avatar_hash == ""
    profile.set_avatar(owner, b"three")
    owner.delete()
    assert not Avatar.objects.exists()
