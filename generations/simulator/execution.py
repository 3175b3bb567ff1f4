"""The worker: runs one prompt at a time on its own thread, and says so as ComfyUI does (execution.py, main.py)."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from generations.simulator.faults import Faults
from generations.simulator.nodes.base import Context, Environment, Interrupted, Node, Result
from generations.simulator.prompt_queue import Item, PromptQueue
from generations.simulator.sockets import BROADCAST, PREVIEW_IMAGE, Sockets
from generations.simulator.validation import is_link

logger = logging.getLogger(__name__)

IDLE_SECONDS = 0.5
PREVIEW_BOX = (512, 512)
JPEG = 1
PNG = 2
OOM_TEXT = (
    "Allocation on device 0 would exceed allowed memory. (out of memory)\n"
    "This error means you ran out of memory on your GPU.\n\n"
    "TIPS: If the workflow worked before you might have accidentally set the batch_size to a large number.\n"
)


class OutOfMemoryError(Exception):
    """Stands for the graphics library's exception of that name."""


@dataclass(slots=True)
class Cached:
    """A node's result, kept for the next prompt."""

    result: Result
    node: Node


@dataclass(slots=True)
class Run:
    """One prompt while it runs."""

    item: Item
    sid: str | None
    epoch: int
    messages: list[list[Any]] = field(default_factory=list)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    results: dict[str, Cached] = field(default_factory=dict)
    executed: list[str] = field(default_factory=list)
    signatures: dict[str, str] = field(default_factory=dict)
    ui: dict[str, dict[str, Any]] = field(default_factory=dict)


class AbandonedError(Exception):
    """The server was restarted while the prompt ran."""


class Worker:
    """Takes prompts from the queue until it is stopped."""

    def __init__(
        self,
        *,
        registry: dict[str, type[Node]],
        environment: Environment,
        queue: PromptQueue,
        sockets: Sockets,
        faults: Faults,
    ) -> None:
        self._registry = registry
        self._environment = environment
        self._queue = queue
        self._sockets = sockets
        self._faults = faults
        self._cache: dict[str, Cached] = {}
        self._interrupted = threading.Event()
        self._stopping = threading.Event()
        self._current: Run | None = None
        self.active_node: str | None = None
        self.client_id: str | None = None
        self._thread = threading.Thread(target=self._work, name="simulator worker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()
        self._interrupted.set()
        self._thread.join(5)

    def interrupt(self) -> None:
        """Stop the prompt that runs; without one, nothing."""
        self._interrupted.set()

    def forget(self) -> None:
        """Drop the cache, as /free with free_memory does."""
        self._cache = {}

    def _work(self) -> None:
        while not self._stopping.is_set():
            if self._faults.zombie:
                time.sleep(0.05)
                continue
            item = self._queue.get(IDLE_SECONDS)
            if item is None:
                continue
            try:
                self._run(item)
            except AbandonedError:
                continue
            except Exception:
                logger.exception("The simulator could not finish prompt %s", item.prompt_id)

    # ------------------------------------------------------------------------------------- one prompt
    def _run(self, item: Item) -> None:
        run = Run(item, item.extra_data.get("client_id"), self._queue.epoch)
        self._interrupted.clear()
        self.client_id, self._current = run.sid, run
        self._life(run, "execution_start", {"prompt_id": item.prompt_id})
        cached = self._prepare(run)
        self._life(run, "execution_cached", {"nodes": cached, "prompt_id": item.prompt_id})
        is_completed = False
        try:
            self._run_nodes(run)
            self._life(run, "execution_success", {"prompt_id": item.prompt_id})
            is_completed = True
        except Interrupted:
            pass
        except _NodeFailedError:
            pass
        finally:
            self._cache = {run.signatures[node_id]: cached for node_id, cached in run.results.items()}
        self._finish(run, is_completed=is_completed)

    def _finish(self, run: Run, *, is_completed: bool) -> None:
        if self._faults.history_delay:
            self._sleep(run, self._faults.history_delay)
        entry = {
            "outputs": {node_id: ui["output"] for node_id, ui in run.ui.items() if ui["output"] is not None},
            "status": {
                "status_str": "success" if is_completed else "error",
                "completed": is_completed,
                "messages": run.messages,
            },
            "meta": {node_id: ui["meta"] for node_id, ui in run.ui.items() if ui["output"] is not None},
        }
        self._queue.done(run.item, entry, epoch=run.epoch)
        self.active_node = None
        self._current = None
        if run.epoch == self._queue.epoch and run.sid is not None:
            self._sockets.publish("executing", {"node": None, "prompt_id": run.item.prompt_id}, run.sid)

    def _sleep(self, run: Run, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._stopping.is_set():
            self._check_abandoned(run)
            time.sleep(min(0.02, max(0.0, deadline - time.monotonic())))

    def _check_abandoned(self, run: Run) -> None:
        if run.epoch != self._queue.epoch:
            raise AbandonedError

    def _life(self, run: Run, kind: str, data: dict[str, Any]) -> None:
        """A life-cycle message: to the client, and into the history. Nobody gets it without a client_id."""
        data = {**data, "timestamp": int(time.time() * 1000)}
        run.messages.append([kind, data])
        self._check_abandoned(run)
        if run.sid is not None:
            self._sockets.publish(kind, data, run.sid)
        elif kind == "execution_interrupted":
            self._sockets.publish(kind, data, BROADCAST)

    # ------------------------------------------------------------------------------------- cache
    def _prepare(self, run: Run) -> list[str]:
        """Signatures of all nodes; the ids of those whose result is still there, in the prompt's order."""
        prompt = run.item.prompt
        for node_id in prompt:
            run.signatures[node_id] = self._signature(prompt, node_id, run.signatures, ())
        cached = [node_id for node_id in prompt if run.signatures[node_id] in self._cache]
        for node_id in cached:
            run.results[node_id] = self._cache[run.signatures[node_id]]
        return cached

    def _signature(self, prompt: dict[str, Any], node_id: str, known: dict[str, str], path: tuple[str, ...]) -> str:
        if node_id in known:
            return known[node_id]
        if node_id in path or node_id not in prompt:
            return "?"
        node = prompt[node_id]
        node_class = self._registry[node["class_type"]]
        if node_class.is_never_cached:
            return f"{node_id}.{time.monotonic_ns()}"
        constants = {name: value for name, value in node["inputs"].items() if not is_link(value)}
        parts: list[Any] = [node["class_type"], node_class.fingerprint(self._environment, constants)]
        for name, value in sorted(node["inputs"].items()):
            if is_link(value):
                source = self._signature(prompt, str(value[0]), known, (*path, node_id))
                parts.append([name, source, value[1]])
            else:
                parts.append([name, value])
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    # ------------------------------------------------------------------------------------- nodes
    def _run_nodes(self, run: Run) -> None:
        prompt = run.item.prompt
        for node_id in run.item.outputs:
            if node_id in run.results:
                self._announce_cached(run, node_id)
        pending = self._needed(run)
        while pending:
            node_id = self._next(prompt, pending, run)
            self._run_node(run, node_id)
            pending.discard(node_id)

    def _announce_cached(self, run: Run, node_id: str) -> None:
        """Cached output nodes tell their old result again, without running."""
        ui = run.results[node_id].result.ui
        if ui is not None:
            self._executed(run, node_id, ui)
        run.states[node_id] = self._state(run, node_id, 1, 1, "finished")
        self._progress_state(run)

    def _needed(self, run: Run) -> set[str]:
        prompt, stack = run.item.prompt, [node_id for node_id in run.item.outputs if node_id not in run.results]
        found: set[str] = set()
        while stack:
            node_id = stack.pop()
            if node_id in found or node_id in run.results:
                continue
            found.add(node_id)
            stack += [str(value[0]) for value in prompt[node_id]["inputs"].values() if is_link(value)]
        return found

    def _next(self, prompt: dict[str, Any], pending: set[str], run: Run) -> str:
        """Among the nodes that are ready: an output, else one next to an output, else one two steps before one."""
        ready = [node_id for node_id in prompt if node_id in pending and not self._sources(prompt, node_id) & pending]
        if not ready:
            msg = "The workflow has a cycle"
            raise ValueError(msg)
        outputs = {node_id for node_id in pending if self._registry[prompt[node_id]["class_type"]].is_output}
        before = {source for node_id in outputs for source in self._sources(prompt, node_id)}
        two_before = {source for node_id in before for source in self._sources(prompt, node_id)}
        for group in (outputs, before, two_before):
            for node_id in ready:
                if node_id in group:
                    return node_id
        return ready[0]

    @staticmethod
    def _sources(prompt: dict[str, Any], node_id: str) -> set[str]:
        return {str(value[0]) for value in prompt[node_id]["inputs"].values() if is_link(value)}

    def _run_node(self, run: Run, node_id: str) -> None:
        prompt_id, node = run.item.prompt_id, run.item.prompt[node_id]
        self._check_interrupted(run, node_id)
        run.states[node_id] = self._state(run, node_id, 0.0, 1.0, "running")
        self._progress_state(run)
        self.active_node = node_id
        if run.sid is not None:
            data = {"node": node_id, "display_node": node_id, "prompt_id": prompt_id}
            self._sockets.publish("executing", data, run.sid)
        self._make_noise(run)
        inputs: dict[str, Any] = {}
        try:
            inputs = self._inputs(run, node)
            self._break(node["class_type"])
            instance = self._registry[node["class_type"]]()
            result = instance.run(self._context(run, node_id), **inputs)
        except Interrupted:
            self._on_interrupted(run, node_id)
            raise
        except AbandonedError:
            raise
        except Exception as exception:
            self._on_error(run, node_id, inputs, exception)
            raise _NodeFailedError from exception
        run.results[node_id] = Cached(result, instance)
        run.executed.append(node_id)
        if result.ui is not None:
            self._executed(run, node_id, result.ui)
        last = run.states[node_id]
        is_stepped = last["max"] != 1.0
        maximum = last["max"] if is_stepped else 1.0
        run.states[node_id] = self._state(run, node_id, maximum, maximum, "finished")
        self._progress_state(run)

    def _inputs(self, run: Run, node: dict[str, Any]) -> dict[str, Any]:
        specs = self._registry[node["class_type"]].input_specs(self._environment)
        known = {**specs["required"], **specs["optional"]}
        return {
            name: run.results[str(value[0])].result.outputs[value[1]] if is_link(value) else value
            for name, value in node["inputs"].items()
            if name in known
        }

    def _context(self, run: Run, node_id: str) -> Context:
        def progress(value: float, maximum: float, preview: Image.Image | None) -> None:
            self._check_interrupted(run, node_id, is_inside=True)
            self._progress(run, node_id, value, maximum, preview)

        return Context(
            environment=self._environment,
            node_id=node_id,
            prompt=run.item.prompt,
            extra_pnginfo=run.item.extra_data.get("extra_pnginfo") or {},
            progress=progress,
            check_interrupted=lambda: self._check_interrupted(run, node_id, is_inside=True),
        )

    def _check_interrupted(self, run: Run, node_id: str, *, is_inside: bool = False) -> None:
        self._check_abandoned(run)
        if self._interrupted.is_set() and not self._faults.ignore_interrupt:
            self._interrupted.clear()
            if not is_inside:
                self._on_interrupted(run, node_id)
            raise Interrupted

    # ------------------------------------------------------------------------------------- what is said
    def _state(self, run: Run, node_id: str, value: float, maximum: float, state: str) -> dict[str, Any]:
        return {
            "value": value,
            "max": maximum,
            "state": state,
            "node_id": node_id,
            "prompt_id": run.item.prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }

    def _progress_state(self, run: Run) -> None:
        self._check_abandoned(run)
        self._sockets.publish("progress_state", {"prompt_id": run.item.prompt_id, "nodes": dict(run.states)}, run.sid)

    def _progress(self, run: Run, node_id: str, value: float, maximum: float, preview: Image.Image | None) -> None:
        run.states[node_id] = self._state(run, node_id, value, maximum, "running")
        self._progress_state(run)
        shown = float("nan") if self._faults.nan_progress else value
        data = {"value": shown, "max": maximum, "prompt_id": run.item.prompt_id, "node": node_id}
        has_metadata = self._sockets.wants_metadata(run.sid)
        if preview is not None and has_metadata:
            self._preview(run, node_id, preview)
        self._sockets.publish("progress", data, run.sid)
        if preview is not None and not has_metadata:
            self._preview(run, node_id, preview)

    def _preview(self, run: Run, node_id: str, preview: Image.Image) -> None:
        buffer = io.BytesIO()
        is_full = preview.info.get("is_full", False)  # SaveImageWebsocket sends its result this way
        if is_full:
            preview.save(buffer, "PNG", compress_level=1)
        else:
            preview.convert("RGB").save(buffer, "JPEG", quality=90)
        metadata = {
            "node_id": node_id,
            "prompt_id": run.item.prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
            "image_type": "image/png" if is_full else "image/jpeg",
        }
        image_format = PNG if is_full else JPEG
        self._sockets.publish_preview(buffer.getvalue(), image_format=image_format, metadata=metadata, sid=run.sid)

    def _executed(self, run: Run, node_id: str, ui: dict[str, Any]) -> None:
        if self._faults.big_frame:
            ui = {**ui, "text": ["x" * 5_000_000]}
        output = None if self._faults.output_null else ui
        meta = {"node_id": node_id, "display_node": node_id, "parent_node": None, "real_node_id": node_id}
        run.ui[node_id] = {"output": ui, "meta": meta}
        if run.sid is not None:
            data = {"node": node_id, "display_node": node_id, "output": output, "prompt_id": run.item.prompt_id}
            self._sockets.publish("executed", data, run.sid)

    def _on_interrupted(self, run: Run, node_id: str) -> None:
        data = {
            "prompt_id": run.item.prompt_id,
            "node_id": node_id,
            "node_type": run.item.prompt[node_id]["class_type"],
            "executed": list(run.executed),
        }
        self._life(run, "execution_interrupted", data)

    def _on_error(self, run: Run, node_id: str, inputs: dict[str, Any], exception: Exception) -> None:
        is_oom = isinstance(exception, OutOfMemoryError)
        data = {
            "prompt_id": run.item.prompt_id,
            "node_id": node_id,
            "node_type": run.item.prompt[node_id]["class_type"],
            "executed": list(run.executed),
            "exception_message": f"{exception}\n",
            "exception_type": "torch.OutOfMemoryError" if is_oom else type(exception).__name__,
            "traceback": traceback.format_tb(exception.__traceback__),
            "current_inputs": {
                name: [value if isinstance(value, int | float | str) else repr(value)] for name, value in inputs.items()
            },
            "current_outputs": list(run.item.prompt),
        }
        self._life(run, "execution_error", data)

    # ------------------------------------------------------------------------------------- faults
    def _break(self, class_type: str) -> None:
        if class_type in self._faults.node_error:
            raise RuntimeError(self._faults.node_error[class_type])
        if self._faults.oom.get(class_type):
            raise OutOfMemoryError(OOM_TEXT)

    def _make_noise(self, run: Run) -> None:
        if self._faults.unknown_messages:
            self._sockets.publish("crystools.monitor", {"cpu": 1.5}, BROADCAST)
            self._sockets.publish_raw(b"\x00\x00\x00\x63\x01\x02", run.sid)
            self._sockets.publish_raw("{not json", run.sid)
        if self._faults.foreign_noise:
            foreign = {"value": 1, "max": 2, "prompt_id": "00000000-0000-4000-8000-000000000000", "node": "1"}
            self._sockets.publish("progress", foreign, BROADCAST)
            self._sockets.publish_raw(PREVIEW_IMAGE.to_bytes(4) + JPEG.to_bytes(4) + b"\xff\xd8noise", BROADCAST)


class _NodeFailedError(Exception):
    pass
