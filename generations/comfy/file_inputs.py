"""Which inputs name a file on the server, and what must stand there for a file that we uploaded.

A name in such an input reads whatever lies there: `x.png [output]` is anybody's result (folder_paths.py,
annotated_filepath), and a folder is every file in it. So all that is known of an input decides: the flags
of /object_info, what their combo lists, what their name says, and the facts about well-known classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

Upload: TypeAlias = Literal["", "image", "video", "audio", "file"]

UPLOADS = "comfysaas"  # the folder inside ComfyUI's input folder that holds what we upload, under hash names
_PICTURES = {
    "png",
    "jpg",
    "jpeg",
    "jfif",
    "webp",
    "gif",
    "bmp",
    "tif",
    "tiff",
    "avif",
    "heic",
    "heif",
    "jxl",
    "exr",
    "hdr",
}
_FILMS = {"mp4", "webm", "mov", "mkv", "avi", "m4v", "mpg", "mpeg", "wmv", "flv", "ogv"}
_SOUNDS = {"wav", "mp3", "flac", "ogg", "oga", "opus", "m4a", "aac", "wma", "aif", "aiff"}
_SHAPES = {"glb", "gltf", "obj", "fbx", "stl", "ply", "usdz", "spz", "splat", "ksplat"}
_MEDIA = _PICTURES | _FILMS | _SOUNDS | _SHAPES | {"psd", "svg", "ico", "latent"}
_DATA = _MEDIA | {"txt", "pdf", "json", "csv", "srt", "vtt", "npz", "npy", "zip"}
_NO_FILE = frozenset({"none", "None"})
_ANNOTATION = re.compile(r"^(?P<name>.*?) ?\[(?P<folder>input|output|temp)\]$", re.DOTALL)
_PATH_NAME = re.compile(
    r"^((image|images|video|videos|audio|mask|latent|model|input|source|load|reference|ref|media|frames)_?)?"
    r"(path|paths|file|files|filepath|dir|directory|folder)(_?(path|name))?$"
)
_WRITTEN = re.compile("prefix|filename|output|save|export|target")
_PLACE = re.compile(r"^(\.{0,2}/|~|[A-Za-z]:)|(^|/)\.\.(/|$)|^(input|output|temp|comfysaas)(/|$)|^file:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FileInput:
    """An input that names a file. `kind` is what users upload there, "" where that is unknown.

    `is_path`: relative to the folder that ComfyUI was started in, not to its input folder. `is_folder`: all in it.
    """

    kind: Upload = ""
    is_path: bool = False
    is_folder: bool = False


# nodes.py and comfy_extras of ComfyUI; videohelpersuite/*.py, whose scripts add the upload buttons in the browser.
_KNOWN: Mapping[tuple[str, str], FileInput] = {
    ("LoadImage", "image"): FileInput("image"),
    ("LoadImageMask", "image"): FileInput("image"),
    ("LoadImageOutput", "image"): FileInput("image"),
    ("LoadImageSetNode", "images"): FileInput("image"),
    ("LoadAudio", "audio"): FileInput("audio"),
    ("LoadVideo", "file"): FileInput("video"),
    ("Load3D", "model_file"): FileInput("file"),
    ("Load3DAnimation", "model_file"): FileInput("file"),
    ("LoadLatent", "latent"): FileInput("file"),
    ("OpenAIInputFiles", "file"): FileInput("file"),
    ("GeminiInputFiles", "file"): FileInput("file"),
    ("LoadImageSetFromFolderNode", "folder"): FileInput("image", is_folder=True),
    ("LoadImageTextSetFromFolderNode", "folder"): FileInput("image", is_folder=True),
    ("LoadImageDataSetFromFolder", "folder"): FileInput("image", is_folder=True),
    ("LoadImageTextDataSetFromFolder", "folder"): FileInput("image", is_folder=True),
    ("LoadTrainingDataset", "folder_name"): FileInput(is_folder=True),
    ("VHS_LoadVideo", "video"): FileInput("video"),
    ("VHS_LoadVideoFFmpeg", "video"): FileInput("video"),
    ("VHS_LoadAudioUpload", "audio"): FileInput("audio"),
    ("VHS_LoadImages", "directory"): FileInput("image", is_folder=True),
    ("VHS_LoadVideoPath", "video"): FileInput("video", is_path=True),
    ("VHS_LoadVideoFFmpegPath", "video"): FileInput("video", is_path=True),
    ("VHS_LoadImagePath", "image"): FileInput("image", is_path=True),
    ("VHS_LoadAudio", "audio_file"): FileInput("audio", is_path=True),
    ("VHS_LoadImagesPath", "directory"): FileInput("image", is_path=True, is_folder=True),
}
_FLAGS: tuple[tuple[str, Upload], ...] = (
    ("image_upload", "image"),
    ("animated_image_upload", "image"),
    ("video_upload", "video"),
    ("audio_upload", "audio"),
    ("file_upload", "file"),
)


def known_file(class_type: str, input_name: str) -> FileInput | None:
    """What is known of a well-known class's input; None for all others."""
    return _KNOWN.get((class_type, input_name))


def read_file_input(
    class_type: str, input_name: str, type_name: str, options: Mapping[str, object], choices: Sequence[object] | None
) -> FileInput | None:
    """What /object_info says of this input; None when it names no file."""
    if known := known_file(class_type, input_name):
        return known
    if flag := next((kind for name, kind in _FLAGS if options.get(name)), None):
        return FileInput(flag)
    if "vhs_path_extensions" in options:
        return FileInput(is_path=True)
    if type_name == "COMBO":
        return FileInput() if _is_remote(options) or (choices and lists_files(choices)) else None
    is_read = type_name == "STRING" and _PATH_NAME.match(input_name) and not _WRITTEN.search(input_name)
    return FileInput() if is_read else None


def _is_remote(options: Mapping[str, object]) -> bool:
    """True for combos that the browser fills with the names in one of the server's folders."""
    remote = options.get("remote")
    route = remote.get("route") if isinstance(remote, Mapping) else None
    return bool(options.get("image_folder")) or (isinstance(route, str) and "/files" in route)


def lists_files(choices: Sequence[object]) -> bool:
    """True when media files are among these names, or the folder of our uploads, because folders are listed."""
    return any(isinstance(each, str) and is_file_name(each) for each in choices)


def is_file_name(name: str) -> bool:
    """True for the name of a media file, and for what lies in the folder of our uploads."""
    return _extension(name) in _MEDIA or is_upload(name)


def is_upload(name: str) -> bool:
    """True for names in the folder of our uploads, or of that folder."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return UPLOADS in (part.casefold() for part in parts)


def means_no_file(text: str) -> bool:
    """True for the words that make a loader load nothing."""
    return text in _NO_FILE


def looks_like_file(input_name: str, text: str) -> bool:
    """True for a text that can hardly be anything but the name of a file, in an input that nothing is known of."""
    if "\n" in text or len(text) > 1000 or re.match("https?://", text) or _WRITTEN.search(input_name):
        return False
    return _extension(_plain(text)) in _DATA or leads_somewhere(text)


def leads_somewhere(text: str) -> bool:
    """True for what leads somewhere on the server, rather than a word: `x [output]`, `/data/x`, `../x`, `input/x`."""
    plain = _plain(text)
    if _ANNOTATION.match(plain) or is_upload(plain):
        return True
    # Words such as “output”, and prompts that begin with a slash, lead nowhere.
    return bool(_PLACE.search(plain)) and " " not in plain and plain.rstrip("/").count("/") > plain.startswith("/")


def _plain(text: str) -> str:
    return text.strip().strip("\"'").replace("\\", "/")


def _extension(name: str) -> str:
    return PurePosixPath(name).suffix.lower().removeprefix(".")


def split_annotation(text: str) -> tuple[str, str]:
    """(name, folder) of `x.png [output]`; the folder is "" where none is given."""
    match = _ANNOTATION.match(text)
    return (match["name"], match["folder"]) if match else (text, "")


def upload_folder(known: FileInput | None, digest: str) -> str:
    """Where a file goes that such an input reads: a folder of its own, where everything in the folder is read."""
    return f"{UPLOADS}/{digest}" if known is not None and known.is_folder else UPLOADS


def input_value(known: FileInput | None, uploaded: str) -> str:
    """What to write into the input. `uploaded`: folder and name inside ComfyUI's input folder."""
    if known is None:
        return uploaded
    value = uploaded.rpartition("/")[0] if known.is_folder else uploaded
    return f"input/{value}" if known.is_path else value
