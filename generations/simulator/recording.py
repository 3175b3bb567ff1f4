"""What a real server told of its node types (`GET /object_info`, saved with curl), in place of the simulator's own.

Prompts are checked against it as that server would check them. A class that the simulator has as well really runs; any
other fails when its turn comes, and says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from generations.simulator.dynamic import GROUPS
from generations.simulator.nodes import REGISTRY
from generations.simulator.nodes.base import Context, Environment, InputSpecs, Node, Result
from generations.simulator.nodes.described import DESCRIBED
from generations.simulator.nodes.images import input_path

MAX_BYTES = 200_000_000  # of servers with hundreds of custom nodes and thousands of models: about 20 MB
HOW = "Save one with: curl -o object_info.json http://HOST:8188/object_info"
UPLOADS = {"image_upload": "image", "video_upload": "video", "audio_upload": "audio", "file_upload": "model"}

Entry = Mapping[str, Any]


class RecordingError(ValueError):
    """A file that is not an answer to GET /object_info; `str()` is a sentence that says why."""


class CannotRunError(Exception):
    """A node that the simulator knows from a recording only."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A server's node types: class -> its entry of /object_info."""

    entries: Mapping[str, Entry]

    @classmethod
    def read(cls, path: Path) -> Recording:
        """From a file. RecordingError for one that cannot be read or is something else."""
        try:
            size = path.stat().st_size
            if size > MAX_BYTES:
                msg = f"{path} has {size // 1_000_000} MB; no more than {MAX_BYTES // 1_000_000} are read."
                raise RecordingError(msg)
            value = json.loads(path.read_bytes())
        except OSError as problem:
            msg = f"{path} cannot be read: {problem.strerror}."
            raise RecordingError(msg) from problem
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as problem:
            msg = f"{path} is not JSON ({problem}). {HOW}"
            raise RecordingError(msg) from problem
        if problem_with := _problem(value):
            msg = f"{path} is not an answer to GET /object_info: {problem_with}. {HOW}"
            raise RecordingError(msg)
        return cls(value)

    def registry(self, environment: Environment) -> dict[str, type[Node]]:
        """The classes by name, in the recording's order."""
        return {name: _node(name, entry, environment) for name, entry in self.entries.items()}


def _problem(value: object) -> str:
    if not isinstance(value, dict) or not value:
        return "it is not an object of node types"
    for name, entry in value.items():
        if not isinstance(entry, dict):
            return f"its entry {name} is not an object"
        if not isinstance(entry.get("input"), dict) or not isinstance(entry.get("output"), list):
            return f"its entry {name} does not say what the node takes and gives"
    return ""


class Recorded(Node):
    """A class as the recording describes it."""

    entry: ClassVar[Entry] = {}
    own: ClassVar[type[Node]] = Node  # the simulator's class of that name, when it fits

    @classmethod
    def input_specs(cls, environment: Environment) -> dict[str, InputSpecs]:
        known = {name: spec for group in cls.own.input_specs(environment).values() for name, spec in group.items()}
        return {
            group: {name: _live(spec, known.get(name, ("",)), environment) for name, spec in _specs(cls.entry, group)}
            for group in GROUPS
        }

    @classmethod
    def described(cls, environment: Environment) -> dict[str, Any]:
        """Its entry of /object_info, with the files that are there now."""
        live = cls.input_specs(environment) if cls.own is not Node else {}
        groups = cls.entry["input"]
        inputs = {group: {**specs, **live.get(group, {})} if specs else specs for group, specs in groups.items()}
        return {**cls.entry, "input": inputs if live else groups}


class Unknown(Recorded):
    """A class that only the recording knows: its files are checked as the server would, then it fails."""

    @classmethod
    def validate(cls, environment: Environment, inputs: Mapping[str, Any]) -> str | None:
        for name, spec in _specs(cls.entry, "required"):
            if name in inputs and (kind := _uploaded(spec)):
                text = str(inputs[name])
                if text not in _choices(spec) and input_path(environment, text) is None:
                    return f"Invalid {kind} file: {text}"
        return None

    def run(self, context: Context, **inputs: Any) -> Result:
        msg = f"The simulator cannot run {self.class_type} nodes; it only knows what a real server told about them."
        raise CannotRunError(msg)


def _node(class_type: str, entry: Entry, environment: Environment) -> type[Node]:
    own = REGISTRY.get(class_type) or DESCRIBED.get(class_type)
    facts: dict[str, Any] = {
        "class_type": class_type,
        "entry": entry,
        "is_output": entry.get("output_node") is True,
        "returns": tuple(entry["output"]),
    }
    if own is not None and _fits(own, entry, environment):
        return type(own.__name__, (Recorded, own), {**facts, "own": own})
    uploads = tuple(name for name, spec in _specs(entry, "required") if _uploaded(spec))
    return type("RecordedNode", (Unknown,), {**facts, "self_validated": uploads})


def _fits(own: type[Node], entry: Entry, environment: Environment) -> bool:
    """Whether our class can stand for theirs: it finds all of its inputs there, and makes the same outputs.

    Newer servers' output nodes also hand on what they show. Ours do not: only nodes that take it notice.
    """
    ours = {name for group in own.input_specs(environment).values() for name in group}
    theirs = {name for group in GROUPS for name, _ in _specs(entry, group)}
    makes_the_same = list(own.returns) == entry["output"] or (own.is_output and not own.returns)
    return ours <= theirs and makes_the_same


def _specs(entry: Entry, group: str) -> Iterator[tuple[str, list[Any]]]:
    """The inputs of `required` or `optional`, without what no server could check."""
    specs = entry["input"].get(group)
    for name, spec in specs.items() if isinstance(specs, dict) else ():
        if isinstance(spec, list) and spec:
            yield name, spec if len(spec) > 1 and isinstance(spec[1], dict) else spec[:1]


def _choices(spec: Sequence[Any]) -> Any:
    """The list that a combo of either form offers; None for anything else."""
    if isinstance(spec[0], list):
        return spec[0]
    return spec[1].get("options") if spec[0] == "COMBO" and len(spec) > 1 else None


def _uploaded(spec: Sequence[Any]) -> str:
    """Which kind of file a combo takes that users upload files for; "" for all others."""
    if _choices(spec) is None or len(spec) < 2:
        return ""
    return next((kind for flag, kind in UPLOADS.items() if spec[1].get(flag)), "")


def _live(spec: list[Any], ours: Sequence[Any], environment: Environment) -> list[Any]:
    """The input with the files that are there: what was uploaded here, the recorded models, and the simulator's own."""
    recorded, known = _choices(spec), _choices(ours)
    if recorded is None or known is None:
        return spec
    if _uploaded(spec):
        files = known
    elif any(known is models for models in environment.models.values()):
        files = list(dict.fromkeys([*recorded, *known]))
    else:
        return spec
    return [files, *spec[1:]] if isinstance(spec[0], list) else [spec[0], {**spec[1], "options": files}]
