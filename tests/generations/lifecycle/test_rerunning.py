"""A rerun is exact, or differs in what is drawn and in nothing else."""

from __future__ import annotations

import pytest

from accounts.models import User
from generations.lifecycle import rerunning
from generations.models import Generation
from tests.generations.lifecycle.runs import ALTERNATIVES, seed_of, studio_template, submit, texts_of, with_seed
from tests.support.factories import (
    make_template,
    txt2img_graph,
    version_of,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("known_server")]


def test_a_rerun_is_exact_and_variations_differ(owner: User, staff: User) -> None:
    graph = txt2img_graph()
    graph["9"]["inputs"]["filename_prefix"] = "%date:yyyy%"
    first = submit(owner, studio_template(staff, graph=graph), prompt=ALTERNATIVES)
    Generation.objects.filter(pk=first.pk).update(
        resolved=[[*each[:2], "1999" if each[1] == "filename_prefix" else each[2]] for each in first.resolved]
    )
    first.refresh_from_db()
    for _ in range(3):
        same = rerunning.rerun(first, by=first.user, is_new_seed=False)
        assert (same.inputs, same.resolved) == (first.inputs, first.resolved)
        first = same
    others = [rerunning.rerun(first, by=first.user, is_new_seed=True) for _ in range(4)]
    assert len({each.resolved_inputs["prompt"] for each in [first, *others]}) > 1
    assert len({seed_of(each) for each in [first, *others]}) == 5
    assert all(each.inputs["prompt"] == ALTERNATIVES for each in others)


def test_a_rerun_with_changes_keeps_the_texts_that_do_not_depend_on_them(owner: User, staff: User) -> None:
    graph = txt2img_graph()
    graph["9"]["inputs"]["filename_prefix"] = "%KSampler.seed%"
    first = submit(owner, studio_template(staff, graph=graph), prompt=ALTERNATIVES, negative_prompt="{x}")
    again = rerunning.rerun(first, by=first.user, is_new_seed=False, changes={"negative_prompt": "{y}", "seed": 77})
    assert again.resolved_inputs == {"prompt": first.resolved_inputs["prompt"], "negative_prompt": "y"}
    assert texts_of(again)["9.filename_prefix"] == "77"


def test_counting_goes_on_from_a_seed_that_was_given_but_not_from_a_rerun(owner: User) -> None:
    version = version_of(make_template(parameters=with_seed("increment", default=1)))
    first = submit(owner, version)
    assert seed_of(submit(owner, version, seed="100")) == 100
    assert seed_of(rerunning.rerun(first, by=first.user, is_new_seed=False)) == 1
    assert seed_of(submit(owner, version)) == 101
    assert seed_of(rerunning.rerun(first, by=first.user, is_new_seed=True)) == 102


def test_a_rerun_that_counts_on_takes_its_seed_from_the_count(owner: User) -> None:
    version = version_of(make_template(parameters=with_seed("increment", default=5)))
    first = submit(owner, version)
    counted = rerunning.rerun(first, by=first.user, is_new_seed=False, changes={"seed": "increment"})
    assert [seed_of(first), seed_of(counted), seed_of(submit(owner, version))] == [5, 6, 7]


def test_run_again_of_a_fixed_seed_draws_one(owner: User) -> None:
    first = submit(owner, version_of(make_template(parameters=with_seed("fixed", default=7))))
    assert seed_of(rerunning.rerun(first, by=first.user, is_new_seed=True)) != 7
