"""What a generation's outputs are, where their bytes come from, and what it means when some are not there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from generations.comfy.client import ComfyClient
from generations.comfy.errors import NotFound
from generations.comfy.graph import node_title
from generations.comfy.outputs import FileRef, OutputItem, collect
from generations.files import spooling, storage
from generations.models import Asset, Generation
from generations.models.asset import file_name
from generations.models.generation import WarningItem

MAX_OUTPUTS = 5_000
MAX_INLINE_BYTES = 256 * 1024  # a larger text or value becomes a file: rows and events stay small
OVER_SOCKET = "socket"  # FileRef.type of a picture that the relay kept; its subfolder is the picture's number


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes to copy. `length` is None when nobody announced it; `content_type` None means: look at the bytes."""

    chunks: Iterator[bytes]
    length: int | None = None
    content_type: str | None = None


class TooLargeError(Exception):
    """The file has more bytes than whoever copies it wants to handle now."""


def items_of(generation: Generation) -> tuple[list[OutputItem], int]:
    """The outputs to store, in their order, and how many there are beyond MAX_OUTPUTS."""
    items = [item for item in collect(generation.upstream_outputs or {}) if is_kept(generation, item.node_id)]
    return [_as_file_if_large(item) for item in items[:MAX_OUTPUTS]], max(0, len(items) - MAX_OUTPUTS)


def frame_keys(generation: Generation) -> list[str]:
    """Where its pictures that came over the socket wait to be copied."""
    files = [item.file for item in collect(generation.upstream_outputs or {}) if item.file]
    return [key for file in files if file.type == OVER_SOCKET and (key := _frame_key(generation, file))]


def _frame_key(generation: Generation, file: FileRef) -> str | None:
    """None when the relay did not write this reference: nodes can name any type and subfolder."""
    if not re.fullmatch("[0-9]{1,6}", file.subfolder):
        return None
    return storage.frame_key(generation.pk, generation.attempt, int(file.subfolder))


def is_kept(generation: Generation, node_id: str) -> bool:
    """The template says which nodes' results count; nodes that others expand into have their ids behind a dot."""
    kept = generation.version.output_nodes
    return not kept or node_id in kept or node_id.partition(".")[0] in kept


def _as_file_if_large(item: OutputItem) -> OutputItem:
    if item.file is not None or len(_text(item)) <= MAX_INLINE_BYTES / 4 or len(_bytes(item)) <= MAX_INLINE_BYTES:
        return item
    name = f"{item.key or 'value'}.{'txt' if item.kind == 'text' else 'json'}"
    return replace(item, kind="file", file=FileRef(name, type="text"))


def _text(item: OutputItem) -> str:
    return item.value if isinstance(item.value, str) else json.dumps(item.value)


def _bytes(item: OutputItem) -> bytes:
    return _text(item).encode()


@contextmanager
def opened(
    generation: Generation, item: OutputItem, client: ComfyClient | None, *, silent_seconds: float | None = None
) -> Iterator[Source]:
    """The bytes of a file, for as long as the context lasts. NotFound when they are gone for good.

    `client` is None when the server that had them was deleted. With `silent_seconds`, which ComfyUI may be silent,
    bytes come as they arrive, be they few.
    """
    file = item.file
    if file is None or item.value is not None:
        is_text = isinstance(item.value, str)
        yield Source(iter([_bytes(item)]), content_type="text/plain; charset=utf-8" if is_text else "application/json")
    elif file.type == OVER_SOCKET:
        key = _frame_key(generation, file)
        if key is None:
            raise NotFound(f"{file.filename} did not come over the socket")
        try:
            kept = storage.open_key(key)
        except FileNotFoundError as error:
            raise NotFound(f"{key} is not in the storage") from error
        with kept:
            yield Source(kept.chunks(spooling.CHUNK_BYTES), kept.size)
    elif client is None:
        raise NotFound("its ComfyUI server was deleted")
    else:
        with client.view(file, silent_seconds=silent_seconds) as stream:
            chunks = stream.iter_bytes(spooling.CHUNK_BYTES if silent_seconds is None else None)
            yield Source(chunks, stream.content_length)


def copy(
    generation: Generation,
    position: int,
    item: OutputItem,
    client: ComfyClient | None,
    *,
    through: Callable[[Iterator[bytes]], Iterable[bytes]] = iter,
    at_most: int | None = None,
    silent_seconds: float | None = None,
) -> Asset | None:
    """Put the item's file into the storage; the asset that describes it, not saved yet. None: the item has no file.

    The bytes run `through` that while they arrive (`silent_seconds`: see `opened`). NotFound, WorkflowLeftError;
    TooLargeError for more than `at_most` bytes; errors of the storage and of ComfyUI pass through. A repeat overwrites
    the same file.
    """
    if item.file is None:
        return None
    is_bare = generation.version.is_workflow_removed and item.value is None
    with opened(generation, item, client, silent_seconds=silent_seconds) as source:
        spooled = spooling.spool(
            through(_limited(source, at_most)),
            expected_bytes=source.length,
            mark=generation.mark if is_bare else None,
            with_thumbnail=True,
        )
    with closing(spooled):
        key = storage.output_key(generation.pk, generation.attempt, position)
        told = replace(spooled, content_type=source.content_type) if source.content_type else spooled
        return storage.keep(
            told,
            key=key,
            user_id=generation.user_id,
            workspace_id=generation.workspace_id,
            name=item.file.filename,
        )


def _limited(source: Source, at_most: int | None) -> Iterator[bytes]:
    """The bytes, whoever announced how many or did not: no more of them than `at_most`."""
    if at_most is None:
        yield from source.chunks
        return
    if (size := source.length or 0) > at_most:
        raise TooLargeError(f"{size} bytes")
    size = 0
    for chunk in source.chunks:
        size += len(chunk)
        if size > at_most:
            raise TooLargeError(f"{size} bytes and more")
        yield chunk


def is_grave(items: Sequence[OutputItem], missing: Sequence[OutputItem]) -> bool:
    """True when something that counts is missing: not for a mere preview beside saved files."""
    has_saved = any(item.file and item.file.type != "temp" for item in items)
    return any(item.file and (item.file.type != "temp" or not has_saved) for item in missing)


def warnings(
    generation: Generation, missing: Iterable[OutputItem], withheld: Iterable[OutputItem], dropped: int
) -> list[WarningItem]:
    """What the owner should know of a result that is not complete."""
    found = [_missing(generation, item) for item in missing]
    found += [_withheld(generation, item) for item in withheld]
    if dropped:
        message = f"It made {MAX_OUTPUTS + dropped} results. The first {MAX_OUTPUTS} are kept."
        found.append({"code": "too_many_outputs", "message": message, "node_id": "", "name": ""})
    return found


def _missing(generation: Generation, item: OutputItem) -> WarningItem:
    name = file_name(item.file.filename) if item.file else ""
    what = "The preview" if item.file and item.file.type == "temp" else "The file"
    title = node_title(generation.version.graph, item.node_id)
    message = f"{what} “{name}” of “{title}” is missing: ComfyUI reported it but does not have it."
    return {"code": "output_missing", "message": message, "node_id": item.node_id, "name": name}


def _withheld(generation: Generation, item: OutputItem) -> WarningItem:
    name = file_name(item.file.filename) if item.file else ""
    title = node_title(generation.version.graph, item.node_id)
    message = (
        f"The file “{name}” of “{title}” is withheld: it carries the template's hidden workflow in a way that cannot "
        "be removed. Ask an administrator to save it in another format, or to allow workflows in results."
    )
    return {"code": "output_withheld", "message": message, "node_id": item.node_id, "name": name}
