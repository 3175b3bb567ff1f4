"""What the server tells about a prompt while it runs, and to whom (ComfyUI: execution.py, main.py, progress.py)."""

from __future__ import annotations

import io
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageOps

from generations.simulator.faults import Faults
from generations.simulator.nodes.base import Preview
from generations.simulator.profiles import Profile
from generations.simulator.prompt_queue import Item
from generations.simulator.sockets import BROADCAST, PREVIEW_IMAGE, Sockets

JPEG = 1
PNG = 2
JPEG_QUALITY = 95
BIG_FRAME_CHARACTERS = 5_000_000
FOREIGN_PROMPT = "00000000-0000-4000-8000-000000000000"
OOM_ADVICE = "The GPU has no memory left for this node. A smaller picture or a smaller batch_size may fit.\n"


class OutOfMemoryError(Exception):
    """Stands for the exception of that name in torch."""


@dataclass(frozen=True, slots=True)
class Cached:
    """A node's result, as it is kept for the next prompt. `ui` is `{output, meta}`, or None."""

    outputs: tuple[Any, ...]
    ui: dict[str, Any] | None


@dataclass(slots=True)
class Run:
    """One prompt while it runs. `sid` is the session that hears of it, None if the prompt named none."""

    item: Item
    sid: str | None
    epoch: int
    messages: list[list[Any]] = field(default_factory=list)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)  # of all nodes
    kept: dict[str, Cached] = field(default_factory=dict)  # results by signature, as far as there are any
    results: dict[str, Cached] = field(default_factory=dict)  # the same by node
    executed: list[str] = field(default_factory=list)

    def node_type(self, node_id: str) -> str:
        """The class of one of its nodes."""
        return str(self.item.prompt[node_id]["class_type"])


class Announcer:
    """Knows who hears what: life-cycle and node messages go to the session alone, progress to all if there is none."""

    def __init__(self, sockets: Sockets, faults: Faults, *, preview_size: int, profile: Profile) -> None:
        self._profile = profile
        self._progress_at = 0.0
        self._sockets = sockets
        self._faults = faults
        self._preview_size = preview_size

    def life_cycle(self, run: Run, kind: str, **data: Any) -> None:
        """A message that the history keeps, too."""
        data = {**data, "timestamp": int(time.time() * 1000)}
        run.messages.append([kind, data])
        if run.sid is not None or kind == "execution_interrupted":
            self._sockets.publish(kind, data, run.sid)

    def interrupted(self, run: Run, node_id: str) -> None:
        """The prompt was stopped at that node."""
        self.life_cycle(
            run,
            "execution_interrupted",
            prompt_id=run.item.prompt_id,
            node_id=node_id,
            node_type=run.node_type(node_id),
            executed=list(run.executed),
        )

    def failed(self, run: Run, node_id: str, inputs: dict[str, Any], problem: Exception) -> None:
        """A node raised."""
        is_oom = isinstance(problem, OutOfMemoryError)
        self.life_cycle(
            run,
            "execution_error",
            prompt_id=run.item.prompt_id,
            node_id=node_id,
            node_type=run.node_type(node_id),
            executed=list(run.executed),
            exception_message=f"{problem}\n{OOM_ADVICE if is_oom else ''}",
            exception_type="torch.OutOfMemoryError" if is_oom else _full_name(type(problem)),
            traceback=traceback.format_tb(problem.__traceback__),
            current_inputs={name: [_shown(value)] for name, value in inputs.items()},
            current_outputs=list(run.item.prompt),
        )

    def node_started(self, run: Run, node_id: str) -> None:
        """The node runs from now on: whoever hears progress learns its state, the prompt's client gets `executing`."""
        self._state(run, node_id, 0.0, 1.0, "running")
        if run.sid is not None:
            data = {"node": node_id, "display_node": node_id, "prompt_id": run.item.prompt_id}
            self._sockets.publish("executing", data, run.sid)
        self._make_noise(run)

    def node_finished(self, run: Run, node_id: str) -> None:
        """It ended well; a node from the cache ends without having begun."""
        maximum = run.states[node_id]["max"] if node_id in run.states else 1
        self._state(run, node_id, maximum, maximum, "finished")

    def executed(self, run: Run, node_id: str, ui: dict[str, Any] | None) -> None:
        """What a node shows, `{output, meta}`; None for a cached output node that shows nothing."""
        if run.sid is None:
            return
        output = ui["output"] if ui is not None and not self._faults.output_null else None
        if output is not None and self._faults.big_frame:
            output = {**output, "text": ["x" * BIG_FRAME_CHARACTERS]}
        data = {"node": node_id, "display_node": node_id, "output": output, "prompt_id": run.item.prompt_id}
        self._sockets.publish("executed", data, run.sid)

    def ended(self, run: Run) -> None:
        """The last message of a prompt."""
        if run.sid is not None:
            self._sockets.publish("executing", {"node": None, "prompt_id": run.item.prompt_id}, run.sid)

    def progress(self, run: Run, node_id: str, value: float, maximum: float, preview: Preview | None) -> None:
        """One step of a node, with the preview before it (type 4) or after it (type 1)."""
        self._state(run, node_id, value, maximum, "running")
        has_metadata = self._sockets.wants_metadata(run.sid)
        if preview is not None and has_metadata:
            self._preview(run, node_id, preview)
        shown = float("nan") if self._faults.nan_progress else value
        is_due = time.monotonic() - self._progress_at >= self._profile.progress_interval
        if is_due:
            self._progress_at = time.monotonic()
        data = {"value": shown, "max": maximum, "prompt_id": run.item.prompt_id, "node": node_id}
        if is_due:
            self._sockets.publish("progress", data, run.sid)
        if preview is not None and not has_metadata:
            self._preview(run, node_id, preview)

    def _state(self, run: Run, node_id: str, value: float, maximum: float, state: str) -> None:
        run.states[node_id] = {
            "value": value,
            "max": maximum,
            "state": state,
            "node_id": node_id,
            "prompt_id": run.item.prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }
        if self._profile.has_progress_state:
            nodes = {"prompt_id": run.item.prompt_id, "nodes": run.states}
            self._sockets.publish("progress_state", nodes, run.sid)

    def _preview(self, run: Run, node_id: str, preview: Preview) -> None:
        buffer = io.BytesIO()
        if preview.is_whole:
            preview.image.save(buffer, "PNG", compress_level=1)
        else:
            box = (self._preview_size, self._preview_size)
            fitted = ImageOps.contain(preview.image, box, Image.Resampling.BILINEAR)
            fitted.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY)
        metadata = {
            "node_id": node_id,
            "prompt_id": run.item.prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
            "image_type": "image/png" if preview.is_whole else "image/jpeg",
        }
        image_format = PNG if preview.is_whole else JPEG
        self._sockets.publish_preview(buffer.getvalue(), image_format=image_format, metadata=metadata, sid=run.sid)

    def _make_noise(self, run: Run) -> None:
        if self._faults.unknown_messages:
            self._sockets.publish("crystools.monitor", {"cpu": 1.5}, BROADCAST)
            self._sockets.publish_raw(b"\x00\x00\x00\x63\x01\x02", run.sid)
            self._sockets.publish_raw("{not json", run.sid)
        if self._faults.foreign_noise:
            foreign = {"value": 1, "max": 2, "prompt_id": FOREIGN_PROMPT, "node": "1"}
            self._sockets.publish("progress", foreign, BROADCAST)
            self._sockets.publish_raw(PREVIEW_IMAGE.to_bytes(4) + JPEG.to_bytes(4) + b"\xff\xd8noise", BROADCAST)


def _full_name(kind: type[Exception]) -> str:
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _shown(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else str(value)
