"""Scripts and styles: under which names they are served in production, and how."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from servestatic.middleware import ServeStaticMiddleware
from servestatic.storage import CompressedManifestStaticFilesStorage

# As Biome formats them: at the start of a line, in double quotes.
MODULE_IMPORT = r'(?P<matched>(?P<what>(?m:^)(?:import|export)\b(?:[^"\';]*\bfrom)?\s*)"(?P<url>\.[^"]+)")'


class HashedStaticFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # servestatic ships no types
    """The names of our modules carry a hash in each other's imports, too. Under a plain name, browsers would keep an
    imported module for SERVESTATIC_MAX_AGE after an upgrade, beside the new one that imports it.

    Other packages' scripts stay as they are: `support_js_module_import_aggregation`, which covers every script, also
    finds "imports" in their texts.
    """

    patterns: ClassVar = (
        *CompressedManifestStaticFilesStorage.patterns,
        ("js/*.js", ((MODULE_IMPORT, '%(what)s"%(url)s"'),)),
    )


PIECE_BYTES = 64 * 1024  # nearly all of our files are smaller


class StaticFiles:
    """servestatic's middleware for a synchronous chain, to which its own would add two ways between threads."""

    sync_capable, async_capable = True, False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._files: dict[str, Any] = ServeStaticMiddleware(_nobody).files

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """A static file; else what comes next."""
        found = self._files.get(request.path_info)
        return self._get_response(request) if found is None else _serve(found, request)


async def _nobody(request: HttpRequest) -> HttpResponseBase:
    """Servestatic refuses to be constructed without an asynchronous chain behind it."""
    raise NotImplementedError


def _serve(found: Any, request: HttpRequest) -> HttpResponseBase:
    answer = found.get_response(request.method or "GET", request.META)
    begin = answer.file.read(PIECE_BYTES) if answer.file else b""
    response: HttpResponseBase
    if len(begin) < PIECE_BYTES:
        response = HttpResponse(begin, status=int(answer.status))
        if answer.file:
            answer.file.close()
    else:
        response = StreamingHttpResponse(_Pieces(begin, answer.file), status=int(answer.status))
    del response["Content-Type"]  # servestatic knows it
    for name, value in answer.headers:
        if value is not None:
            response[name] = value
    return response


class _Pieces:
    """The body of a large file. Django calls `close` when the response is over, however it ends."""

    def __init__(self, begin: bytes, file: Any) -> None:
        self._begin, self._file = begin, file

    async def __aiter__(self) -> AsyncIterator[bytes]:
        piece = self._begin
        while piece:
            yield piece
            piece = await sync_to_async(self._file.read, thread_sensitive=False)(PIECE_BYTES)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
