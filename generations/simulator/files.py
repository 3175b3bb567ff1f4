"""/view and the uploads (server.py, view_image and image_upload)."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import mimetypes
import re
from pathlib import Path

from aiohttp import BodyPartReader, web
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from generations.simulator.faults import Faults
from generations.simulator.nodes.base import Environment

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
        if self._faults.take("view_500"):
            raise web.HTTPInternalServerError(text="500 Internal Server Error\n\nServer got itself in trouble")
        if self._faults.take("view_truncate"):
            return await self._truncated(request, path)
        if "preview" in request.query or request.query.get("channel") in {"rgb", "a"}:
            return await asyncio.to_thread(_converted, path, request.query.get("preview"), request.query.get("channel"))
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        if content_type in FORCED_DOWNLOAD:
            content_type = "application/octet-stream"
        disposition = f'filename="{path.name}"'
        return web.FileResponse(path, headers={"Content-Disposition": disposition, "Content-Type": content_type})

    def _find(self, request: web.Request) -> Path:
        if "filename" not in request.query:
            raise web.HTTPNotFound
        name, folder = request.query["filename"], request.query.get("type", "output")
        if match := ANNOTATION.match(name):
            name, folder = match["name"], match["folder"]
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
        content = path.read_bytes()
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        if request.transport is not None:
            request.transport.abort()
        return response

    async def upload_image(self, request: web.Request) -> web.Response:
        """Store an input; the same name with other content gets a number."""
        fields, content, name = await _form(request)
        if self._faults.take("upload_error"):
            raise web.HTTPInternalServerError(text="500 Internal Server Error\n\nServer got itself in trouble")
        if content is None or not name:
            raise web.HTTPBadRequest
        directory = self._directory(fields)
        stored = _store(directory, name, content, is_overwrite=fields.get("overwrite") in {"true", "1"})
        return _stored(stored, fields)

    async def upload_mask(self, request: web.Request) -> web.Response:
        """Like an image; its alpha channel replaces that of `original_ref`."""
        fields, content, name = await _form(request)
        if content is None or not name:
            raise web.HTTPBadRequest
        reference = json.loads(fields["original_ref"])
        base = self._environment.folder(reference.get("type", "output"))
        directory = _inside(base, reference.get("subfolder", ""))
        original = directory / Path(reference["filename"]).name if directory else None
        if original is None or not original.is_file():
            return web.Response()
        merged = await asyncio.to_thread(_with_alpha, original, content)
        is_overwrite = fields.get("overwrite") in {"true", "1"}
        return _stored(_store(self._directory(fields), name, merged, is_overwrite=is_overwrite), fields)

    def _directory(self, fields: dict[str, str]) -> Path:
        folder = fields.get("type", "input")
        if folder not in FOLDERS:
            raise web.HTTPInternalServerError
        directory = _inside(self._environment.folder(folder), fields.get("subfolder", ""))
        if directory is None:
            raise web.HTTPBadRequest
        directory.mkdir(parents=True, exist_ok=True)
        return directory


def _inside(base: Path, subfolder: str) -> Path | None:
    base = base.resolve()
    path = (base / subfolder).resolve()
    return path if path == base or base in path.parents else None


def _converted(path: Path, preview: str | None, channel: str | None) -> web.Response:
    with Image.open(path) as image:
        buffer = io.BytesIO()
        if preview is not None:
            kind, _, quality = preview.partition(";")
            kind = kind if kind in {"webp", "jpeg"} and "a" not in (channel or "") else "webp"
            picture = image.convert("RGB") if kind == "jpeg" or channel == "rgb" else image
            picture.save(buffer, kind, quality=int(quality) if quality.isdigit() else 90)
            return web.Response(body=buffer.getvalue(), content_type=f"image/{kind}")
        if channel == "rgb":
            image.convert("RGB").save(buffer, "PNG")
        else:
            alpha = Image.new("RGBA", image.size)
            alpha.putalpha(image.convert("RGBA").getchannel("A"))
            alpha.save(buffer, "PNG")
    return web.Response(body=buffer.getvalue(), content_type="image/png")


async def _form(request: web.Request) -> tuple[dict[str, str], bytes | None, str]:
    fields: dict[str, str] = {}
    content: bytes | None = None
    name = ""
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            continue
        if part.name == "image":
            content, name = bytes(await part.read()), part.filename or ""
        elif part.name:
            fields[part.name] = await part.text()
    return fields, content, name


def _store(directory: Path, name: str, content: bytes, *, is_overwrite: bool) -> str:
    path = _inside(directory, name)
    if path is None:
        raise web.HTTPBadRequest
    digest = hashlib.sha256(content).digest()
    number = 1
    while path.exists() and not is_overwrite:
        if hashlib.sha256(path.read_bytes()).digest() == digest:
            return path.name
        path = directory / f"{Path(name).stem} ({number}){Path(name).suffix}"
        number += 1
    path.write_bytes(content)
    return path.name


def _stored(name: str, fields: dict[str, str]) -> web.Response:
    folder = fields.get("type", "input")
    return web.json_response({"name": name, "subfolder": fields.get("subfolder", ""), "type": folder})


def _with_alpha(original: Path, mask: bytes) -> bytes:
    with Image.open(original) as image, Image.open(io.BytesIO(mask)) as painted:
        info = PngInfo()
        for key, value in getattr(image, "text", {}).items():
            info.add_text(key, value)
        result = image.convert("RGBA")
        result.putalpha(painted.convert("RGBA").getchannel("A").resize(image.size))
        buffer = io.BytesIO()
        result.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
