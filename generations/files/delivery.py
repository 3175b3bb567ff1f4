"""Handing a stored file to its owner: a signed link when it lies in S3, else a stream with ranges."""

from __future__ import annotations

import io
import re

from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.utils.cache import patch_cache_control
from django.utils.http import content_disposition_header

from accounts.concurrency import aside
from generations.files import spooling, storage
from generations.models import Asset

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
_FAR_BEYOND = 10**18  # no file is that long
_CACHE_SECONDS = 3600
PICTURE_LIMIT = 16 * 1024 * 1024


def serve(request: HttpRequest, asset: Asset, *, is_download: bool = False) -> HttpResponseBase:
    """The file's bytes. The caller has made sure that the asset is the requesting user's.

    Anything a browser would run or that we cannot name is a download. 302 to S3; else 200, 206 or 416.
    """
    is_inline = not is_download and asset.content_type in storage.INLINE_TYPES
    content_type = asset.content_type if asset.content_type in storage.INLINE_TYPES else spooling.DEFAULT_CONTENT_TYPE
    if storage.is_remote():
        url = storage.signed_url(asset.key, content_type=content_type, download_name=None if is_inline else asset.name)
        return _private(HttpResponseRedirect(url), seconds=0)
    response = _ranged(request, asset.key, asset.size_bytes, content_type, etag=asset.hash)
    disposition = content_disposition_header(not is_inline, asset.name)
    if disposition:
        response["Content-Disposition"] = disposition
    return _private(response)


def serve_archive(request: HttpRequest, key: str, size_bytes: int, *, name: str) -> HttpResponseBase:
    """An archive under `key` as a download. The caller has made sure that it is the requesting user's."""
    if storage.is_remote():
        url = storage.signed_url(key, content_type=spooling.DEFAULT_CONTENT_TYPE, download_name=name)
        return _private(HttpResponseRedirect(url), seconds=0)
    response = _ranged(request, key, size_bytes, spooling.DEFAULT_CONTENT_TYPE, etag=key)
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return _private(response, seconds=0)


def serve_thumbnail(asset: Asset) -> HttpResponseBase:
    """Its small picture. Http404 when it has none."""
    if not asset.thumbnail_key:
        raise Http404
    return serve_picture(asset.thumbnail_key, content_type="image/webp")


def serve_picture(key: str, *, content_type: str = "") -> HttpResponseBase:
    """A small picture of ours under `key`; the type is sniffed unless it is known. Http404 when it is gone."""
    if storage.is_remote() and content_type:
        url = storage.signed_url(key, content_type=content_type, download_name=None)
        return _private(HttpResponseRedirect(url), seconds=0)
    try:
        with aside(), storage.open_key(key) as file:
            body = file.read(PICTURE_LIMIT)
    except FileNotFoundError:
        raise Http404 from None
    sniffed = content_type or spooling.sniff(io.BytesIO(body))
    if sniffed not in storage.INLINE_TYPES:
        raise Http404
    return serve_bytes(body, sniffed)


def serve_bytes(body: bytes, content_type: str) -> HttpResponse:
    """A small picture of ours, for this reader alone. The caller has made sure that they may see it."""
    response = HttpResponse(body, content_type=content_type)
    _private(response)
    return response


def _ranged(request: HttpRequest, key: str, size: int, content_type: str, *, etag: str) -> HttpResponseBase:
    tag = f'"{etag}"'
    if request.headers.get("If-None-Match") == tag:
        response: HttpResponseBase = HttpResponse(status=304)
        response["ETag"] = tag
        return response
    if_range = request.headers.get("If-Range")
    span = _parse_range(request.headers.get("Range", "") if if_range in {None, tag} else "", size)
    if span is None:
        response = HttpResponse(status=416)
        response["Content-Range"] = f"bytes */{size}"
        return response
    start, length = span
    is_partial = length != size
    status = 206 if is_partial else 200
    if request.method == "HEAD":  # the same headers
        response = HttpResponse(status=status, content_type=content_type)
    else:
        body = storage.read_range(key, start=start, length=length)
        response = StreamingHttpResponse(body, status=status, content_type=content_type)
    if is_partial:
        response["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
    response["Content-Length"] = str(length)
    response["Accept-Ranges"] = "bytes"
    response["ETag"] = tag
    return response


def _parse_range(header: str, size: int) -> tuple[int, int] | None:
    """(start, length) of a single byte range; everything when there is none to honour; None: not satisfiable."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return 0, size
    first, last = match.groups()
    if not first:
        start, end = max(0, size - _offset(last)), size - 1
    else:
        start, end = _offset(first), min(_offset(last), size - 1) if last else size - 1
    if start >= size or end < start:
        return None
    return start, end - start + 1


def _offset(digits: str) -> int:
    """The number; int() refuses more than 4,300 digits, and any number beyond the file means the same."""
    return int(digits) if len(digits) <= 18 else min(_FAR_BEYOND, int(digits.lstrip("0")[:19] or "0"))


def _private(response: HttpResponseBase, *, seconds: int = _CACHE_SECONDS) -> HttpResponseBase:
    patch_cache_control(response, private=True, max_age=seconds)
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response
