"""Pictures that nodes send over the socket and nowhere else, as SaveImageWebsocket does: they are results.

They are kept in memory until their prompt has ended, then in the storage. Whoever restarts or reconnects meanwhile has
not all of them: then the prompt is run once more.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from generations.comfy.graph import Graph, sending_nodes
from generations.comfy.listener import Disconnected, Event
from generations.comfy.messages import (
    Executing,
    ExecutionStart,
    ExecutionSuccess,
    PreviewImage,
    PreviewImageWithMetadata,
    ProgressState,
)
from generations.files import storage
from generations.lifecycle import copying
from generations.models import Generation
from generations.relay.submit import StorageUnavailableError

MAX_BYTES = 256 * 1024 * 1024  # of one prompt
_SUFFIXES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg", b"RIFF": "webp"}


def wanted_of(generation: Generation) -> list[str]:
    """The ids of the nodes that send pictures and whose results count."""
    return [node_id for node_id in sending_nodes(generation.version.graph) if copying.is_kept(generation, node_id)]


@dataclass(slots=True)
class _Prompt:
    """What was heard of it. `is_whole` while nothing can have been missed since its start."""

    nodes: frozenset[str]
    pictures: dict[str, list[bytes]] = field(default_factory=dict)  # of the nodes that started
    finished: set[str] = field(default_factory=set)
    is_whole: bool = False
    has_ended: bool = False
    size_bytes: int = 0


class Frames:
    """Keeps them by prompt. The thread that reads the socket calls `hear` with every event: no I/O in it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prompts: dict[str, _Prompt] = {}
        self._running: tuple[str, str] = ("", "")  # prompt, node
        self._unknown = ""  # the prompt that started last, while it is not followed

    def follow(self, prompt_id: str, graph: Graph) -> None:
        """To be called before the prompt is submitted, or, where its id comes from the server, once that is known."""
        with self._lock:
            prompt = self._prompts.setdefault(prompt_id, _Prompt(frozenset()))
            prompt.nodes = frozenset(sending_nodes(graph))
            if prompt_id == self._unknown:
                self._unknown = ""

    def forget(self, prompt_id: str) -> None:
        """Let go of its pictures."""
        with self._lock:
            self._prompts.pop(prompt_id, None)

    def hear(self, event: Event) -> bool:
        """True for a result. Everything else, previews too, concerns other listeners as well."""
        with self._lock:
            match event:
                case Disconnected():
                    self._miss()
                case ExecutionStart(prompt_id=prompt_id):
                    self._start(prompt_id)
                case Executing(prompt_id=str(prompt_id)):
                    self._enter(prompt_id, event.node)
                case ExecutionSuccess():
                    self._enter(event.prompt_id, None)
                case ProgressState(prompt_id=prompt_id) if prompt_id in self._prompts:
                    done = {each.display_node_id for each in event.nodes.values() if each.state == "finished"}
                    self._prompts[prompt_id].finished |= done & self._prompts[prompt_id].pictures.keys()
                case PreviewImage():
                    return self._add(*self._running, event.image)
                case PreviewImageWithMetadata():
                    return self._add(event.prompt_id, event.display_node_id, event.image)
        return False

    def _start(self, prompt_id: str) -> None:
        """Only ours are heard here: one that is not followed yet may be the rest of the batch of one that is."""
        if prompt_id not in self._prompts:
            self._prompts.pop(self._unknown, None)
            self._unknown = prompt_id
            self._prompts[prompt_id] = _Prompt(frozenset().union(*(each.nodes for each in self._prompts.values())))
        self._prompts[prompt_id].is_whole = True

    def _miss(self) -> None:
        """The connection broke: what a node sends while it is down is gone."""
        self._running = ("", "")
        for prompt in self._prompts.values():
            if not prompt.has_ended:
                prompt.is_whole = False
                prompt.pictures = {node: each for node, each in prompt.pictures.items() if node in prompt.finished}

    def _enter(self, prompt_id: str, node: str | None) -> None:
        before = self._prompts.get(self._running[0])
        if before is not None and self._running[1] in before.pictures:
            before.finished.add(self._running[1])
        self._running = (prompt_id, node or "")
        prompt = self._prompts.get(prompt_id)
        if prompt is None:
            return
        if node is None:
            prompt.has_ended = True
        elif node in prompt.nodes:
            prompt.pictures.setdefault(node, [])

    def _add(self, prompt_id: str, node_id: str, image: bytes) -> bool:
        prompt = self._prompts.get(prompt_id)
        if prompt is None or node_id not in prompt.nodes or not suffix_of(image):
            return False
        prompt.size_bytes += len(image)
        if node_id in prompt.pictures and prompt.size_bytes <= MAX_BYTES:
            prompt.pictures[node_id].append(image)
        return prompt_id != self._unknown

    def is_complete(self, prompt_id: str) -> bool:
        """True when its end was heard: nothing more comes."""
        with self._lock:
            prompt = self._prompts.get(prompt_id)
            return prompt is not None and prompt.has_ended

    def has_started(self, prompt_id: str) -> bool:
        """True when all of it was heard so far: whatever it still sends will be, too."""
        with self._lock:
            prompt = self._prompts.get(prompt_id)
            return prompt is not None and prompt.is_whole

    def size_bytes(self, prompt_id: str) -> int:
        """How much of it has come so far."""
        with self._lock:
            prompt = self._prompts.get(prompt_id)
            return prompt.size_bytes if prompt is not None else 0

    def is_too_much(self, prompt_id: str) -> bool:
        """True when it sent more than MAX_BYTES."""
        with self._lock:
            prompt = self._prompts.get(prompt_id)
            return prompt is not None and prompt.size_bytes > MAX_BYTES

    def of(self, prompt_id: str, wanted: Iterable[str]) -> dict[str, list[bytes]] | None:
        """The pictures of these nodes in their order; None when some may have been missed.

        A node that was not run, although everything was heard, has none.
        """
        with self._lock:
            prompt = self._prompts.get(prompt_id)
            if prompt is None or not ((prompt.is_whole and prompt.has_ended) or prompt.finished.issuperset(wanted)):
                return None
            return {node: list(prompt.pictures.get(node, ())) for node in wanted}


def suffix_of(image: bytes) -> str:
    """png, jpg or webp by the first bytes; "" for anything else."""
    return next((suffix for magic, suffix in _SUFFIXES.items() if image.startswith(magic)), "")


def keep(generation: Generation, outputs: dict[str, object], pictures: dict[str, list[bytes]]) -> dict[str, object]:
    """Put the pictures into the storage; returns `outputs` with them instead of whatever their nodes reported.

    StorageUnavailableError: try again later.
    """
    with_pictures = dict(outputs)
    number = _count(generation.earlier_outputs or {})
    for node_id, images in pictures.items():
        references: list[dict[str, Any]] = []
        for image in images:
            name = f"websocket_{number + 1:05}_.{suffix_of(image)}"
            try:
                storage.write_bytes(storage.frame_key(generation.pk, generation.attempt, number), image)
            except (OSError, BotoCoreError, ClientError, storage.DamagedCopyError) as error:
                msg = f"A picture of {generation.pk} cannot be stored: {error}"
                raise StorageUnavailableError(msg) from error
            references.append({"filename": name, "subfolder": str(number), "type": copying.OVER_SOCKET})
            number += 1
        if references:
            with_pictures[node_id] = {"images": references}
    return with_pictures


def _count(outputs: dict[str, Any]) -> int:
    """How many pictures earlier parts of a batch have in the storage."""
    lists = [result.get("images") for result in outputs.values() if isinstance(result, dict)]
    items = [item for each in lists if isinstance(each, list) for item in each if isinstance(item, dict)]
    return sum(item.get("type") == copying.OVER_SOCKET for item in items)
