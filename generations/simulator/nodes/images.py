"""Loading, changing and saving pictures. An IMAGE is a list of PIL pictures, a MASK a list of "L" ones."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import string
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image, ImageChops, ImageFilter, ImageOps
from PIL.PngImagePlugin import PngInfo

from generations.simulator.nodes.base import Context, Environment, InputSpecs, Node, Result, register

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"}
ANNOTATION = re.compile(r"^(?P<name>.*) \[(?P<folder>output|input|temp)\]$")
RESAMPLING = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
SIDE = {"default": 512, "min": 0, "max": 16384, "step": 1}
SAVE_HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
Pictures = list[Image.Image]


def input_path(environment: Environment, name: str) -> Path | None:
    """The file that a LoadImage value names, or None: `sub/x.png`, `x.png [output]`."""
    folder = "input"
    if match := ANNOTATION.match(name):
        name, folder = match["name"], match["folder"]
    base = environment.folder(folder).resolve()
    path = (base / name).resolve()
    return path if path.is_file() and base in path.parents else None


def input_files(environment: Environment) -> list[str]:
    """What a LoadImage offers: the pictures at the top of the input folder."""
    files = (path for path in environment.folder("input").iterdir() if path.is_file())
    return sorted(path.name for path in files if path.suffix.lower() in SUFFIXES)


class _FromInput(Node):
    """What the two loaders share: the file is checked by themselves, and its bytes are part of the signature."""

    self_validated: ClassVar[tuple[str, ...]] = ("image",)

    @classmethod
    def validate(cls, environment: Environment, inputs: Mapping[str, Any]) -> str | None:
        name = str(inputs.get("image"))
        return None if input_path(environment, name) else f"Invalid image file: {name}"

    @classmethod
    def fingerprint(cls, environment: Environment, inputs: Mapping[str, Any]) -> Any:
        path = input_path(environment, str(inputs.get("image")))
        return hashlib.sha256(path.read_bytes()).hexdigest() if path else None

    @staticmethod
    def open(context: Context, name: str) -> Image.Image:
        """The picture, upright and decoded."""
        path = input_path(context.environment, name)
        if path is None:
            msg = f"[Errno 2] No such file or directory: '{name}'"
            raise FileNotFoundError(msg)
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).copy()


@register
class LoadImage(_FromInput):
    """A picture and the inverse of its transparency."""

    class_type, display_name, category = "LoadImage", "Load Image", "image"
    returns = ("IMAGE", "MASK")

    @classmethod
    def input_specs(cls, environment: Environment) -> dict[str, InputSpecs]:
        return {"required": {"image": (input_files(environment), {"image_upload": True})}, "optional": {}}

    def run(self, context: Context, **inputs: Any) -> Result:
        image = self.open(context, inputs["image"])
        if "A" in image.getbands():
            mask = ImageChops.invert(image.convert("RGBA").getchannel("A"))
        else:
            mask = Image.new("L", (64, 64), 0)
        return Result(([image.convert("RGB")], [mask]))


@register
class LoadImageMask(_FromInput):
    """One channel of a picture."""

    class_type, display_name, category = "LoadImageMask", "Load Image (as Mask)", "mask"
    returns = ("MASK",)

    @classmethod
    def input_specs(cls, environment: Environment) -> dict[str, InputSpecs]:
        channels = (["alpha", "red", "green", "blue"],)
        image = (input_files(environment), {"image_upload": True})
        return {"required": {"image": image, "channel": channels}, "optional": {}}

    def run(self, context: Context, **inputs: Any) -> Result:
        channel = self.open(context, inputs["image"]).convert("RGBA").getchannel(inputs["channel"][0].upper())
        return Result(([ImageChops.invert(channel) if inputs["channel"] == "alpha" else channel],))


@register
class EmptyImage(Node):
    """One colour."""

    class_type, display_name, category = "EmptyImage", "EmptyImage", "image"
    required = {
        "width": ("INT", {"default": 512, "min": 1, "max": 16384, "step": 1}),
        "height": ("INT", {"default": 512, "min": 1, "max": 16384, "step": 1}),
        "batch_size": ("INT", {"default": 1, "min": 1, "max": 4096}),
        "color": ("INT", {"default": 0, "min": 0, "max": 0xFFFFFF, "step": 1, "display": "color"}),
    }
    returns = ("IMAGE",)

    def run(self, context: Context, **inputs: Any) -> Result:
        color = tuple(inputs["color"].to_bytes(3, "big"))
        return Result(([Image.new("RGB", (inputs["width"], inputs["height"]), color)] * inputs["batch_size"],))


def scale(image: Image.Image, size: tuple[int, int], method: str, crop: str) -> Image.Image:
    """Another size; `center` cuts off what does not fit instead of stretching."""
    if crop == "center":
        return ImageOps.fit(image, size, RESAMPLING[method])
    return image.resize(size, RESAMPLING[method])


@register
class ImageScale(Node):
    """To a size; 0 keeps the proportion."""

    class_type, display_name, category = "ImageScale", "Upscale Image", "image/upscaling"
    required = {
        "image": ("IMAGE",),
        "upscale_method": (list(RESAMPLING),),
        "width": ("INT", SIDE),
        "height": ("INT", SIDE),
        "crop": (["disabled", "center"],),
    }
    returns = ("IMAGE",)

    def run(self, context: Context, **inputs: Any) -> Result:
        pictures: Pictures = inputs["image"]
        old, new = pictures[0].size, (inputs["width"], inputs["height"])
        if new == (0, 0):
            return Result((pictures,))
        width = new[0] or max(1, round(old[0] * new[1] / old[1]))
        height = new[1] or max(1, round(old[1] * new[0] / old[0]))
        crop = inputs["crop"]
        return Result(([scale(one, (width, height), inputs["upscale_method"], crop) for one in pictures],))


@register
class ImageScaleBy(Node):
    """By a factor."""

    class_type, display_name, category = "ImageScaleBy", "Upscale Image By", "image/upscaling"
    required = {
        "image": ("IMAGE",),
        "upscale_method": (list(RESAMPLING),),
        "scale_by": ("FLOAT", {"default": 1.0, "min": 0.01, "max": 8.0, "step": 0.01}),
    }
    returns = ("IMAGE",)

    def run(self, context: Context, **inputs: Any) -> Result:
        factor, method = inputs["scale_by"], RESAMPLING[inputs["upscale_method"]]
        return Result(
            (
                [
                    one.resize((max(1, round(one.width * factor)), max(1, round(one.height * factor))), method)
                    for one in inputs["image"]
                ],
            )
        )


@register
class ImageCrop(Node):
    """A part of it."""

    class_type, display_name, category = "ImageCrop", "Image Crop", "image/transform"
    python_module = "comfy_extras.nodes_images"
    required = {
        "image": ("IMAGE",),
        "width": ("INT", {"default": 512, "min": 1, "max": 16384, "step": 1}),
        "height": ("INT", {"default": 512, "min": 1, "max": 16384, "step": 1}),
        "x": ("INT", {"default": 0, "min": 0, "max": 16384, "step": 1}),
        "y": ("INT", {"default": 0, "min": 0, "max": 16384, "step": 1}),
    }
    returns = ("IMAGE",)

    def run(self, context: Context, **inputs: Any) -> Result:
        first = inputs["image"][0]
        x, y = min(inputs["x"], first.width - 1), min(inputs["y"], first.height - 1)
        box = (x, y, min(x + inputs["width"], first.width), min(y + inputs["height"], first.height))
        return Result(([one.crop(box) for one in inputs["image"]],))


@register
class ImageBlend(Node):
    """Two pictures as one."""

    class_type, category = "ImageBlend", "image/postprocessing"
    python_module = "comfy_extras.nodes_post_processing"
    _modes = ["normal", "multiply", "screen", "overlay", "soft_light", "difference"]
    required = {
        "image1": ("IMAGE", {}),
        "image2": ("IMAGE", {}),
        "blend_factor": ("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.01}),
        "blend_mode": ("COMBO", {"multiselect": False, "options": _modes}),
    }
    returns = ("IMAGE",)

    def run(self, context: Context, **inputs: Any) -> Result:
        modes = {
            "normal": lambda one, two: two,
            "multiply": ImageChops.multiply,
            "screen": ImageChops.screen,
            "overlay": ImageChops.overlay,
            "soft_light": ImageChops.soft_light,
            "difference": ImageChops.subtract,
        }
        if inputs["blend_mode"] not in modes:
            msg = f"Unsupported blend mode: {inputs['blend_mode']}"
            raise ValueError(msg)
        mix = modes[inputs["blend_mode"]]
        second: Pictures = inputs["image2"]
        pairs = ((one.convert("RGB"), second[i % len(second)]) for i, one in enumerate(inputs["image1"]))
        factor = inputs["blend_factor"]
        return Result(
            ([Image.blend(one, mix(one, two.convert("RGB").resize(one.size)), factor) for one, two in pairs],)
        )


@register
class ImageInvert(Node):
    """The negative."""

    class_type, display_name, category = "ImageInvert", "Invert Image", "image"
    required = {"image": ("IMAGE",)}
    returns = ("IMAGE",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result(([ImageChops.invert(one.convert("RGB")) for one in inputs["image"]],))


@register
class ImageBlur(Node):
    """Softer."""

    class_type, category = "ImageBlur", "image/postprocessing"
    python_module = "comfy_extras.nodes_post_processing"
    required = {
        "image": ("IMAGE", {}),
        "blur_radius": ("INT", {"default": 1, "min": 1, "max": 31, "step": 1}),
        "sigma": ("FLOAT", {"default": 1.0, "min": 0.1, "max": 10.0, "step": 0.1}),
    }
    returns = ("IMAGE",)

    def run(self, context: Context, **inputs: Any) -> Result:
        radius = min(float(inputs["blur_radius"]), 3 * inputs["sigma"])
        return Result(([one.filter(ImageFilter.GaussianBlur(radius)) for one in inputs["image"]],))


@register
class ImageBatch(Node):
    """One after the other, in the first one's size."""

    class_type, display_name, category = "ImageBatch", "Batch Images", "image"
    required = {"image1": ("IMAGE",), "image2": ("IMAGE",)}
    returns = ("IMAGE",)

    def run(self, context: Context, **inputs: Any) -> Result:
        size = inputs["image1"][0].size
        return Result(([*inputs["image1"], *(scale(one, size, "bilinear", "center") for one in inputs["image2"])],))


def next_file(folder: Path, prefix: str, size: tuple[int, int]) -> tuple[Path, str, str, int]:
    """(directory, file prefix, subfolder, first free number), as folder_paths.get_save_image_path finds them."""
    now = time.localtime()
    tokens = {
        "width": size[0], "height": size[1], "year": now.tm_year, "month": f"{now.tm_mon:02}",
        "day": f"{now.tm_mday:02}", "hour": f"{now.tm_hour:02}", "minute": f"{now.tm_min:02}",
        "second": f"{now.tm_sec:02}",
    }  # fmt: skip
    for name, value in tokens.items():
        prefix = prefix.replace(f"%{name}%", str(value))
    subfolder, name = os.path.split(os.path.normpath(prefix))
    base = folder.resolve()
    directory = Path(os.path.normpath(base / subfolder))
    if directory != base and base not in directory.parents:
        msg = (
            "**** ERROR: Saving image outside the output folder is not allowed.\n"
            f" full_output_folder: {directory}\n         output_dir: {base}"
        )
        raise Exception(msg)  # noqa: TRY002  (the type that clients see)
    directory.mkdir(parents=True, exist_ok=True)
    pattern = re.compile(re.escape(name) + r"_(\d+)_?\.\w+$", re.IGNORECASE)
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

    def run(self, context: Context, **inputs: Any) -> Result:
        prefix = "ComfyUI_temp_" + "".join(random.choices(string.ascii_lowercase, k=5))
        return Result((), {"images": _save_pngs(context, inputs["images"], folder="temp", prefix=prefix, level=1)})


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
            whole = picture.copy()
            whole.info["is_full"] = True
            context.progress(index, len(inputs["images"]), whole)
        return Result()

