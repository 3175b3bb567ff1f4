"""What the editor sends of a 3D view that nobody has touched (src/extensions/core/load3d.ts of ComfyUI_frontend)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VIEWS = frozenset(
    {
        "Preview3DAdvanced", "Save3DAdvanced", "PreviewGaussianSplat", "PreviewPointCloud", "SaveGaussianSplat",
        "SavePointCloud",
    }
)  # fmt: skip
_ROTATION = {"x": -0.2798481423331213, "y": 0.3647051996310008, "z": 0.11591689595929511, "w": 0.8804762392171493}


def view(properties: Mapping[str, Any], width: object, height: object) -> dict[str, Any]:
    """The state of the node's view: the camera as it was saved, else at its place. Sizes in pixels."""
    config = properties.get("Camera Config")
    saved = config.get("state") if isinstance(config, dict) else None
    camera = saved if isinstance(saved, dict) else _camera(_aspect(width, height))
    return {"image": "", "mask": "", "normal": "", "camera_info": camera, "recording": "", "model_3d_info": []}


def _aspect(width: object, height: object) -> float:
    if isinstance(width, int | float) and isinstance(height, int | float) and height:
        return width / height
    return 1.0


def _camera(aspect: float) -> dict[str, Any]:
    return {
        "position": {"x": 10, "y": 10, "z": 10.000000000000002},
        "target": {"x": 0, "y": 0, "z": 0},
        "zoom": 1,
        "cameraType": "perspective",
        "quaternion": dict(_ROTATION),
        "fov": 35,
        "aspect": aspect,
        "near": 0.01,
        "far": 10000,
        "frustum": {"left": -5, "right": 5, "top": 5, "bottom": -5},
    }
