"""Files in the output and temp folders: names with counters, and the workflow as metadata in each of them."""

from __future__ import annotations

import json
import os
import random
import re
import string
import time
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from generations.simulator.nodes.base import Context, Node, Preview, Result, register

SAVE_HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
Pictures = list[Image.Image]


def next_file(folder: Path, prefix: str, size: tuple[int, int]) -> tuple[Path, str, str, int]:
    """(directory, file prefix, subfolder, first free number), as folder_paths.get_save_image_path finds them."""
    now = time.localtime()
    tokens = {
        "%width%": size[0], "%height%": size[1], "%year%": now.tm_year, "%month%": f"{now.tm_mon:02}",
        "%day%": f"{now.tm_mday:02}", "%hour%": f"{now.tm_hour:02}", "%minute%": f"{now.tm_min:02}",
        "%second%": f"{now.tm_sec:02}",
    }  # fmt: skip
    for token, value in tokens.items():
        prefix = prefix.replace(token, str(value))
    subfolder, name = os.path.split(os.path.normpath(prefix))
    base = folder.resolve()
    directory = Path(os.path.normpath(base / subfolder))
    if directory != base and base not in directory.parents:
        msg = (
            "**** ERROR: Saving image outside the output folder is not allowed.\n"
            f" full_output_folder: {directory}\n         output_dir: {base}\n"
            f"         commonpath: {os.path.commonpath((base, directory))}"
        )
        raise Exception(msg)  # clients see the type's name
    directory.mkdir(parents=True, exist_ok=True)
    pattern = re.compile(re.escape(name) + r"_(\d+)_")
    taken = [int(match[1]) for path in directory.iterdir() if (match := pattern.match(path.name))]
    return directory, name, subfolder, max(taken, default=0) + 1


def metadata(context: Context) -> dict[str, str]:
    """What goes into files: the graph, and whatever the client sent along."""
    return {"prompt": json.dumps(context.prompt)} | {
        key: json.dumps(value) for key, value in context.extra_pnginfo.items()
    }


def _save_pngs(context: Context, pictures: Pictures, *, folder: str, prefix: str, level: int) -> list[dict[str, str]]:
    base = context.environment.folder(folder)
    directory, name, subfolder, number = next_file(base, prefix, pictures[0].size)
    info = PngInfo()
    for key, value in metadata(context).items():
        info.add_text(key, value)
    saved = []
    for index, picture in enumerate(pictures):
        filename = f"{name.replace('%batch_num%', str(index))}_{number + index:05}_.png"
        picture.save(directory / filename, pnginfo=info, compress_level=level)
        saved.append({"filename": filename, "subfolder": subfolder, "type": folder})
    return saved


@register
class SaveImage(Node):
    """PNG files in the output folder."""

    class_type, display_name, category, is_output = "SaveImage", "Save Image", "image", True
    required = {"images": ("IMAGE", {}), "filename_prefix": ("STRING", {"default": "ComfyUI"})}
    hidden = SAVE_HIDDEN

    def run(self, context: Context, **inputs: Any) -> Result:
        prefix = inputs["filename_prefix"]
        saved = _save_pngs(context, inputs["images"], folder="output", prefix=prefix, level=4)
        return Result((), {"images": saved})


@register
class PreviewImage(Node):
    """PNG files in the temp folder, which the next start empties."""

    class_type, display_name, category, is_output = "PreviewImage", "Preview Image", "image", True
    required = {"images": ("IMAGE",)}
    hidden = SAVE_HIDDEN

    def __init__(self) -> None:
        self._prefix = "ComfyUI_temp_" + "".join(random.choices(string.ascii_lowercase, k=5))

    def run(self, context: Context, **inputs: Any) -> Result:
        saved = _save_pngs(context, inputs["images"], folder="temp", prefix=self._prefix, level=1)
        return Result((), {"images": saved})


@register
class SaveAnimatedWEBP(Node):
    """One animated file."""

    class_type, display_name, category = "SaveAnimatedWEBP", "SaveAnimatedWEBP", "image/animation"
    python_module, is_output = "comfy_extras.nodes_images", True
    required = {
        "images": ("IMAGE",),
        "filename_prefix": ("STRING", {"default": "ComfyUI"}),
        "fps": ("FLOAT", {"default": 6.0, "min": 0.01, "max": 1000.0, "step": 0.01}),
        "lossless": ("BOOLEAN", {"default": True}),
        "quality": ("INT", {"default": 80, "min": 0, "max": 100}),
        "method": (["default", "fastest", "slowest"],),
    }
    hidden = SAVE_HIDDEN

    def run(self, context: Context, **inputs: Any) -> Result:
        pictures: Pictures = inputs["images"]
        base = context.environment.folder("output")
        directory, name, subfolder, number = next_file(base, inputs["filename_prefix"], pictures[0].size)
        exif = pictures[0].getexif()
        for tag, (key, value) in zip((0x0110, *range(0x010F, 0x0100, -1)), metadata(context).items(), strict=False):
            exif[tag] = f"{key}:{value}"
        filename = f"{name}_{number:05}_.webp"
        pictures[0].save(
            directory / filename,
            save_all=True,
            append_images=pictures[1:],
            duration=round(1000 / inputs["fps"]),
            exif=exif,
            lossless=inputs["lossless"],
            quality=inputs["quality"],
            method={"default": 4, "fastest": 0, "slowest": 6}[inputs["method"]],
        )
        saved = {"filename": filename, "subfolder": subfolder, "type": "output"}
        return Result((), {"images": [saved], "animated": [len(pictures) != 1]})


@register
class SaveAnimatedPNG(Node):
    """One animated file."""

    class_type, display_name, category = "SaveAnimatedPNG", "SaveAnimatedPNG", "image/animation"
    python_module, is_output = "comfy_extras.nodes_images", True
    required = {
        "images": ("IMAGE",),
        "filename_prefix": ("STRING", {"default": "ComfyUI"}),
        "fps": ("FLOAT", {"default": 6.0, "min": 0.01, "max": 1000.0, "step": 0.01}),
        "compress_level": ("INT", {"default": 4, "min": 0, "max": 9}),
    }
    hidden = SAVE_HIDDEN

    def run(self, context: Context, **inputs: Any) -> Result:
        pictures: Pictures = inputs["images"]
        base = context.environment.folder("output")
        directory, name, subfolder, number = next_file(base, inputs["filename_prefix"], pictures[0].size)
        info = PngInfo()
        for key, value in metadata(context).items():
            content = key.encode("latin-1", "strict") + b"\0" + value.encode("latin-1", "strict")
            info.add(b"comf", content, after_idat=True)
        filename = f"{name}_{number:05}_.png"
        pictures[0].save(
            directory / filename,
            pnginfo=info,
            compress_level=inputs["compress_level"],
            save_all=True,
            duration=round(1000 / inputs["fps"]),
            append_images=pictures[1:],
        )
        saved = {"filename": filename, "subfolder": subfolder, "type": "output"}
        return Result((), {"images": [saved], "animated": [True]})


@register
class SaveImageWebsocket(Node):
    """Sends the pictures over the socket and keeps nothing."""

    class_type, display_name, category = "SaveImageWebsocket", "SaveImageWebsocket", "api/image"
    python_module, is_output, is_never_cached = "custom_nodes.websocket_image_save", True, True
    required = {"images": ("IMAGE",)}

    def run(self, context: Context, **inputs: Any) -> Result:
        for index, picture in enumerate(inputs["images"]):
            context.progress(index, len(inputs["images"]), Preview(picture, is_whole=True))
        return Result()
