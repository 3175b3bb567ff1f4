"""What a node of the simulator is: a schema in ComfyUI's own terms, and a function that really does the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

InputSpecs = Mapping[str, Sequence[Any]]


@dataclass(slots=True)
class Environment:
    """What nodes may use of the server: its folders, its model files (by the folders of /models) and its speed."""

    data_dir: Path
    models: dict[str, list[str]]
    step_seconds: float
    preview_method: str = "auto"

    def folder(self, kind: str) -> Path:
        """Directory of `output`, `input` or `temp` files; made when missing."""
        path = self.data_dir / kind
        path.mkdir(parents=True, exist_ok=True)
        return path


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture to send while a node runs: fitted into the preview size, or whole as SaveImageWebsocket's results."""

    image: Image.Image
    is_whole: bool = False


@dataclass(slots=True)
class Context:
    """What one run of one node may use. `progress` raises Interrupted when the prompt is to stop."""

    environment: Environment
    node_id: str
    prompt: dict[str, Any]  # the graph as validated, for metadata in files
    extra_pnginfo: dict[str, Any]
    progress: Callable[[float, float, Preview | None], None]  # value, max, preview
    check_interrupted: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Result:
    """`outputs` by slot; `ui` is what `executed` and the history carry, None when the node shows nothing."""

    outputs: tuple[Any, ...] = ()
    ui: dict[str, Any] | None = None


class Interrupted(Exception):
    """The prompt was interrupted."""


class Node:
    """Base class; one subclass per ComfyUI class, with the facts of its /object_info entry."""

    class_type: ClassVar[str] = ""
    display_name: ClassVar[str] = ""
    category: ClassVar[str] = ""
    description: ClassVar[str] = ""
    python_module: ClassVar[str] = "nodes"
    is_v3: ClassVar[bool] = False  # written against ComfyUI's newer node interface, which describes itself more fully
    is_output: ClassVar[bool] = False
    required: ClassVar[InputSpecs] = {}
    optional: ClassVar[InputSpecs] = {}
    hidden: ClassVar[Mapping[str, Any]] = {}
    returns: ClassVar[tuple[str, ...]] = ()
    return_names: ClassVar[tuple[str, ...]] = ()
    # Inputs that `validate` checks itself: the server then skips range and list checks for them (execution.py).
    self_validated: ClassVar[tuple[str, ...]] = ()
    is_never_cached: ClassVar[bool] = False

    @classmethod
    def input_specs(cls, environment: Environment) -> dict[str, InputSpecs]:
        """`required` and `optional` as they are now; subclasses fill in live lists (files, models)."""
        return {"required": cls.required, "optional": cls.optional}

    @classmethod
    def validate(cls, environment: Environment, inputs: Mapping[str, Any]) -> str | None:
        """None when the constant inputs are fine, else ComfyUI's sentence."""
        return None

    @classmethod
    def fingerprint(cls, environment: Environment, inputs: Mapping[str, Any]) -> Any:
        """Part of the cache signature beyond the inputs, such as a file's hash."""
        return None

    def run(self, context: Context, **inputs: Any) -> Result:
        """Do the work with resolved inputs (links replaced by values)."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Model:
    """What a loader hands on in place of weights: enough to make a difference to the picture."""

    name: str


@dataclass(frozen=True, slots=True)
class Latent:
    """Sizes in pixels. `pictures` is None for an empty latent; `mask` marks where to paint."""

    width: int
    height: int
    batch_size: int
    pictures: tuple[Image.Image, ...] | None = None
    mask: Image.Image | None = None


REGISTRY: dict[str, type[Node]] = {}


def register(node: type[Node]) -> type[Node]:
    """Make a class known under its `class_type`."""
    REGISTRY[node.class_type] = node
    return node
