"""Graphs that the tests run."""

from __future__ import annotations

from typing import Any

CHECKPOINT = "v1-5-pruned-emaonly.safetensors"


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """One node in API format."""
    return {"class_type": class_type, "inputs": inputs}


def plain(color: int = 0, *, size: int = 8, prefix: str = "x") -> dict[str, Any]:
    """Two nodes: one colour, saved. The quickest run that leaves a file."""
    return {
        "1": node("EmptyImage", width=size, height=size, batch_size=1, color=color),
        "9": node("SaveImage", images=["1", 0], filename_prefix=prefix),
    }


def text_to_image(
    seed: int = 1, *, text: str = "a red sunset", steps: int = 3, size: int = 64, latent: Any = None
) -> dict[str, Any]:
    """The default workflow, shown as a preview. `latent`: a link in place of the empty latent."""
    return {
        "3": node(
            "KSampler",
            seed=seed, steps=steps, cfg=8.0, sampler_name="euler", scheduler="normal", denoise=1.0,
            model=["4", 0], positive=["6", 0], negative=["7", 0], latent_image=latent or ["5", 0],
        ),
        "4": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "5": node("EmptyLatentImage", width=size, height=size, batch_size=1),
        "6": node("CLIPTextEncode", text=text, clip=["4", 1]),
        "7": node("CLIPTextEncode", text="", clip=["4", 1]),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", images=["8", 0], filename_prefix="x"),
    }  # fmt: skip


def inverted(image: Any = "to be set", *, prefix: str = "x") -> dict[str, Any]:
    """The picture of that name, or at that reference, with its colours turned over."""
    return {
        "1": node("LoadImage", image=image),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("SaveImage", images=["2", 0], filename_prefix=prefix),
    }


def words(text: str = "hello") -> dict[str, Any]:
    """One node that shows a text."""
    return {"1": node("PreviewAny", source=text)}
