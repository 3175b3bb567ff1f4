"""The node classes that the simulator really executes. Names, inputs and bounds are ComfyUI's (/object_info)."""

from generations.simulator.nodes import images, media, sampling, saving, text
from generations.simulator.nodes.base import REGISTRY

__all__ = ["REGISTRY", "images", "media", "sampling", "saving", "text"]
