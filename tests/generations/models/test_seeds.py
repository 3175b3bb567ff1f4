"""Where seeds that count are."""

from __future__ import annotations

import pytest

from accounts.models import User
from generations.models import SeedCount
from generations.parameters.schema import MAX_SEED
from tests.support.factories import make_template

pytestmark = pytest.mark.django_db


def test_each_user_template_and_parameter_counts_by_itself(owner: User, stranger: User) -> None:
    template, other = make_template(), make_template("other")
    assert SeedCount.objects.last_of(owner, template, "seed") is None
    SeedCount.objects.note(owner, template, "seed", 41)
    SeedCount.objects.note(owner, template, "seed", 42)
    assert SeedCount.objects.last_of(owner, template, "seed") == 42
    assert SeedCount.objects.count() == 1
    for user, where, name in ((stranger, template, "seed"), (owner, other, "seed"), (owner, template, "seed_2")):
        assert SeedCount.objects.last_of(user, where, name) is None


@pytest.mark.parametrize("seed", [0, 2**63, MAX_SEED])
def test_every_seed_that_comfyui_takes_is_kept_exactly(owner: User, seed: int) -> None:
    template = make_template()
    SeedCount.objects.note(owner, template, "seed", seed)
    assert SeedCount.objects.last_of(owner, template, "seed") == seed


def test_a_template_that_goes_takes_its_counts_along(owner: User) -> None:
    template = make_template(publish=False)
    SeedCount.objects.note(owner, template, "seed", 1)
    template.versions.all().delete()
    template.delete()
    assert not SeedCount.objects.exists()
