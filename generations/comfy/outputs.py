"""What a run produced, whatever its nodes call it.

Output nodes return `{key: [item, …]}` with free keys and free items; nothing of it is dropped here except
flags that only describe their neighbours. Sources: comfy_api/latest/_ui.py, nodes.py and comfy_extras of
ComfyUI; VHS_VideoCombine of VideoHelperSuite.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

from generations.comfy.wire import sanitise

__all__ = ["FileRef", "Kind", "OutputItem", "collect", "is_unfinished", "merged", "sanitise"]

Kind: TypeAlias = Literal["image", "video", "audio", "latent", "file", "text", "data"]

MAX_VALUES = 100  # texts and values of one node's list that are outputs of their own; more become one
_UNFINISHED = "unfinished_batch"
_FLAGS = frozenset({"animated", _UNFINISHED})

_MEDIA: tuple[Kind, ...] = ("image", "video", "audio")
_EXTENSIONS: dict[Kind, frozenset[str]] = {
    "image": frozenset(
        {
            ".png",
            ".apng",
            ".jpg",
            ".jpeg",
            ".jfif",
            ".webp",
            ".gif",
            ".bmp",
            ".tif",
            ".tiff",
            ".avif",
            ".heic",
            ".jxl",
            ".svg",
        }
    ),
    "video": frozenset(
        {".mp4", ".m4v", ".webm", ".mov", ".mkv", ".avi", ".ogv", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"}
    ),
    "audio": frozenset({".flac", ".mp3", ".wav", ".opus", ".ogg", ".oga", ".m4a", ".aac", ".aiff", ".wma"}),
    "latent": frozenset({".latent"}),
}


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file on the server, verbatim as announced: data for /view, never a path of ours. `type`: output,
    temp, input.
    """

    filename: str
    subfolder: str = ""
    type: str = "output"


@dataclass(frozen=True, slots=True)
class OutputItem:
    """One result. `file` is set for files; `value` is the text of kind text, or the JSON value of kind data.

    `index` counts the items of (node_id, key). `details` is what the server said of a file besides its
    reference (format, frame rate, …), without paths of the server.
    """

    kind: Kind
    node_id: str
    key: str
    index: int
    file: FileRef | None = None
    value: object = None
    details: Mapping[str, object] = field(default_factory=dict)


def collect(outputs: Mapping[str, object]) -> list[OutputItem]:
    """The items of a history entry's `outputs` (node id -> result), ordered by node, key and position.

    Lists of lists are flattened; nulls carry nothing and are left out, as are flags (`animated`). Of a list with more
    than MAX_VALUES texts and values, these become one item of kind data, a list; its files stay as they are.
    """
    return [
        _item(node_id, key, index, item)
        for node_id in sorted(outputs, key=_natural)
        for key, value in _sections(outputs[node_id])
        for index, item in enumerate(_gathered([sanitise(each) for each in _flatten(_rejoined(value))]))
        if item is not None
    ]


def is_unfinished(outputs: Mapping[str, object]) -> bool:
    """True when a node says that it goes on in another prompt, which it has queued itself: VHS does so with a film that
    is made in batches (videohelpersuite/nodes.py, requeue_workflow).
    """
    return any(isinstance(result, dict) and result.get(_UNFINISHED) for result in outputs.values())


def merged(earlier: Mapping[str, object], later: Mapping[str, object]) -> dict[str, object]:
    """What two prompts reported that belong together, as if it had been one. Nodes that were in the cache the second
    time tell the same files again: these count once.
    """
    found = {node_id: result for node_id, result in earlier.items() if _without_flags(result)}
    for node_id, result in later.items():
        before = found.get(node_id)
        found[node_id] = _joined(before, result) if isinstance(before, dict) and isinstance(result, dict) else result
    return found


def _without_flags(result: object) -> bool:
    return not isinstance(result, dict) or any(not _is_flag(key, value) for key, value in result.items())


def _joined(before: dict[str, object], after: dict[str, object]) -> dict[str, object]:
    joined = {key: value for key, value in before.items() if key != _UNFINISHED}
    for key, value in after.items():
        joined[key] = _appended(joined.get(key), value)
    return joined


def _appended(known: object, value: object) -> object:
    if isinstance(known, list) and isinstance(value, list):
        return [*known, *(item for item in value if item not in known)]
    return value


def _sections(result: object) -> list[tuple[str, object]]:
    if not isinstance(result, dict):
        return [("", result)]
    return sorted((str(key), value) for key, value in result.items() if not _is_flag(key, value))


def _is_flag(key: object, value: object) -> bool:
    return key in _FLAGS and all(isinstance(item, bool) for item in _flatten(value))


def _rejoined(value: object) -> object:
    """A text whose node forgot the list around it: ComfyUI merges results by iterating over them, so the text arrives
    as its characters (execution.py, get_output_from_returns).

    A list that really consisted of single characters looks the same. Such a list is rare, and joining it keeps every
    character, whereas splitting makes any text unreadable.
    """
    if isinstance(value, list) and len(value) > 1 and all(isinstance(item, str) and len(item) == 1 for item in value):
        return "".join(value)
    return value


def _gathered(items: list[object]) -> list[object]:
    """The same items; too many texts and values become one list behind the files."""
    values = [item for item in items if item is not None and not _is_file(item)]
    if len(values) <= MAX_VALUES:
        return items
    return [*(item for item in items if _is_file(item)), values]


def _flatten(value: object) -> Iterator[object]:
    """The leaves of nested lists, left to right; a stack instead of recursion, because depth is the sender's
    choice.
    """
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list | tuple):
            stack.extend(reversed(item))
        else:
            yield item


def _item(node_id: str, key: str, index: int, value: object) -> OutputItem:
    if isinstance(value, dict) and _is_file(value):
        return _file_item(node_id, key, index, value)
    # Preview3D puts the name of a model file under "result": it is a reference, not a text to show.
    if isinstance(value, str) and key != "result":
        return OutputItem("text", node_id, key, index, value=value)
    return OutputItem("data", node_id, key, index, value=value)


def _is_file(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("filename"), str) and bool(value["filename"])


def _file_item(node_id: str, key: str, index: int, value: dict[str, object]) -> OutputItem:
    file = FileRef(
        filename=str(value["filename"]),
        subfolder=str(value.get("subfolder") or ""),
        type=str(value.get("type") or "output"),
    )
    # VHS_VideoCombine adds `fullpath`, an absolute path of the server.
    hidden = {"filename", "subfolder", "type", "fullpath"}
    details = {key: item for key, item in value.items() if key not in hidden}
    return OutputItem(_file_kind(file.filename, details.get("format")), node_id, key, index, file=file, details=details)


def _file_kind(filename: str, media_format: object) -> Kind:
    """By extension, then by a media type such as video/h264-mp4; never by the key (videos come under
    `images`).
    """
    extension = PurePosixPath(filename.replace("\\", "/")).suffix.lower()
    for kind, extensions in _EXTENSIONS.items():
        if extension in extensions:
            return kind
    major = str(media_format or "").partition("/")[0]
    return next((kind for kind in _MEDIA if kind == major), "file")


def _natural(node_id: str) -> list[tuple[int, int, str]]:
    """Sorts "9" before "10" and "12:3" after "12"."""
    parts = re.findall(r"[0-9]+|[^0-9]+", node_id)
    return [(0, int(part[:18]), part) if part.isascii() and part.isdigit() else (1, 0, part) for part in parts]
