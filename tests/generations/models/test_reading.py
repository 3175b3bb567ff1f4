"""What polls read: as much as Django's own query finds, in fewer statements."""

from __future__ import annotations

import uuid

import pytest
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import User
from generations.contract import job_of
from generations.models import Generation, Status
from generations.models.reading import read
from tests.support.factories import make_asset, make_generation, make_output, own

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("status", Status)
def test_a_job_is_described_as_by_the_slow_way(owner: User, status: Status) -> None:
    generation = make_generation(owner, status=status)
    for position in range(2):
        make_output(generation, position=position, asset=make_asset(owner))
    found = read(own(owner), generation.pk)
    assert found is not None
    slowly = Generation.objects.with_details().get(pk=generation.pk)
    hidden = {"expires_at", "outputs"}  # say when they were asked for
    fast, slow = (job_of(each, "https://example.com").model_dump() for each in (found, slowly))
    assert {name: fast[name] for name in fast.keys() - hidden} == {name: slow[name] for name in slow.keys() - hidden}
    assert [each["id"] for each in fast["outputs"]] == [each["id"] for each in slow["outputs"]]


@pytest.mark.parametrize(("status", "statements"), [(Status.RUNNING, 1), (Status.CANCELED, 1), (Status.SUCCEEDED, 2)])
def test_it_takes_one_statement_and_one_for_the_results(
    owner: User, status: Status, statements: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    generation = make_generation(owner, status=status)
    make_output(generation, asset=make_asset(owner))
    read(own(owner), generation.pk)  # from now on, the process has the version
    workspace = own(owner)
    with django_assert_num_queries(statements):
        found = read(workspace, generation.pk)
        assert found is not None
        job_of(found, "https://example.com")


def test_what_belongs_to_others_is_not_there(owner: User, stranger: User) -> None:
    generation = make_generation(owner)
    assert read(own(stranger), generation.pk) is None
    assert read(own(owner), uuid.uuid4()) is None


def test_what_a_canceled_one_had_made_is_found_when_it_is_deleted(owner: User) -> None:
    generation = make_generation(owner, status=Status.CANCELED)
    output = make_output(generation, asset=make_asset(owner))
    found = read(own(owner), generation.pk)
    assert found is not None
    assert list(found.outputs.all()) == [output]
