"""The worker: runs one prompt at a time on its own thread (execution.py and main.py of ComfyUI)."""

from __future__ import annotations

import contextlib
import copy
import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from generations.simulator.announcer import Announcer, Cached, OutOfMemoryError, Run
from generations.simulator.dynamic import expanded
from generations.simulator.faults import Faults
from generations.simulator.nodes.base import Context, Environment, Interrupted, Node, Preview, Result
from generations.simulator.prompt_queue import Item, PromptQueue
from generations.simulator.recording import CannotRunError
from generations.simulator.signatures import is_link, signatures, sources

logger = logging.getLogger(__name__)

STOP_SECONDS = 5.0
POLL_SECONDS = 0.01
OOM_TEXT = "Allocation on device 0 would exceed allowed memory. (out of memory)"


class _NodeFailed(Exception):
    """A node raised, and clients know it."""


class _Abandoned(Exception):
    """The server was restarted or stopped while the prompt ran."""


class Worker:
    """Takes prompts from the queue until that is closed."""

    def __init__(
        self,
        *,
        registry: dict[str, type[Node]],
        environment: Environment,
        queue: PromptQueue,
        announcer: Announcer,
        faults: Faults,
        job_seconds: float = 0.0,
    ) -> None:
        self._job_seconds = job_seconds
        self._registry = registry
        self._environment = environment
        self._queue = queue
        self._announcer = announcer
        self._faults = faults
        self._cache: dict[str, Cached] = {}
        self._instances: dict[tuple[str, str], Node] = {}
        self._is_forgetful = threading.Event()
        self._interrupted = threading.Event()
        self._client_id: str | None = None
        self._active_node: str | None = None
        self._thread = threading.Thread(target=self._work, name="simulator worker", daemon=True)

    def start(self) -> None:
        """Take prompts from now on, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End, without finishing what runs."""
        self._queue.close()
        self._thread.join(STOP_SECONDS)

    def interrupt(self) -> None:
        """Stop the prompt that runs, if there is one."""
        self._interrupted.set()

    def forget(self) -> None:
        """Drop the cache before the next prompt, as /free with free_memory does."""
        self._is_forgetful.set()

    def active_node(self, sid: str) -> str | None:
        """The node that runs right now for that session."""
        return self._active_node if self._client_id == sid else None

    def _work(self) -> None:
        while (taken := self._queue.get()) is not None:
            item, epoch = taken
            try:
                self._run(item, epoch)
            except _Abandoned:
                self._active_node = None
            except Exception:
                logger.exception("This prompt ended the worker, as it ends ComfyUI's; only a restart helps")
                self._play_dead(epoch)

    def _block(self, run: Run) -> None:
        """A node in native code that never comes back."""
        self._wait_while(lambda: self._faults.stuck_node, run.epoch)

    def _play_dead(self, epoch: int) -> None:
        with contextlib.suppress(_Abandoned):
            self._wait_while(lambda: True, epoch)

    # ------------------------------------------------------------------------------------- one prompt
    def _run(self, item: Item, epoch: int) -> None:
        self._wait_while(lambda: self._faults.zombie, epoch)
        self._interrupted.clear()
        run = Run(item, item.extra_data.get("client_id"), epoch)
        self._client_id = run.sid
        self._announcer.life_cycle(run, "execution_start", prompt_id=item.prompt_id)
        self._take_cached(run)
        self._announcer.life_cycle(run, "execution_cached", nodes=list(run.results), prompt_id=item.prompt_id)
        is_completed = False
        slow_until = time.monotonic() + self._job_seconds
        try:
            self._run_nodes(run)
            self._linger(run, slow_until)
            self._announcer.life_cycle(run, "execution_success", prompt_id=item.prompt_id)
            is_completed = True
        except (Interrupted, _NodeFailed):
            pass
        self._cache = run.kept
        self._finish(run, is_completed=is_completed)

    def _linger(self, run: Run, until: float) -> None:
        """Pretend to work on the last node until then. It can be interrupted."""
        while time.monotonic() < until:
            try:
                self._check_interrupted(run)
            except Interrupted:
                self._announcer.interrupted(run, run.item.outputs[-1])
                raise
            time.sleep(POLL_SECONDS)

    def _take_cached(self, run: Run) -> None:
        """Keep of the previous prompt's results what this prompt has, too; everything else is dropped."""
        if self._is_forgetful.is_set():
            self._is_forgetful.clear()
            self._cache, self._instances = {}, {}
        prompt = run.item.prompt
        run.signatures = signatures(prompt, self._registry, self._environment)
        run.kept = {key: self._cache[key] for key in run.signatures.values() if key in self._cache}
        run.results = {node_id: run.kept[key] for node_id, key in run.signatures.items() if key in run.kept}
        needed = {(node_id, run.node_type(node_id)) for node_id in prompt}
        self._instances = {key: node for key, node in self._instances.items() if key in needed}

    def _finish(self, run: Run, *, is_completed: bool) -> None:
        self._active_node = None
        deadline = time.monotonic() + self._faults.history_delay
        self._wait_while(lambda: time.monotonic() < deadline, run.epoch)
        shown = {node_id: cached.ui for node_id, cached in run.results.items() if cached.ui is not None}
        entry = {
            "outputs": {node_id: ui["output"] for node_id, ui in shown.items()},
            "status": {
                "status_str": "success" if is_completed else "error",
                "completed": is_completed,
                "messages": run.messages,
            },
            "meta": {node_id: ui["meta"] for node_id, ui in shown.items()},
        }
        self._queue.done(run.item, entry, epoch=run.epoch)
        self._check_abandoned(run.epoch)
        self._announcer.ended(run)

    def _wait_while(self, condition: Callable[[], bool], epoch: int) -> None:
        while condition():
            self._check_abandoned(epoch)
            time.sleep(POLL_SECONDS)

    def _check_abandoned(self, epoch: int) -> None:
        if epoch != self._queue.epoch or self._queue.is_closed:
            raise _Abandoned

    def _check_interrupted(self, run: Run) -> None:
        self._check_abandoned(run.epoch)
        if self._interrupted.is_set() and not self._faults.ignore_interrupt:
            self._interrupted.clear()
            raise Interrupted

    # ------------------------------------------------------------------------------------- nodes
    def _run_nodes(self, run: Run) -> None:
        for node_id in run.item.outputs:
            if node_id in run.results:
                self._repeat(run, node_id)
        pending = self._needed(run)
        while pending:
            node_id = self._next(run, pending)
            if run.signatures[node_id] in run.kept:  # a node just like it was run a moment ago
                self._repeat(run, node_id)
            else:
                self._run_node(run, node_id)
            pending.remove(node_id)

    def _repeat(self, run: Run, node_id: str) -> None:
        """Announce a known result again, instead of running the node."""
        run.results[node_id] = run.kept[run.signatures[node_id]]
        self._announcer.executed(run, node_id, run.results[node_id].ui)
        self._announcer.node_finished(run, node_id)

    def _needed(self, run: Run) -> list[str]:
        """What is to run, in the order in which ComfyUI discovers it from the outputs backwards."""
        stack, found = list(reversed(run.item.outputs)), dict[str, None]()
        while stack:
            node_id = stack.pop()
            if node_id not in found and node_id not in run.results:
                found[node_id] = None
                stack += sources(run.item.prompt, node_id)
        return list(found)

    def _next(self, run: Run, pending: list[str]) -> str:
        """Of the nodes that are ready: an output, else one right before an output, else one two steps before one."""
        before = {node_id: set(sources(run.item.prompt, node_id)) for node_id in pending}
        ready = [node_id for node_id in pending if not before[node_id] & before.keys()]
        close = {node_id for node_id in pending if self._registry[run.node_type(node_id)].is_output}
        for _ in range(3):
            for node_id in ready:
                if node_id in close:
                    return node_id
            close = {source for node_id in close if node_id in before for source in before[node_id]}
        return ready[0]

    def _run_node(self, run: Run, node_id: str) -> None:
        self._check_abandoned(run.epoch)
        self._active_node = node_id
        self._announcer.node_started(run, node_id)
        inputs: dict[str, Any] = {}
        try:
            inputs = self._inputs(run, node_id)
            self._check_interrupted(run)
            self._break(run.node_type(node_id))
            self._block(run)
            result = self._instance(run, node_id).run(self._context(run, node_id), **inputs)
        except Interrupted:
            self._announcer.interrupted(run, node_id)
            raise
        except _Abandoned:
            raise
        except Exception as problem:
            self._check_abandoned(run.epoch)
            self._announcer.failed(run, node_id, {**inputs, **self._hidden_inputs(run, node_id)}, problem)
            raise _NodeFailed from problem
        self._check_abandoned(run.epoch)
        if self._registry[run.node_type(node_id)].is_output and self._faults.take("unfinished_batches"):
            result = self._requeue(run, node_id)
        ui = None
        if result.ui:
            meta = {"node_id": node_id, "display_node": node_id, "parent_node": None, "real_node_id": node_id}
            ui = {"output": result.ui, "meta": meta}
            self._announcer.executed(run, node_id, ui)
        run.results[node_id] = run.kept[run.signatures[node_id]] = Cached(result.outputs, ui)
        run.executed.append(node_id)
        self._announcer.node_finished(run, node_id)

    def _requeue(self, run: Run, node_id: str) -> Result:
        """As VideoHelperSuite does with a film that is made in batches (requeue_workflow)."""
        prompt = copy.deepcopy(run.item.prompt)
        inputs = prompt[node_id]["inputs"]
        inputs["requeue"] = inputs.get("requeue", 0) + 1  # so that the cache does not know it
        item = run.item
        number = self._queue.next_number(front=True)
        self._queue.put(Item(number, str(uuid.uuid4()), prompt, item.extra_data, item.outputs))
        return Result((), {"unfinished_batch": [True]})

    def _instance(self, run: Run, node_id: str) -> Node:
        """The same object from prompt to prompt, as long as each has this node."""
        class_type = run.node_type(node_id)
        return self._instances.setdefault((node_id, class_type), self._registry[class_type]())

    def _inputs(self, run: Run, node_id: str) -> dict[str, Any]:
        inputs = run.item.prompt[node_id]["inputs"]
        specs = expanded(self._registry[run.node_type(node_id)].input_specs(self._environment), inputs)
        return {
            name: self._output(run, *value) if is_link(value) else value
            for name, value in inputs.items()
            if name in specs["required"] or name in specs["optional"]
        }

    def _output(self, run: Run, node_id: str, slot: int) -> Any:
        outputs = run.results[node_id].outputs
        if slot >= len(outputs):
            class_type = run.node_type(node_id)
            msg = f"The simulator cannot run this node: it takes output {slot} of {class_type}, which does not make it."
            raise CannotRunError(msg)
        return outputs[slot]

    def _hidden_inputs(self, run: Run, node_id: str) -> dict[str, Any]:
        """What the server adds to the inputs of nodes of the old interface."""
        kinds = {"PROMPT": run.item.prompt, "EXTRA_PNGINFO": run.item.extra_data.get("extra_pnginfo")}
        node_class = self._registry[run.node_type(node_id)]
        return {} if node_class.is_v3 else {name: kinds[kind] for name, kind in node_class.hidden.items()}

    def _context(self, run: Run, node_id: str) -> Context:
        def progress(value: float, maximum: float, preview: Preview | None) -> None:
            self._check_interrupted(run)
            self._announcer.progress(run, node_id, value, maximum, preview)

        return Context(
            environment=self._environment,
            node_id=node_id,
            prompt=run.item.prompt,
            extra_pnginfo=run.item.extra_data.get("extra_pnginfo") or {},
            progress=progress,
            check_interrupted=lambda: self._check_interrupted(run),
        )

    def _break(self, class_type: str) -> None:
        if class_type in self._faults.node_error:
            raise RuntimeError(self._faults.node_error[class_type])
        if class_type in self._faults.oom:
            raise OutOfMemoryError(self._faults.oom[class_type] or OOM_TEXT)
