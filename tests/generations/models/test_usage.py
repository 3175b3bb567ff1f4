"""What is stored is counted as it comes and goes, and the plan's limit holds before anything is stored."""

from __future__ import annotations

import importlib
import random
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import Plan, User
from generations import tasks
from generations.comfy.outputs import FileRef, OutputItem
from generations.files import assets, spooling, storage
from generations.files.assets import FileDetails
from generations.lifecycle import services, storing
from generations.lifecycle.results import Copied
from generations.models import Asset, Generation, Status, StorageUsage
from generations.models.usage import StorageFullError
from tests.api.envelope import error_of
from tests.support.factories import (
    make_generation,
    make_key,
    make_server,
    make_template,
    own,
)
from tests.support.threads import together

MIB = 2**20
CONTENTS = [bytes([65 + number]) * (1000 * (number + 1)) for number in range(5)]


@pytest.fixture
def api(owner: User) -> Client:
    """The owner's program."""
    return Client(headers={"Authorization": f"Bearer {make_key(owner)}"})


def upload(user: User, content: bytes, **placement: Any) -> Asset:
    file = SimpleUploadedFile("a.txt", content)
    return assets.add(user=user, file=file, details=FileDetails(**placement))[0]


def limited(user: User, megabytes: int, **limits: int) -> User:
    user.plan = Plan.objects.create(name=f"{megabytes} MB", max_storage_mb=megabytes, **limits)
    user.save()
    return user


def is_right(user: User) -> bool:
    return StorageUsage.objects.stored_in(own(user)) == Asset.objects.filter(user=user).stored_bytes()


def record_a_result(user: User, content: bytes) -> Generation:
    """As the worker does it."""
    generation = make_generation(user, status=Status.STORING)
    with closing(spooling.spool([content])) as spooled:
        key = storage.output_key(generation.pk, 1, 0)
        asset = storage.keep(spooled, key=key, user_id=user.pk, workspace_id=own(user).pk, name="a.txt")
    file = FileRef(filename="a.txt", subfolder="", type="output")
    item = OutputItem(kind="file", node_id="9", key="images", index=0, file=file, value=None)
    storing._record(generation, Copied(0, item, asset))
    Generation.objects.filter(pk=generation.pk).update(
        status=Status.SUCCEEDED, finished_at=timezone.now(), store_after=None
    )
    generation.refresh_from_db()
    return generation


# ---------------------------------------------------------------------------------------------- the number is right
@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(4))
def test_the_number_is_the_sum_of_the_files_after_whatever_happens(owner: User, stranger: User, seed: int) -> None:
    make_template()
    chance = random.Random(seed)
    for _ in range(60):
        user = chance.choice([owner, stranger])
        content = chance.choice(CONTENTS)
        mine = list(Asset.objects.filter(user=user, output=None))
        match chance.randrange(7):
            case 0 | 1:
                upload(user, content, expires_in=chance.choice([None, 60]))
            case 2 if mine:
                assets.add_from_hash(user=user, digest=chance.choice(mine).hash, details=FileDetails(tags=["x"]))
            case 3 if mine:
                assets.delete(chance.choice(mine))
            case 4:
                record_a_result(user, content)
            case 5:
                for generation in Generation.objects.filter(user=user)[:1]:
                    services.delete(generation)
            case 6:
                Asset.objects.filter(expires_at__isnull=False).update(expires_at=timezone.now() - timedelta(seconds=1))
                tasks.expire()
        assert is_right(owner)
        assert is_right(stranger)
    for generation in Generation.objects.all():
        services.delete(generation)
    for user in (owner, stranger):
        assets.delete_uploads(user, own(user))
        assert StorageUsage.objects.stored_in(own(user)) == 0


@pytest.mark.django_db(transaction=True)
def test_uploads_at_the_same_moment_do_not_get_past_the_limit_together(owner: User) -> None:
    limited(owner, 3)
    works = [lambda number=number: upload(owner, bytes([number]) * MIB) for number in range(6)]
    results = together(*works)
    assert sum(isinstance(each, Asset) for each in results) == 3, results
    assert sum(isinstance(each, StorageFullError) for each in results) == 3
    assert StorageUsage.objects.stored_in(own(owner)) == 3 * MIB
    assert is_right(owner)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("eager_tasks")
def test_of_two_that_share_a_file_and_go_at_the_same_moment_one_takes_it_along(owner: User) -> None:
    for _ in range(5):
        one, two = upload(owner, CONTENTS[0]), upload(owner, CONTENTS[0])
        assert one.key == two.key
        assert together(lambda one=one: assets.delete(one), lambda two=two: assets.delete(two)) == [
            None, None
        ]  # fmt: skip
        assert StorageUsage.objects.stored_in(own(owner)) == 0
        assert not storage.default_storage.exists(one.key)


@pytest.mark.django_db
def test_what_is_wrong_is_corrected_every_day(owner: User, stranger: User, caplog: pytest.LogCaptureFixture) -> None:
    upload(owner, CONTENTS[1])
    upload(stranger, CONTENTS[0])
    StorageUsage.objects.filter(workspace=own(owner)).update(stored_bytes=7)
    tasks.tidy_storage()
    assert is_right(owner)
    assert is_right(stranger)
    assert caplog.text.count("bytes more than counted") == 1


@pytest.mark.django_db
def test_what_was_there_before_is_counted_by_the_migration(owner: User, stranger: User) -> None:
    for content in (CONTENTS[0], CONTENTS[0], CONTENTS[2]):
        upload(owner, content)
    StorageUsage.objects.all().delete()
    migration = importlib.import_module("generations.migrations.0031_shares_of_workspaces")
    with connection.cursor() as cursor:
        cursor.execute(migration.BYTES)
    assert StorageUsage.objects.stored_in(own(owner)) == 4000
    assert StorageUsage.objects.stored_in(own(stranger)) == 0


@pytest.mark.django_db
def test_asking_costs_the_same_however_many_files_there_are(owner: User, django_assert_num_queries: Any) -> None:
    for content in CONTENTS:
        upload(owner, content)
    workspace = own(owner)
    with django_assert_num_queries(1):
        StorageUsage.objects.ensure_room(workspace, size_bytes=5)


# ---------------------------------------------------------------------------------------------- the limit holds
@pytest.mark.django_db
def test_a_full_storage_takes_no_uploads_and_no_jobs_until_something_is_deleted(
    owner: User, api: Client, client_for: Any
) -> None:
    make_server()
    make_template()
    limited(owner, 1)
    kept = upload(owner, b"x" * MIB)
    send = {"file": SimpleUploadedFile("b.txt", b"more")}
    error = error_of(api.post("/api/v2/assets", send), 403, "storage_full")
    assert "Delete generations in your history" in error["message"]
    run = "/api/v2/templates/text-to-image/jobs"
    error_of(api.post(run, {"prompt": "a cat"}), 403, "storage_full")
    page = client_for(owner).post("/templates/text-to-image/", {"prompt": "a cat"})
    assert (page.status_code, "Your storage is full" in page.content.decode()) == (422, True)
    assert not Generation.objects.exists()
    assert api.delete(f"/api/v2/assets/{kept.pk}").status_code == 204
    send = {"file": SimpleUploadedFile("b.txt", b"more")}
    assert api.post("/api/v2/assets", send).status_code == 201
    assert api.post(run, {"prompt": "a cat"}).status_code == 201


@pytest.mark.django_db
def test_a_file_that_does_not_fit_is_refused_before_it_is_stored(owner: User, media_root: Any) -> None:
    limited(owner, 1)
    upload(owner, b"x" * (MIB - 10))
    before = sorted(media_root.rglob("*"))
    with pytest.raises(StorageFullError, match=r"1024.0.KB of 1.0.MB"):
        upload(owner, b"y" * 11)
    assert sorted(media_root.rglob("*")) == before
    upload(owner, b"y" * 10)
    assert is_right(owner)


@pytest.mark.django_db
def test_results_of_accepted_jobs_are_kept_beyond_the_limit(owner: User) -> None:
    limited(owner, 1)
    generation = record_a_result(owner, b"x" * (2 * MIB))
    assert generation.outputs.count() == 1
    assert StorageUsage.objects.stored_in(own(owner)) == 2 * MIB
    with pytest.raises(StorageFullError):
        upload(owner, b"more")
    services.delete(generation)
    upload(owner, b"more")


@pytest.mark.django_db
def test_no_limit_is_no_limit(owner: User) -> None:
    limited(owner, 0)
    upload(owner, CONTENTS[0])
    assert is_right(owner)


@pytest.mark.django_db
def test_only_so_many_files_a_minute_are_taken(owner: User, api: Client, client_for: Any) -> None:
    limited(owner, 100, uploads_per_minute=2)
    for number in range(3):
        response = api.post("/api/v2/assets", {"file": SimpleUploadedFile("a.txt", bytes([65 + number]))})
    error = error_of(response, 429, "rate_limited")
    assert "upload 2 files a minute" in error["message"]
    assert int(response["Retry-After"]) > 0
    assert Asset.objects.count() == 2


@pytest.mark.django_db
def test_the_api_tells_limits_and_usage(owner: User, api: Client) -> None:
    limited(owner, 3, uploads_per_minute=5)
    upload(owner, CONTENTS[0])
    upload(owner, CONTENTS[0])
    limits = api.get("/api/v2/me").json()["limits"]
    assert (limits["max_storage_bytes"], limits["uploads_per_minute"]) == (3 * MIB, 5)
    usage = api.get("/api/v2/usage").json()
    assert (usage["storage_bytes"], usage["files"]) == (1000, 2)
