"""How many old generations a second `expire` deletes: run inside `manage.py shell` of a cluster by `cleanup`."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from celery import current_app
from django.conf import settings
from django.utils import timezone

from accounts.models import User
from generations import tasks
from generations.files import storage
from generations.models import Asset, DiscardedFile, Generation, Output, Status, StorageUsage, TemplateVersion
from tests.support.factories import own

BYTES = b"x" * 10_000
PEOPLE = 20


def fill(number: int) -> list[Path]:
    """So many that ended 60 days ago, each with a result and its thumbnail; the files."""
    people = [User.objects.get_or_create(email=f"cleanup{each}@example.com")[0] for each in range(PEOPLE)]
    version = TemplateVersion.objects.get(template__slug="text-to-image")
    long_ago = timezone.now() - timedelta(days=60)
    rows = [
        Generation(
            pk=(pk := uuid.uuid4()), prompt_id=pk, user=people[each % PEOPLE], version=version, text=f"a fox {each}",
            status=Status.SUCCEEDED, created_at=long_ago, finished_at=long_ago + timedelta(seconds=each),
        )
        for each in range(number)
    ]  # fmt: skip
    Generation.objects.bulk_create(rows, batch_size=2000)
    assets = [_asset(row) for row in rows]
    Asset.objects.bulk_create(assets, batch_size=2000)
    outputs = [
        Output(generation=row, asset=asset, node_id="9", key="images", index=0, position=0, kind="image")
        for row, asset in zip(rows, assets, strict=True)
    ]
    Output.objects.bulk_create(outputs, batch_size=2000)
    for user in people:
        StorageUsage.objects.add_anyway(
            own(user).pk, sum(each.size_bytes for each in assets if each.user_id == user.pk)
        )
    return _written(assets)


def _asset(row: Generation) -> Asset:
    key = storage.output_key(row.pk, 1, 0)
    return Asset(
        user_id=row.user_id, name="fox.png", key=key, thumbnail_key=f"{key}.thumb", content_type="image/png",
        size_bytes=len(BYTES), hash=f"blake3:{row.pk.hex}", created_at=row.created_at,
    )  # fmt: skip


def _written(assets: Sequence[Asset]) -> list[Path]:
    paths = [Path(settings.MEDIA_ROOT, key) for asset in assets for key in (asset.key, asset.thumbnail_key)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(BYTES)
    return paths


def main(*, jobs: int) -> None:
    """Prints {"seconds", "cpu_seconds"} as JSON. Tasks that delete files run at once, in the same thread."""
    settings.RETENTION_DAYS = 30
    current_app.conf.task_always_eager = True
    paths = fill(jobs)
    begin, cpu = time.perf_counter(), time.process_time()
    number = 0
    while done := tasks.expire():
        number += done
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    assert number == jobs
    assert not any(path.exists() for path in paths)
    assert not DiscardedFile.objects.exists()
    assert not Output.objects.exists()
    sys.stdout.write(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds}) + "\n")
