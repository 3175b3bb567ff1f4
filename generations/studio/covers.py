"""The picture of a template in the gallery."""

from __future__ import annotations

import io
import uuid
from typing import Any

from django.core.files import File
from django.db import transaction

from generations.comfy.stripping import WorkflowLeftError, without_workflow
from generations.files import storage
from generations.models import Asset, WorkflowTemplate
from generations.studio import packages


def set_cover(template: WorkflowTemplate, picture: File[Any]) -> None:
    """Store the picture under a new name and without the workflow in it, and delete the one before.

    WorkflowLeftError: the workflow cannot be taken out.
    """
    old = template.cover.name if template.cover else ""
    extension = (picture.name or "").rsplit(".", 1)[-1].lower()
    picture.seek(0)
    with without_workflow(io.BytesIO(picture.read())) as bare:
        template.cover.save(f"{uuid.uuid4().hex}.{extension}", File(bare), save=False)
    template.save(update_fields=["cover"])
    if old:
        transaction.on_commit(lambda: template.cover.storage.delete(old))


def set_cover_from(template: WorkflowTemplate, asset: Asset) -> None:
    """Make a result the cover. ValueError, for the admin to read: browsers do not show this kind of file, or the
    workflow cannot be taken out of it.
    """
    extensions = {f"image/{each}": each for each in packages.COVER_FORMATS.values()}
    if asset.content_type not in extensions:
        msg = f"A cover must be a PNG, JPEG, WebP or GIF picture; this is {asset.content_type}."
        raise ValueError(msg)
    try:
        with storage.open_key(asset.key) as file:
            set_cover(template, File(file, name=f"cover.{extensions[asset.content_type]}"))
    except WorkflowLeftError as error:
        msg = "The workflow cannot be taken out of this picture. Save it again with another program, and upload it."
        raise ValueError(msg) from error
