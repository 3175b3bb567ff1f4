"""Classes of newer servers that are easy to imitate. A recording says what they take (`recording.py`); here are only
the names of the inputs that matter. Without a recording, the simulator does not have them.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from PIL import Image

from generations.simulator.nodes.base import Context, Environment, InputSpecs, Latent, Model, Node, Result
from generations.simulator.nodes.images import RESAMPLING
from generations.simulator.nodes.sampling import KSampler

DESCRIBED: dict[str, type[Node]] = {}


class _Described(Node):
    """`names`: the classes that it stands for; `takes`: the inputs that they must have."""

    names: ClassVar[tuple[str, ...]] = ()
    takes: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        DESCRIBED.update(dict.fromkeys(cls.__dict__.get("names", ()), cls))
        super().__init_subclass__(**options)

    @classmethod
    def input_specs(cls, environment: Environment) -> dict[str, InputSpecs]:
        return {"required": {name: ("*", {}) for name in cls.takes}, "optional": {}}


class _Loader(_Described):
    """Hands on the name of its first file; those of text encoders make no difference to the picture."""

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((Model(str(inputs[self.takes[0]])),))


class UNETLoader(_Loader):
    """The model that paints."""

    names, takes, returns = ("UNETLoader",), ("unet_name",), ("MODEL",)


class CLIPLoader(_Loader):
    """What reads the prompt."""

    names, takes, returns = ("CLIPLoader",), ("clip_name",), ("CLIP",)


class SeveralCLIPLoader(_Loader):
    """The same, of several files."""

    names = ("DualCLIPLoader", "TripleCLIPLoader", "QuadrupleCLIPLoader")
    takes, returns = ("clip_name1", "clip_name2"), ("CLIP",)


class LoraLoaderModelOnly(_Described):
    """Adds its name to the model's, as LoraLoader does."""

    names, takes = ("LoraLoaderModelOnly",), ("model", "lora_name", "strength_model")
    returns = ("MODEL",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((Model(f"{inputs['model'].name}+{inputs['lora_name']}:{inputs['strength_model']}"),))


class ModelPatch(_Described):
    """Another way to sample is another style."""

    names = ("ModelSamplingAuraFlow", "ModelSamplingSD3", "ModelSamplingFlux", "CFGNorm")
    takes, returns = ("model",), ("MODEL",)

    def run(self, context: Context, **inputs: Any) -> Result:
        numbers = [str(value) for name, value in sorted(inputs.items()) if name != "model"]
        return Result((Model("+".join([inputs["model"].name, self.class_type, *numbers])),))


class ConditioningZeroOut(_Described):
    """Conditioning without any words, whatever words came in."""

    names, takes, returns = ("ConditioningZeroOut",), ("conditioning",), ("CONDITIONING",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result(((),))


class FluxGuidance(_Described):
    """The words, as they are."""

    names, takes, returns = ("FluxGuidance",), ("conditioning", "guidance"), ("CONDITIONING",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((inputs["conditioning"],))


class EmptyLatent(_Described):
    """A size to paint in."""

    names = ("EmptySD3LatentImage", "EmptyFlux2LatentImage")
    takes, returns = ("width", "height", "batch_size"), ("LATENT",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((Latent(inputs["width"], inputs["height"], inputs["batch_size"]),))


class KSamplerAdvanced(_Described):
    """Paints as KSampler does, as strong as its part of the steps is long."""

    names, returns = ("KSamplerAdvanced",), ("LATENT",)
    takes = (
        "model", "add_noise", "noise_seed", "steps", "cfg", "sampler_name", "scheduler", "positive", "negative",
        "latent_image", "start_at_step", "end_at_step",
    )  # fmt: skip

    def run(self, context: Context, **inputs: Any) -> Result:
        first, last = inputs["start_at_step"], min(inputs["end_at_step"], inputs["steps"])
        if last <= first:
            return Result((inputs["latent_image"],))
        part = {"steps": last - first, "denoise": (last - first) / inputs["steps"], "seed": inputs["noise_seed"]}
        return KSampler().run(context, **{**inputs, **part})


class ComfySwitchNode(_Described):
    """One of two inputs; here, both were computed."""

    names, takes, returns = ("ComfySwitchNode",), ("switch", "on_false", "on_true"), ("COMFY_MATCHTYPE_V3",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((inputs["on_true" if inputs["switch"] else "on_false"],))


class GetImageSize(_Described):
    """Width, height and number."""

    names, takes, returns = ("GetImageSize",), ("image",), ("INT", "INT", "INT")

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((*inputs["image"][0].size, len(inputs["image"])))


class ImageScaleToTotalPixels(_Described):
    """The proportions stay."""

    names = ("ImageScaleToTotalPixels",)
    takes, returns = ("image", "upscale_method", "megapixels"), ("IMAGE",)

    def run(self, context: Context, **inputs: Any) -> Result:
        pictures: list[Image.Image] = inputs["image"]
        size = _size_of(pictures[0].size, inputs["megapixels"], inputs.get("resolution_steps", 1))
        return Result(([one.resize(size, RESAMPLING[inputs["upscale_method"]]) for one in pictures],))


class ResolutionSelector(_Described):
    """A size from proportions such as “16:9 (Widescreen)”."""

    names = ("ResolutionSelector",)
    takes, returns = ("aspect_ratio", "megapixels", "multiple"), ("INT", "INT")

    def run(self, context: Context, **inputs: Any) -> Result:
        width, height = inputs["aspect_ratio"].split(" ")[0].split(":")
        return Result(_size_of((int(width), int(height)), inputs["megapixels"], inputs["multiple"]))


def _size_of(proportions: tuple[int, int], megapixels: float, step: int) -> tuple[int, int]:
    factor = math.sqrt(megapixels * 1024 * 1024 / (proportions[0] * proportions[1]))
    width, height = (max(step, round(side * factor / step) * step) for side in proportions)
    return width, height


class StringReplace(_Described):
    """The text with every `find` in it replaced."""

    names, takes, returns = ("StringReplace",), ("string", "find", "replace"), ("STRING",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((inputs["string"].replace(inputs["find"], inputs["replace"]),))


class CustomCombo(_Described):
    """One of the texts that the workflow's author wrote, and its number. The server knows none of them."""

    names, takes, returns = ("CustomCombo",), ("choice",), ("STRING", "INT")
    self_validated = ("choice",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((inputs["choice"], context.prompt[context.node_id]["inputs"].get("index", 0)))
