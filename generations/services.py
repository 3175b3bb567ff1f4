"""What users do with generations. Pages and API call the same functions."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction

from generations import fitness, publisher, queue, snapshot, storage, tasks, transitions
from generations.models import Asset, Generation, TemplateVersion, WorkflowTemplate
from generations.parameters.bind import bind
from generations.parameters.schema import Parameter
from generations.parameters.validate import InvalidInputs, draw_seeds, json_values, validate

if TYPE_CHECKING:
    from accounts.models import User

TYPE_PREFIXES = {"image": "image/", "mask": "image/", "video": "video/", "audio": "audio/"}


class NotFinishedError(Exception):
    """Only a finished generation can be deleted: cancel it first."""


class CannotRunError(Exception):
    """No server has what this needs; `str()` says what is missing."""


class InvalidUploadError(Exception):
    """The uploaded file cannot be used; `str()` says why."""


def current_version(template: WorkflowTemplate) -> TemplateVersion:
    """The version that users run. ValueError when the template is not published."""
    if template.published_version is None:
        msg = f"{template} is not published"
        raise ValueError(msg)
    return template.published_version


def submit(*, user: User, version: TemplateVersion, inputs: Mapping[str, object]) -> Generation:
    """A durable, queued generation.

    InvalidInputs names every field that is wrong; CannotRunError: no server has its nodes or models;
    queue.QueueFullError: the user's plan lets no more wait. The caller has made sure that the user may see the
    template.
    """
    parameters = fitness.current_parameters(version)
    values = draw_seeds(parameters, validate(parameters, inputs))
    _check_media(user, parameters, values)
    files = _model_files(version, parameters, values)
    with transaction.atomic():
        generation = Generation(user=user, version=version, inputs=json_values(parameters, values), model_files=files)
        if queue.Line(user).enter(generation):
            publisher.wake_relays()
        publisher.publish(generation, snapshot.snapshot_event(generation))
    return generation


def _model_files(
    version: TemplateVersion, parameters: tuple[Parameter, ...], values: Mapping[str, Any]
) -> list[fitness.ModelFile]:
    """The model files that this run needs. CannotRunError when no server has them, or one of the node types."""
    media = {parameter.name: "upload" for parameter in parameters if parameter.is_media}
    files = fitness.model_files(bind(version.graph, parameters, values, media=media))
    missing = fitness.lacking(version, [*files, *version.required_choices])
    if missing:
        msg = f"This cannot run at the moment: the servers lack {', '.join(missing[:5])}. Please tell the operator."
        raise CannotRunError(msg)
    return files


def _check_media(user: User, parameters: tuple[Parameter, ...], values: Mapping[str, Any]) -> None:
    wanted = {p.name: TYPE_PREFIXES[p.type] for p in parameters if p.is_media and values.get(p.name)}
    if not wanted:
        return
    ids = {name: uuid.UUID(str(values[name])) for name in wanted}
    found = Asset.objects.for_user(user).in_bulk(list(ids.values()))
    errors = {}
    for name, prefix in wanted.items():
        asset = found.get(ids[name])
        if asset is None:
            errors[name] = ["There is no such file of yours."]
        elif not asset.content_type.startswith(prefix):
            errors[name] = [f"This needs {prefix.rstrip('/')} data, but the file is {asset.content_type}."]
    if errors:
        raise InvalidInputs(errors)


def upload(*, user: User, file: UploadedFile[Any]) -> Asset:
    """Store a user's file. InvalidUploadError when it is too large, empty or no medium that a workflow can use."""
    if file.size is not None and file.size > settings.MAX_UPLOAD_BYTES:
        msg = f"The file is larger than {settings.MAX_UPLOAD_BYTES // 2**20} MB."
        raise InvalidUploadError(msg)
    asset_id = uuid.uuid4()
    with closing(storage.spool(file.chunks())) as spooled:
        _check_upload(spooled)
        asset = storage.keep(
            spooled, key=storage.upload_key(asset_id), user_id=user.pk, name=file.name or "upload", asset_id=asset_id
        )
    asset.save()
    return asset


def _check_upload(spooled: storage.Spooled) -> None:
    if spooled.size_bytes == 0:
        msg = "The file is empty."
        raise InvalidUploadError(msg)
    if spooled.content_type not in storage.INLINE_TYPES:
        msg = "This is no picture, video or sound that can be used."
        raise InvalidUploadError(msg)
    if spooled.content_type.startswith("image/"):
        if spooled.width is None or spooled.height is None:
            msg = "This picture is damaged."
            raise InvalidUploadError(msg)
        if spooled.width * spooled.height > storage.MAX_IMAGE_PIXELS:
            msg = f"This picture has more than {storage.MAX_IMAGE_PIXELS // 10**6} megapixels."
            raise InvalidUploadError(msg)


def cancel(generation: Generation) -> Generation:
    """Ask for it to stop; already finished ones stay as they are. Returns its state afterwards."""
    changed = transitions.transition(lambda: Generation.objects.request_cancel(generation.pk), pk=generation.pk)
    generation.refresh_from_db()
    if changed:
        publisher.wake_relays()
    return generation


def rerun(generation: Generation, *, is_new_seed: bool) -> Generation:
    """The same version and inputs again, with the same seeds or fresh ones."""
    inputs = dict(generation.inputs)
    if is_new_seed:
        for parameter in generation.version.parsed_parameters:
            if parameter.type == "seed":
                inputs.pop(parameter.name, None)
    return submit(user=generation.user, version=generation.version, inputs=inputs)


def delete(generation: Generation) -> None:
    """Remove it with its outputs and their files. NotFinishedError while it is active."""
    if not generation.is_terminal:
        raise NotFinishedError
    tasks.remove(generation)
