"""Whatever belongs to a generation alone goes with it, and nothing else."""

from __future__ import annotations

import pytest
from django.core.files.storage import default_storage
from django.db import transaction

from accounts.models import User
from generations.lifecycle import removal
from generations.models import Asset, Generation, Output, Status, TemplateVersion
from tests.support.factories import make_asset, make_generation, make_output, txt2img_graph

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager_tasks")]


def raw(user: User, version: TemplateVersion | None = None) -> Generation:
    """One of a whole workflow."""
    if version is None:
        version = TemplateVersion.raw(graph=txt2img_graph(), created_by=user)
        version.save()
    made = make_generation(user, status=Status.SUCCEEDED)
    Generation.objects.filter(pk=made.pk).update(version=version)
    return Generation.objects.get(pk=made.pk)


def test_results_go_with_their_files_and_inputs_stay(owner: User) -> None:
    given = make_asset(owner, b"an input", content_type="text/plain")
    generation = make_generation(owner, status=Status.SUCCEEDED, input_assets=[given])
    result = make_output(generation).asset
    make_output(generation, position=1, value="a text")
    assert result is not None
    removal.remove(generation)
    assert not Output.objects.exists()
    assert list(Asset.objects.all()) == [given]
    assert [default_storage.exists(key) for key in (given.key, result.key, result.thumbnail_key)] == [
        True, False, False
    ]  # fmt: skip
    assert TemplateVersion.objects.count() == 1  # of a template, it is kept


def test_a_file_that_something_else_has_too_stays(owner: User) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED)
    result = make_output(generation).asset
    assert result is not None
    copy = Asset.objects.get(pk=result.pk)
    copy.pk = None
    copy.save()
    removal.remove(generation)
    assert Asset.objects.get() == copy
    assert default_storage.exists(copy.key)


def test_a_workflow_that_was_sent_as_a_whole_goes_with_the_last_of_its_runs(owner: User) -> None:
    first = raw(owner)
    second = raw(owner, first.version)
    removal.remove(first)
    assert TemplateVersion.objects.filter(template=None).exists()
    removal.remove(second)
    assert not TemplateVersion.objects.filter(template=None).exists()


def test_results_can_go_alone_before_a_run_is_repeated(owner: User) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED)
    make_output(generation)
    with transaction.atomic():
        removal.remove_outputs(generation)
    assert not Output.objects.exists() and not Asset.objects.exists()
    assert Generation.objects.get() == generation


def test_what_is_rolled_back_is_still_there(owner: User) -> None:
    generation = raw(owner)
    result = make_output(generation).asset
    assert result is not None
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        removal.remove(generation)
        raise ZeroDivisionError
    assert Generation.objects.get().outputs.get().asset == result
    assert default_storage.exists(result.key)
