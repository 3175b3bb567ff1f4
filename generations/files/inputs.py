"""Files for inputs, however they come: as an asset, an upload, a web address or a data: URL."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile, UploadedFile

from accounts import rates
from accounts.concurrency import AtOnce
from generations import outbound
from generations.comfy.asset_references import asset_id_of, is_reference
from generations.files import accepting, assets
from generations.models import Asset, StorageUsage
from generations.parameters.schema import Parameter
from generations.parameters.validate import InvalidInputs

if TYPE_CHECKING:
    from accounts.models import User, Workspace

FETCH_SECONDS = 20.0
fetches = AtOnce("files being fetched", per_user=4, in_all=32)
_DATA_URL = re.compile(r"data:[^,]*?(;base64)?,", re.IGNORECASE)


def gather(
    user: User,
    workspace: Workspace,
    parameters: Iterable[Parameter],
    inputs: Mapping[str, Any],
    files: Mapping[str, UploadedFile[Any]],
) -> dict[str, Any]:
    """The inputs with the id of an asset in place of every file. InvalidInputs names each one that cannot be used.

    What was uploaded or fetched is the workspace's from now on. TooBusyError when the user has too many of either
    under way; rates.RateLimitedError, StorageFullError.
    """
    media = {parameter.name: parameter.type for parameter in parameters if parameter.is_media}
    gathered: dict[str, Any] = dict(inputs)
    errors = {name: ["The template has no file of this name."] for name in files if name not in media}
    for name in sorted(media):
        try:
            if name in files:
                gathered[name] = str(_upload(user, workspace, files[name], media[name]).pk)
            elif name in gathered:
                gathered[name] = _resolve(user, workspace, gathered[name], media[name])
        except (accepting.InvalidUploadError, outbound.RefusedAddressError, outbound.RequestFailedError) as error:
            errors[name] = [str(error)]
    if errors:
        raise InvalidInputs(errors)
    return gathered


def _resolve(user: User, workspace: Workspace, value: Any, kind: str) -> Any:
    """The id of an asset; any other value stays as it is, and validation judges it."""
    if isinstance(value, dict) and is_reference(value):
        found = asset_id_of(value)
        return str(found) if found else value
    if isinstance(value, dict) and isinstance(value.get("url"), str):
        value = value["url"]
    if not isinstance(value, str):
        return value
    if value[:5].lower() == "data:":
        return str(_keep(user, workspace, _decode(value), "upload", kind).pk)
    if re.match("https?://", value, re.IGNORECASE):
        rates.count_fetch(workspace)
        StorageUsage.objects.ensure_room(workspace)
        with fetches.one_more(user.pk):
            answer = outbound.fetch(value, max_bytes=settings.MAX_UPLOAD_BYTES, seconds=FETCH_SECONDS)
        return str(_keep(user, workspace, answer.body, _name_of(value), kind).pk)
    return value


def _keep(user: User, workspace: Workspace, body: bytes, name: str, kind: str) -> Asset:
    return _upload(user, workspace, SimpleUploadedFile(name, body), kind)


def _upload(user: User, workspace: Workspace, file: UploadedFile[Any], kind: str) -> Asset:
    return assets.upload(user=user, workspace=workspace, file=file, kind=kind)


def _name_of(url: str) -> str:
    name = unquote(urlsplit(url).path).rpartition("/")[2].replace("\x00", "").strip()
    return name[-255:] if name not in {"", ".", ".."} else f"fetched-{uuid.uuid4().hex[:8]}"


def _decode(url: str) -> bytes:
    match = _DATA_URL.match(url)
    if match is None:
        msg = "This data: URL cannot be read."
        raise accepting.InvalidUploadError(msg)
    data = url[match.end() :]
    if not match[1]:
        return unquote_to_bytes(data)
    try:
        return base64.b64decode(unquote(data), validate=True)
    except (binascii.Error, ValueError) as error:
        msg = "This data: URL is not valid base64."
        raise accepting.InvalidUploadError(msg) from error
