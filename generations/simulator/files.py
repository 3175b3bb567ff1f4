"""/view and the uploads (server.py, view_image and image_upload)."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import mimetypes
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from aiohttp import web
from aiohttp.web_request import FileField
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from generations.simulator.faults import Faults
from generations.simulator.nodes.base import Environment

Form = Mapping[str, str | bytes | bytearray | FileField]
Content = Callable[[Form, FileField], bytes | None]
TROUBLE = "500 Internal Server Error\n\nServer got itself in trouble"
FOLDERS = ("output", "input", "temp")
ANNOTATION = re.compile(r"^(?P<name>.*) \[(?P<folder>output|input|temp)\]$")
FORCED_DOWNLOAD = {"text/html", "text/html-sandboxed", "application/xhtml+xml", "text/javascript", "text/css"}


class Files:
    """The handlers, bound to one server's folders."""

    def __init__(self, environment: Environment, faults: Faults) -> None:
        self._environment = environment
        self._faults = faults

    async def view(self, request: web.Request) -> web.StreamResponse:
        """A file of the output, input or temp folder, with ComfyUI's status codes."""
        path = self._find(request)
        if self._faults.take("view_404"):
            raise web.HTTPNotFound
        if self._faults.take("view_error"):
            raise web.HTTPInternalServerError(text=TROUBLE)
        if self._faults.take("view_truncate"):
            return await self._truncated(request, path)
        channel = request.query.get("channel", "")
        if "preview" in request.query or channel in {"rgb", "a"}:
            return await asyncio.to_thread(_converted, path, request.query.get("preview"), channel)
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        if content_type in FORCED_DOWNLOAD:
            content_type = "application/octet-stream"
        return web.FileResponse(path, headers={**_named(path), "Content-Type": content_type})

    def _find(self, request: web.Request) -> Path:
        if "filename" not in request.query:
            raise web.HTTPNotFound
        name, folder = annotated(request.query["filename"], request.query.get("type", "output"))
        if not name or name.startswith("/") or ".." in name or folder not in FOLDERS:
            raise web.HTTPBadRequest
        base = self._environment.folder(folder)
        directory = _inside(base, request.query.get("subfolder", ""))
        if directory is None:
            raise web.HTTPForbidden
        path = directory / Path(name).name
        if not path.is_file():
            raise web.HTTPNotFound
        return path

    async def _truncated(self, request: web.Request, path: Path) -> web.StreamResponse:
        content = await asyncio.to_thread(path.read_bytes)
        response = web.StreamResponse(headers={**_named(path), "Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        if request.transport is not None:
            request.transport.close()
        return response

    async def upload_image(self, request: web.Request) -> web.Response:
        """Store an input. The same name with other content gets a number; with the same content, it is kept."""
        return await self._upload(request, lambda form, file: file.file.read())

    async def upload_mask(self, request: web.Request) -> web.Response:
        """Like an image, but what is stored is `original_ref` with the alpha channel of the upload."""
        return await self._upload(request, self._masked)

    async def _upload(self, request: web.Request, content_of: Content) -> web.Response:
        form: Form = await request.post()
        if self._faults.take("upload_error"):
            raise web.HTTPInternalServerError(text=TROUBLE)
        return await asyncio.to_thread(self._store, form, content_of)

    def _store(self, form: Form, content_of: Content) -> web.Response:
        folder, subfolder = str(form.get("type") or "input"), str(form.get("subfolder", ""))
        if folder not in FOLDERS:
            msg = f"There is no folder {folder}"
            raise ValueError(msg)
        file = form.get("image")
        if isinstance(file, str) and file:
            msg = "The image came as a text field"
            raise TypeError(msg)
        if not isinstance(file, FileField) or not file.filename:
            return web.Response(status=400)
        base = self._environment.folder(folder)
        directory = _inside(base, subfolder)
        if directory is None or _inside(base, str(directory / file.filename)) is None:
            return web.Response(status=400)
        directory.mkdir(parents=True, exist_ok=True)
        name, is_known = file.filename, False
        if form.get("overwrite") not in {"true", "1"}:
            name, is_known = _free_name(directory, file)
        content = None if is_known else content_of(form, file)
        if content is not None:
            (directory / name).write_bytes(content)
        return web.json_response({"name": name, "subfolder": subfolder, "type": folder})

    def _masked(self, form: Form, file: FileField) -> bytes | None:
        """The original with its new alpha channel as PNG, None when there is no such original."""
        reference = json.loads(str(form["original_ref"]))
        name, folder = annotated(reference["filename"], reference.get("type", "output"))
        if not name or name.startswith("/") or ".." in name or folder not in FOLDERS:
            return None
        directory = _inside(self._environment.folder(folder), reference.get("subfolder", ""))
        original = directory / name if directory is not None else None
        return _with_alpha(original, file.file) if original is not None and original.is_file() else None


def annotated(name: str, folder: str) -> tuple[str, str]:
    """Name and folder of `x.png [temp]`; without such an ending, `folder` it is."""
    match = ANNOTATION.match(name)
    return (match["name"], match["folder"]) if match else (name, folder)


def _named(path: Path) -> dict[str, str]:
    return {"Content-Disposition": f'filename="{path.name}"'}


def _inside(base: Path, subfolder: str) -> Path | None:
    base = base.resolve()
    path = (base / subfolder).resolve()
    return path if path == base or base in path.parents else None


def _converted(path: Path, preview: str | None, channel: str) -> web.Response:
    buffer = io.BytesIO()
    kind = "png"
    with Image.open(path) as image:
        if preview is not None:
            parts = preview.split(";")
            kind = parts[0] if parts[0] in {"webp", "jpeg"} and "a" not in channel else "webp"
            picture = image.convert("RGB") if kind == "jpeg" or channel == "rgb" else image
            picture.save(buffer, kind, quality=int(parts[-1]) if parts[-1].isdigit() else 90)
        elif channel == "rgb":
            image.convert("RGB").save(buffer, "PNG")
        else:
            alpha = Image.new("RGBA", image.size)
            alpha.putalpha(image.getchannel("A") if image.mode == "RGBA" else Image.new("L", image.size, 255))
            alpha.save(buffer, "PNG")
    return web.Response(body=buffer.getvalue(), content_type=f"image/{kind}", headers=_named(path))


def _free_name(directory: Path, file: FileField) -> tuple[str, bool]:
    """A name that is not taken by other content, and whether this content lies there already."""
    digest = hashlib.file_digest(file.file, "sha256").digest()  # type: ignore[arg-type]  # BufferedReader is enough
    file.file.seek(0)
    stem, suffix = os.path.splitext(file.filename)  # noqa: PTH122  (the name may have folders in it)
    name, number = file.filename, 1
    while (directory / name).exists():
        if hashlib.sha256((directory / name).read_bytes()).digest() == digest:
            return name, True
        name = f"{stem} ({number}){suffix}"
        number += 1
    return name, False


def _with_alpha(original: Path, mask: IO[bytes]) -> bytes:
    with Image.open(original) as image, Image.open(mask) as painted:
        info = PngInfo()
        for key, value in getattr(image, "text", {}).items():
            info.add_text(key, value)
        result = image.convert("RGBA")
        result.putalpha(painted.convert("RGBA").getchannel("A"))
        buffer = io.BytesIO()
        result.save(buffer, "PNG", pnginfo=info, compress_level=4)
    return buffer.getvalue()
