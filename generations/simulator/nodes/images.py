"""Loading and changing pictures. An IMAGE is a list of PIL pictures, a MASK a list of "L" ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image, ImageChops, ImageFilter, ImageOps

from generations.simulator.nodes.base import Context, Environment, InputSpecs, Model, Node, Result, register

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"}
ANNOTATION = re.compile(r"^(?P<name>.*) \[(?P<folder>output|input|temp)\]$")
RESAMPLING = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
BLEND_MODES: dict[str, Callable[[Image.Image, Image.Image], Image.Image]] = {
    "normal": lambda _, two: two,
    "multiply": ImageChops.multiply,
    "screen": ImageChops.screen,
    "overlay": ImageChops.overlay,
    "soft_light": ImageChops.soft_light,
    "difference": ImageChops.subtract,  # the server subtracts, it does not take the absolute value
}
SIDE = {"default": 512, "min": 0, "max": 16384, "step": 1}
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
        if image.has_transparency_data:
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
    resampling = RESAMPLING[method]
    return ImageOps.fit(image, size, resampling) if crop == "center" else image.resize(size, resampling)


def wanted_size(old: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """The size to scale to: a side of 0 follows the other one in proportion, two of them change nothing."""
    if not width and not height:
        return old
    return (
        width or max(1, round(old[0] * height / old[1])),
        height or max(1, round(old[1] * width / old[0])),
    )


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
        size = wanted_size(pictures[0].size, inputs["width"], inputs["height"])
        return Result(([scale(one, size, inputs["upscale_method"], inputs["crop"]) for one in pictures],))


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
        old: tuple[int, int] = inputs["image"][0].size
        size = (max(1, round(old[0] * factor)), max(1, round(old[1] * factor)))
        return Result(([one.resize(size, method) for one in inputs["image"]],))


@register
class UpscaleModelLoader(Node):
    """Hands on the model's name."""

    class_type, display_name, category = "UpscaleModelLoader", "Load Upscale Model", "loaders"
    python_module, is_v3 = "comfy_extras.nodes_upscale_model", True
    returns = ("UPSCALE_MODEL",)

    @classmethod
    def input_specs(cls, environment: Environment) -> dict[str, InputSpecs]:
        options = {"multiselect": False, "options": environment.models["upscale_models"]}
        return {"required": {"model_name": ("COMBO", options)}, "optional": {}}

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((Model(inputs["model_name"]),))


@register
class ImageUpscaleWithModel(Node):
    """As many times larger as the model's name says (x2, x4), and sharpened, as such models do."""

    class_type, display_name, category = "ImageUpscaleWithModel", "Upscale Image (using Model)", "image/upscaling"
    python_module, is_v3 = "comfy_extras.nodes_upscale_model", True
    required = {"upscale_model": ("UPSCALE_MODEL", {}), "image": ("IMAGE", {})}
    returns = ("IMAGE",)

    def run(self, context: Context, **inputs: Any) -> Result:
        factor = 2 if "x2" in inputs["upscale_model"].name.lower() else 4
        pictures: Pictures = inputs["image"]
        larger = [one.resize((one.width * factor, one.height * factor), Image.Resampling.LANCZOS) for one in pictures]
        return Result(([one.filter(ImageFilter.UnsharpMask(factor)) for one in larger],))


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
    python_module, is_v3 = "comfy_extras.nodes_post_processing", True
    required = {
        "image1": ("IMAGE", {}),
        "image2": ("IMAGE", {}),
        "blend_factor": ("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.01}),
        "blend_mode": ("COMBO", {"multiselect": False, "options": list(BLEND_MODES)}),
    }
    returns = ("IMAGE",)

    def run(self, context: Context, **inputs: Any) -> Result:
        mix = BLEND_MODES[inputs["blend_mode"]]
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
    python_module, is_v3 = "comfy_extras.nodes_post_processing", True
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
