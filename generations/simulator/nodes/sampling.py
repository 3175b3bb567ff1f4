"""From a checkpoint to a latent: the nodes of text-to-image and image-to-image."""

from __future__ import annotations

import time
from typing import Any

from PIL import Image, ImageFilter

from generations.simulator import drawing
from generations.simulator.nodes.base import (
    Context,
    Environment,
    InputSpecs,
    Latent,
    Model,
    Node,
    Preview,
    Result,
    register,
)
from generations.simulator.nodes.images import RESAMPLING, scale, wanted_size

MAX_SEED = 2**64 - 1
SLEEP_SLICE_SECONDS = 0.02
PREVIEW_PIXELS = 128
SAMPLERS = [
    "euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2", "dpm_2",
    "dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral", "dpmpp_2s_ancestral_cfg_pp",
    "dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m", "dpmpp_2m_cfg_pp", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu",
    "dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm", "lcm", "ipndm",
    "ipndm_v", "deis", "res_multistep", "res_multistep_cfg_pp", "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp", "gradient_estimation", "gradient_estimation_cfg_pp", "er_sde", "seeds_2",
    "seeds_3", "sa_solver", "sa_solver_pece", "ddim", "uni_pc", "uni_pc_bh2",
]  # fmt: skip
SCHEDULERS = [
    "simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal", "linear_quadratic",
    "kl_optimal",
]  # fmt: skip
SIDE = {"default": 512, "min": 16, "max": 16384, "step": 8}


@register
class CheckpointLoaderSimple(Node):
    """Hands on the checkpoint's name."""

    class_type, display_name, category = "CheckpointLoaderSimple", "Load Checkpoint", "loaders"
    returns = ("MODEL", "CLIP", "VAE")

    @classmethod
    def input_specs(cls, environment: Environment) -> dict[str, InputSpecs]:
        return {"required": {"ckpt_name": (environment.models["checkpoints"], {})}, "optional": {}}

    def run(self, context: Context, **inputs: Any) -> Result:
        model = Model(inputs["ckpt_name"])
        return Result((model, model, model))


@register
class LoraLoader(Node):
    """Adds its name to the model's."""

    class_type, display_name, category = "LoraLoader", "Load LoRA", "loaders"
    returns = ("MODEL", "CLIP")

    @classmethod
    def input_specs(cls, environment: Environment) -> dict[str, InputSpecs]:
        strength = {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.01}
        required: InputSpecs = {
            "model": ("MODEL", {}),
            "clip": ("CLIP", {}),
            "lora_name": (environment.models["loras"], {}),
            "strength_model": ("FLOAT", strength),
            "strength_clip": ("FLOAT", strength),
        }
        return {"required": required, "optional": {}}

    def run(self, context: Context, **inputs: Any) -> Result:
        name = f"{inputs['model'].name}+{inputs['lora_name']}:{inputs['strength_model']}"
        return Result((Model(name), inputs["clip"]))


@register
class VAELoader(Node):
    """Hands on a name."""

    class_type, display_name, category = "VAELoader", "Load VAE", "loaders"
    required = {"vae_name": (["pixel_space"],)}
    returns = ("VAE",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((Model(inputs["vae_name"]),))


@register
class CLIPTextEncode(Node):
    """The conditioning is the text itself."""

    class_type, display_name, category = "CLIPTextEncode", "CLIP Text Encode (Prompt)", "conditioning"
    required = {"text": ("STRING", {"multiline": True, "dynamicPrompts": True}), "clip": ("CLIP", {})}
    returns = ("CONDITIONING",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result(((inputs["text"],),))


@register
class CLIPSetLastLayer(Node):
    """Passes the model on."""

    class_type, display_name, category = "CLIPSetLastLayer", "CLIP Set Last Layer", "conditioning"
    required = {"clip": ("CLIP",), "stop_at_clip_layer": ("INT", {"default": -1, "min": -24, "max": -1, "step": 1})}
    returns = ("CLIP",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((inputs["clip"],))


@register
class ConditioningCombine(Node):
    """Both texts count."""

    class_type, display_name, category = "ConditioningCombine", "Conditioning (Combine)", "conditioning"
    required = {"conditioning_1": ("CONDITIONING",), "conditioning_2": ("CONDITIONING",)}
    returns = ("CONDITIONING",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((inputs["conditioning_1"] + inputs["conditioning_2"],))


@register
class EmptyLatentImage(Node):
    """A size to paint in."""

    class_type, display_name, category = "EmptyLatentImage", "Empty Latent Image", "latent"
    required = {
        "width": ("INT", SIDE),
        "height": ("INT", SIDE),
        "batch_size": ("INT", {"default": 1, "min": 1, "max": 4096}),
    }
    returns = ("LATENT",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((Latent(inputs["width"], inputs["height"], inputs["batch_size"]),))


@register
class KSampler(Node):
    """Paints: coloured noise that turns, step by step, into a picture of the seed and the prompt."""

    class_type, display_name, category = "KSampler", "KSampler", "sampling"
    required = {
        "model": ("MODEL", {}),
        "seed": ("INT", {"default": 0, "min": 0, "max": MAX_SEED, "control_after_generate": True}),
        "steps": ("INT", {"default": 20, "min": 1, "max": 10000}),
        "cfg": ("FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01}),
        "sampler_name": (SAMPLERS, {}),
        "scheduler": (SCHEDULERS, {}),
        "positive": ("CONDITIONING", {}),
        "negative": ("CONDITIONING", {}),
        "latent_image": ("LATENT", {}),
        "denoise": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}),
    }
    returns = ("LATENT",)

    def run(self, context: Context, **inputs: Any) -> Result:
        latent: Latent = inputs["latent_image"]
        # Painted at the end; until then the steps show the first picture's sketch coming out of the noise.
        is_shown, steps = context.environment.preview_method != "none", inputs["steps"]
        sketch = self._paint(inputs, latent, index=0, longest=PREVIEW_PIXELS) if is_shown else None
        noise = self._start(inputs, latent, drawing.noise(sketch.size, inputs["seed"])) if sketch else None
        for step in range(1, steps + 1):
            self._wait(context)
            preview = Preview(Image.blend(noise, sketch, (step / steps) ** 1.5)) if noise and sketch else None
            context.progress(step, steps, preview)
        pictures = []
        for index in range(latent.batch_size):
            context.check_interrupted()
            pictures.append(self._paint(inputs, latent, index=index))
        return Result((Latent(latent.width, latent.height, latent.batch_size, tuple(pictures), latent.mask),))

    @staticmethod
    def _start(inputs: dict[str, Any], latent: Latent, noise: Image.Image) -> Image.Image:
        """Where the steps begin: noise alone, or over a given picture as strong as `denoise` says."""
        if latent.pictures is None:
            return noise
        original = latent.pictures[0].convert("RGB").resize(noise.size)
        noised = Image.blend(original, noise, 0.1 + 0.9 * inputs["denoise"] ** 1.3)
        return Image.composite(noised, original, latent.mask.resize(noise.size)) if latent.mask else noised

    @staticmethod
    def _wait(context: Context) -> None:
        """One step's time, in slices, so that an interrupt is noticed, and another speed, too."""
        begin = time.monotonic()
        while (left := begin + context.environment.step_seconds - time.monotonic()) > 0:
            time.sleep(min(SLEEP_SLICE_SECONDS, left))
            context.check_interrupted()

    @staticmethod
    def _paint(inputs: dict[str, Any], latent: Latent, *, index: int, longest: int | None = None) -> Image.Image:
        size = (latent.width, latent.height)
        if longest is not None:
            factor = min(1.0, longest / max(size))
            size = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
        picture = drawing.paint(
            size,
            seed=inputs["seed"] ^ index << 64,  # no picture of the batch is that of a neighbouring seed
            prompt=" ".join(inputs["positive"]),
            negative=" ".join(inputs["negative"]),
            style=f"{inputs['model'].name}|{inputs['sampler_name']}|{inputs['scheduler']}",
            contrast=inputs["cfg"],
            steps=inputs["steps"],
        )
        if latent.pictures is None:
            return picture
        original = latent.pictures[index % len(latent.pictures)].convert("RGB").resize(size)
        blended = Image.blend(original, picture, inputs["denoise"] ** 1.3)
        if latent.mask is None:
            return blended
        return Image.composite(blended, original, latent.mask.resize(size, Image.Resampling.BILINEAR))


@register
class VAEDecode(Node):
    """Latent to pictures."""

    class_type, display_name, category = "VAEDecode", "VAE Decode", "latent"
    required = {"samples": ("LATENT", {}), "vae": ("VAE", {})}
    returns = ("IMAGE",)

    def run(self, context: Context, **inputs: Any) -> Result:
        latent: Latent = inputs["samples"]
        blank = Image.new("RGB", (latent.width, latent.height), (127, 110, 100))
        return Result((list(latent.pictures) if latent.pictures else [blank] * latent.batch_size,))


@register
class VAEEncode(Node):
    """Pictures to latent; sides become multiples of eight."""

    class_type, display_name, category = "VAEEncode", "VAE Encode", "latent"
    required = {"pixels": ("IMAGE",), "vae": ("VAE",)}
    returns = ("LATENT",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((encode(inputs["pixels"], None),))


@register
class VAEEncodeForInpaint(Node):
    """The same, with a mask of where to paint."""

    class_type, display_name, category = "VAEEncodeForInpaint", "VAE Encode (for Inpainting)", "latent/inpaint"
    required = {
        "pixels": ("IMAGE",),
        "vae": ("VAE",),
        "mask": ("MASK",),
        "grow_mask_by": ("INT", {"default": 6, "min": 0, "max": 64, "step": 1}),
    }
    returns = ("LATENT",)

    def run(self, context: Context, **inputs: Any) -> Result:
        mask = inputs["mask"][0]
        if inputs["grow_mask_by"]:
            mask = _grown(mask, inputs["grow_mask_by"] / 2)
        return Result((encode(inputs["pixels"], mask),))


def _grown(mask: Image.Image, radius: float) -> Image.Image:
    """The mask and everything within `radius` pixels along each axis (a box blur is quicker than a rank filter)."""
    for axes in ((radius, 0.0), (0.0, radius)):
        mask = mask.filter(ImageFilter.BoxBlur(axes)).point(lambda value: 255 if value else 0)
    return mask


@register
class LatentUpscale(Node):
    """Another size."""

    class_type, display_name, category = "LatentUpscale", "Upscale Latent", "latent"
    required = {
        "samples": ("LATENT",),
        "upscale_method": (["nearest-exact", "bilinear", "area", "bicubic", "bislerp"],),
        "width": ("INT", {"default": 512, "min": 0, "max": 16384, "step": 8}),
        "height": ("INT", {"default": 512, "min": 0, "max": 16384, "step": 8}),
        "crop": (["disabled", "center"],),
    }
    returns = ("LATENT",)

    def run(self, context: Context, **inputs: Any) -> Result:
        latent: Latent = inputs["samples"]
        size = wanted_size((latent.width, latent.height), inputs["width"], inputs["height"])
        method = inputs["upscale_method"] if inputs["upscale_method"] in RESAMPLING else "bicubic"
        pictures = latent.pictures and tuple(scale(one, size, method, inputs["crop"]) for one in latent.pictures)
        return Result((Latent(*size, latent.batch_size, pictures, latent.mask),))


def encode(pixels: list[Image.Image], mask: Image.Image | None) -> Latent:
    """The latent of some pictures of one size."""
    width, height = (max(8, side - side % 8) for side in pixels[0].size)
    pictures = tuple(picture.convert("RGB").resize((width, height)) for picture in pixels)
    return Latent(width, height, len(pictures), pictures, mask)
