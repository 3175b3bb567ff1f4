"""Submitting, canceling and deleting: done as a whole, or refused with a reason and without a trace."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Plan, User
from generations.lifecycle import services
from generations.lifecycle.services import Extras
from generations.models import Generation, IdempotencyKey, Status, StorageUsage, Webhook, WorkflowTemplate
from generations.models.generation import ACTIVE, TERMINAL
from generations.parameters.validate import InvalidInputs
from generations.scheduling import queue
from generations.scheduling.fitness import Fleet
from tests.support.factories import (
    make_asset,
    make_generation,
    make_output,
    make_template,
    own,
    parameter,
    txt2img_parameters,
    version_of,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("known_server")]


def with_picture() -> WorkflowTemplate:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    return make_template(graph=graph, parameters=[parameter("photo", "image", "1", "image", required=True)])


def test_what_comes_along_is_kept_with_each_of_several(owner: User) -> None:
    hook = Webhook.objects.create(user=owner, url="https://example.com/hook", is_for_every_job=False)
    extras = services.extras_of(
        owner, webhook_id=hook.pk, metadata={"order": "7"}, idempotency_key="k", partner_key="secret"
    )
    rows = services.submit_current(
        user=owner, template=make_template(), inputs={"prompt": "A Fox"}, count=3, extras=extras
    )
    assert len({row.inputs["seed"] for row in rows}) == 3
    for row in Generation.objects.all():
        assert (row.webhook, row.metadata, row.partner_key) == (hook, {"order": "7"}, "secret")
        assert (row.status, row.text) == (Status.QUEUED, "a fox watermark")
    assert IdempotencyKey.objects.get().key == "k"


def test_a_webhook_of_somebody_else_is_none(owner: User, stranger: User) -> None:
    hook = Webhook.objects.create(user=stranger, url="https://example.com/hook")
    with pytest.raises(InvalidInputs) as refusal:
        services.extras_of(owner, webhook_id=hook.pk, metadata={})
    assert list(refusal.value.errors) == ["webhook"]
    assert services.extras_of(owner, webhook_id=None, metadata={}) == services.NOTHING


def test_several_that_would_be_alike_are_refused(owner: User) -> None:
    without_seed = [each for each in txt2img_parameters() if each["type"] != "seed"]
    template = make_template(parameters=without_seed)
    with pytest.raises(InvalidInputs) as refusal:
        services.submit_current(user=owner, template=template, inputs={"prompt": "x"}, count=2)
    assert list(refusal.value.errors) == ["count"]
    assert services.submit_current(user=owner, template=template, inputs={"prompt": "x"})


def test_files_that_cannot_be_inputs_are_named_by_their_field(owner: User, stranger: User) -> None:
    version = version_of(with_picture())
    text = make_asset(owner, b"just text", content_type="text/plain")
    for unusable in (text.pk, make_asset(stranger).pk, uuid.uuid4()):
        with pytest.raises(InvalidInputs) as refusal:
            services.submit(user=owner, version=version, inputs={"photo": str(unusable)})
        assert list(refusal.value.errors) == ["photo"]
    picture = make_asset(owner)
    made = services.submit(user=owner, version=version, inputs={"photo": str(picture.pk)})
    assert list(made.input_assets.all()) == [picture]


def test_a_file_that_is_deleted_meanwhile_leaves_nothing_of_the_submission(owner: User) -> None:
    template, kept = with_picture(), make_asset(owner)
    make = [Generation(user=owner, version=version_of(template), inputs={"photo": str(kept.pk)})]
    with pytest.raises(InvalidInputs, match="deleted meanwhile"):
        services.enqueue(
            owner, own(owner), lambda: make, {kept.pk, uuid.uuid4()}, Extras(idempotency_key="k"), Fleet.now()
        )
    assert not Generation.objects.exists()
    IdempotencyKey.objects.ensure_unused(owner, "k")


def test_what_is_not_published_has_no_version_to_run(owner: User) -> None:
    with pytest.raises(ValueError, match="not published"):
        services.current_version(make_template(publish=False))


def test_words_are_kept_to_be_searched_in_lower_case_and_not_without_end() -> None:
    assert services.searchable(["A Fox", "STRASSE ẞ"]) == "a fox strasse ss"
    assert len(services.searchable(["x" * 10_000])) == services.TEXT_LENGTH


@pytest.mark.parametrize("status", TERMINAL)
def test_what_is_over_cannot_be_canceled(owner: User, status: Status) -> None:
    generation = make_generation(owner, status=status)
    before = Generation.objects.values().get()
    assert services.cancel(generation).status == status
    assert Generation.objects.values().get() == before


@pytest.mark.parametrize("status", list(Status))
def test_only_what_is_over_is_deleted_and_takes_its_results_along(owner: User, status: Status) -> None:
    generation = make_generation(owner, status=status)
    output = make_output(generation)
    if status in ACTIVE:
        with pytest.raises(services.NotFinishedError):
            services.delete(generation)
        assert Generation.objects.get().outputs.get() == output
        return
    services.delete(generation)
    assert not Generation.objects.exists()
    assert StorageUsage.objects.stored_in(own(owner)) == 0


@pytest.mark.django_db(transaction=True)
def test_one_that_was_held_back_for_a_run_that_ended_meanwhile_gets_in_line(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.plan = Plan.objects.create(name="one at a time", max_concurrent=1)
    owner.save()
    template = make_template()
    running = make_generation(owner, template=template, status=Status.RUNNING, tag=0.0)
    enter = queue.Line.enter

    def and_the_other_ends(*arguments: Any) -> bool:
        """Its relay looks for those who wait before this one can be seen."""
        is_in_line = enter(*arguments)
        Generation.objects.filter(pk=running.pk).update(status=Status.SUCCEEDED, finished_at=timezone.now())
        return is_in_line

    monkeypatch.setattr(queue.Line, "enter", and_the_other_ends)
    made = services.submit(user=owner, version=version_of(template), inputs={"prompt": "a cat"})
    assert made.tag is None
    made.refresh_from_db()
    assert made.tag is not None


def test_lists_of_any_length_ask_for_no_version_once_more(django_assert_num_queries: Any) -> None:
    make_template()
    (template,) = WorkflowTemplate.objects.for_lists()
    with django_assert_num_queries(0):
        assert services.current_version(template).title == template.title
