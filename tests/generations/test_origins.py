"""Prompts and files of ours are known by their mark, and files also by their bytes."""

from __future__ import annotations

import io
import uuid
from typing import Any

import pytest

from accounts.models import User
from generations.models import Generation, Status
from generations.origins import MARK, Mark, origin_of
from tests.support.factories import make_asset, make_generation, make_output
from tests.support.pictures import png


def test_a_mark_is_read_back_from_what_a_prompt_carries() -> None:
    mark = Mark("6f1c2a34-0000-4000-8000-000000000001", 2)
    assert Mark.read({"client_id": "x", **mark.as_extra_data()}) == mark


@pytest.mark.parametrize(
    "extra_data",
    [
        {},
        {MARK: None},
        {MARK: "6f1c2a34"},
        {MARK: []},
        {MARK: {}},
        {MARK: {"generation": "a"}},
        {MARK: {"generation": 5, "attempt": 1}},
        {MARK: {"generation": "a", "attempt": "1"}},
        {MARK: {"generation": "a", "attempt": 1.0}},
    ],
)
def test_prompts_of_strangers_have_none_whatever_they_carry(extra_data: dict[str, Any]) -> None:
    assert Mark.read(extra_data) is None


def result_of(user: User, content: bytes) -> Generation:
    generation = make_generation(user, status=Status.SUCCEEDED)
    make_output(generation, asset=make_asset(user, content))
    return generation


@pytest.mark.django_db
def test_a_file_is_known_by_its_bytes_alone(owner: User) -> None:
    generation = result_of(owner, png("green"))
    assert origin_of(io.BytesIO(png("green"))) == generation
    assert origin_of(io.BytesIO(png("blue"))) is None
    assert origin_of(io.BytesIO(b"")) is None


@pytest.mark.django_db
def test_a_mark_goes_before_the_bytes(owner: User) -> None:
    named = make_generation(owner, status=Status.SUCCEEDED)
    content = png("red", prompt={}, comfysaas={"generation": str(named.pk)})
    result_of(owner, content)
    assert origin_of(io.BytesIO(content)) == named


@pytest.mark.django_db
def test_a_mark_that_leads_nowhere_counts_for_nothing(owner: User) -> None:
    content = png("red", prompt={}, comfysaas={"generation": str(uuid.uuid4())})
    assert origin_of(io.BytesIO(content)) is None
    generation = result_of(owner, content)
    assert origin_of(io.BytesIO(content)) == generation


@pytest.mark.django_db
def test_finding_it_costs_two_queries_whatever_the_file_claims(owner: User, django_assert_max_num_queries: Any) -> None:
    claims = b"".join(png(prompt={}, comfysaas={"generation": str(uuid.uuid4())}) for _ in range(50))
    with django_assert_max_num_queries(2):
        assert origin_of(io.BytesIO(claims)) is None
