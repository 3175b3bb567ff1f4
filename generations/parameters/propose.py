"""Which inputs of a graph users most probably want to set.

Walks back from the nodes that produce results, so that what feeds nothing proposes nothing. Texts are told apart by
where they end: in the positive or the negative input of a sampler, over any number of conditioning nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from generations.comfy.graph import Graph, is_link, needed_nodes, output_nodes, own_title, with_own_options
from generations.comfy.object_info import InputSpec, ObjectInfo, input_spec, node_spec
from generations.parameters.detect import suggest_parameter
from generations.parameters.roles import assign_roles
from generations.parameters.schema import Binding, Parameter

MAX_PARAMETERS = 40
MAX_CHAIN = 150  # nodes to follow for one text: far more than anybody connects, and no burden for the stack
_SAVING = re.compile(r"^(Save|Preview)")
_TEXTS = frozenset(
    {"text", "prompt", "text_g", "text_l", "clip_l", "clip_g", "t5xxl", "llama", "bert", "mt5xl", "text_positive"}
)
_POSITIVE = ("conditioning", "cond1")  # what guiders call it
# Never set together.
_OWN = frozenset({"image", "images", "audio", "video", "file", "directory", "folder", "lora_name", "strength_model"})
_NO_PROMPT = frozenset({"ConditioningZeroOut"})
_SIZED = re.compile(r"^Empty.*(Latent|Image|Video)|ToVideo$|^ImageScale$|^EmptyImage$")
_MODELS = ("ckpt_name", "unet_name", "lora_name", "vae_name", "control_net_name", "model_name", "style_model_name")
_SAMPLING = ("steps", "cfg", "guidance", "sampler_name", "scheduler", "denoise", "strength_model")
_AMOUNTS = ("batch_size", "amount", "length", "fps")
_MASK_LOADER = "LoadImageMask"
_NO_NOISE = ("disable", False)


@dataclass(frozen=True, slots=True)
class _Place:
    node_id: str
    input_name: str


def propose(graph: Graph, object_info: ObjectInfo | None = None) -> list[Parameter]:
    """Parameters that are ready for use, in the order of a form: names are unique, no input is set twice.

    At most MAX_PARAMETERS. Without `object_info`, or for classes it lacks, names and values alone decide.
    """
    proposed = list(_Proposer(graph, object_info).run())[:MAX_PARAMETERS]
    picture = next((each.name for each in proposed if each.type == "image"), "")
    drawn = [each.model_copy(update={"drawn_on": picture}) if each.type == "mask" else each for each in proposed]
    return assign_roles(drawn, graph)


class _Proposer:
    def __init__(self, graph: Graph, object_info: ObjectInfo | None) -> None:
        self.graph = graph
        self.object_info = object_info
        self.inputs: dict[tuple[str, str], InputSpec | None] = {}
        self.specs = {node["class_type"]: node_spec(object_info, node["class_type"]) for node in graph.values()}
        outputs = output_nodes(graph, object_info or {}) or [
            node_id for node_id, node in graph.items() if _SAVING.match(node["class_type"])
        ]
        needed = needed_nodes(graph, outputs) if outputs else frozenset(graph)
        self.needed = [node_id for node_id in graph if node_id in needed]
        self.used: set[_Place] = set()
        self.taken: set[str] = set()
        self.feeds: dict[_Place, tuple[str, str]] = {}  # constants of primitive nodes -> what they are for

    def run(self) -> Iterator[Parameter]:
        positive, negative = self._prompts("positive"), self._prompts("negative")
        yield from self._texts(positive, "positive")
        yield from self._texts([place for place in negative if place not in set(positive)], "negative")
        yield from self._texts(list(self._other_texts()), None)
        yield from self._together(self._media())
        yield from self._sizes()
        yield from self._together(self._named(_AMOUNTS))
        yield from self._together(self._seeds())
        yield from self._together(self._named(_MODELS), is_advanced=True)
        for name in _SAMPLING:
            yield from self._together(self._named((name,)), is_advanced=True)

    # ---------------------------------------------------------------------------------------------- prompts
    def _prompts(self, role: str) -> list[_Place]:
        """Where the texts are that end in this input of a sampler or guider."""
        found: dict[_Place, None] = {}
        for node_id in self.needed:
            inputs = self.graph[node_id]["inputs"]
            names = (role, *_POSITIVE) if role == "positive" and self._is_guider(node_id) else (role,)
            for name in names:
                if is_link(inputs.get(name)):
                    found |= dict.fromkeys(self._walk(inputs[name], role, set()))
        return list(found)

    def _is_guider(self, node_id: str) -> bool:
        return "Guider" in self.graph[node_id]["class_type"]

    def _walk(self, link: list[object], role: str, seen: set[tuple[str, object]]) -> Iterator[_Place]:
        node_id, slot = str(link[0]), link[1]
        node = self.graph.get(node_id)
        is_end = node is None or (node_id, slot) in seen or len(seen) > MAX_CHAIN
        if node is None or is_end or (role == "negative" and node["class_type"] in _NO_PROMPT):
            return
        seen.add((node_id, slot))
        inputs = node["inputs"]
        texts = list(self._texts_of(node_id))
        yield from texts
        if is_link(inputs.get("positive")) and is_link(inputs.get("negative")):
            # Both pass through: the first output goes on from the first, the second from the second.
            yield from self._walk(inputs["negative" if slot == 1 else "positive"], role, seen)
            return
        for name, value in inputs.items():
            if is_link(value) and self._is_conditioning(node_id, name, has_texts=bool(texts)):
                yield from self._walk(value, role, seen)

    def _is_conditioning(self, node_id: str, name: str, *, has_texts: bool) -> bool:
        spec = self._spec(node_id, name)
        if spec is not None:
            return spec.type == "CONDITIONING"
        return not has_texts and name.startswith(("conditioning", "positive", "negative"))

    def _texts_of(self, node_id: str) -> Iterator[_Place]:
        for name, value in self.graph[node_id]["inputs"].items():
            if not self._is_text(node_id, name, value):
                continue
            if is_link(value):
                yield from self._strings(str(value[0]), set())
            else:
                yield _Place(node_id, name)

    def _is_text(self, node_id: str, name: str, value: object) -> bool:
        spec = self._spec(node_id, name)
        if spec is not None and spec.type == "STRING":
            return spec.multiline or name in _TEXTS or is_link(value)
        return spec is None and name in _TEXTS and (isinstance(value, str) or is_link(value))

    def _strings(self, node_id: str, seen: set[str]) -> Iterator[_Place]:
        """The texts that a node makes its own out of: constants of string nodes, over any number of them."""
        if node_id in seen or node_id not in self.graph or len(seen) > MAX_CHAIN:
            return
        seen.add(node_id)
        for name, value in self.graph[node_id]["inputs"].items():
            spec = self._spec(node_id, name)
            if is_link(value) and (spec is None or spec.type in {"STRING", "*"}):
                yield from self._strings(str(value[0]), seen)
            elif isinstance(value, str) and value and (spec is None or spec.type == "STRING") and name != "delimiter":
                yield _Place(node_id, name)

    def _other_texts(self) -> Iterator[_Place]:
        for node_id in self.needed:
            for name, value in self.graph[node_id]["inputs"].items():
                spec = self._spec(node_id, name)
                is_primitive = self.graph[node_id]["class_type"].startswith("PrimitiveString")
                if isinstance(value, str) and (is_primitive or (spec and spec.type == "STRING" and spec.multiline)):
                    yield _Place(node_id, name)

    def _texts(self, places: list[_Place], role: str | None) -> Iterator[Parameter]:
        """One parameter for each node's text; encoders that take the same text twice get it together."""
        groups: dict[tuple[str, object], list[_Place]] = {}
        for place in places:
            groups.setdefault((place.node_id, self._value(place)), []).append(place)
        for group in groups.values():
            yield from self._parameter(group, role=role)

    # ------------------------------------------------------------------------------------------------ others
    def _media(self) -> Iterator[_Place]:
        for node_id in self.needed:
            node = self.graph[node_id]
            for name, value in node["inputs"].items():
                spec = self._spec(node_id, name)
                if isinstance(value, str) and spec is not None and spec.upload not in {"", "file"}:
                    yield _Place(node_id, name)

    def _sizes(self) -> Iterator[Parameter]:
        """Width and height, one pair for all nodes that agree on both."""
        pairs: dict[tuple[object, object], list[tuple[_Place, _Place]]] = {}
        for node_id in self.needed:
            if not _SIZED.search(self.graph[node_id]["class_type"]):
                continue
            width, height = (self._constant(node_id, name) for name in ("width", "height"))
            if width and height and self._value(width) and self._value(height):
                pairs.setdefault((self._value(width), self._value(height)), []).append((width, height))
        for group in pairs.values():
            for side in zip(*group, strict=True):
                yield from self._parameter(list(dict.fromkeys(side)))

    def _seeds(self) -> Iterator[_Place]:
        for node_id in self.needed:
            inputs = self.graph[node_id]["inputs"]
            if inputs.get("add_noise") in _NO_NOISE and "add_noise" in inputs:
                continue
            for name in inputs:
                spec = self._spec(node_id, name)
                if (spec.is_seed if spec else name in {"seed", "noise_seed"}) and (
                    place := self._constant(node_id, name)
                ):
                    yield place

    def _named(self, names: Iterable[str]) -> Iterator[_Place]:
        for name in names:
            for node_id in self.needed:
                if name in self.graph[node_id]["inputs"] and (place := self._constant(node_id, name)):
                    yield place

    def _together(self, places: Iterable[_Place], *, is_advanced: bool | None = None) -> Iterator[Parameter]:
        """One parameter for inputs of the same name and value, as two samplers in a row have them."""
        groups: dict[tuple[object, ...], list[_Place]] = {}
        for place in dict.fromkeys(places):
            spec = self._spec(place.node_id, place.input_name)
            name = "seed" if spec and spec.is_seed else place.input_name
            own = place.node_id if name in _OWN else ""
            groups.setdefault((name, repr(self._value(place)), own), []).append(place)
        for group in groups.values():
            yield from self._parameter(group, is_advanced=is_advanced)

    # ------------------------------------------------------------------------------------------------- tools
    def _spec(self, node_id: str, name: str) -> InputSpec | None:
        key = self.graph[node_id]["class_type"], name
        if key not in self.inputs:
            self.inputs[key] = input_spec(self.object_info, *key)
        return with_own_options(self.graph, node_id, self.inputs[key])

    def _value(self, place: _Place) -> object:
        return self.graph[place.node_id]["inputs"][place.input_name]

    def _constant(self, node_id: str, name: str) -> _Place | None:
        """Where the constant of an input is: there, or in a primitive node that feeds it."""
        value = self.graph[node_id]["inputs"].get(name)
        if isinstance(value, str | int | float):
            return _Place(node_id, name)
        if isinstance(value, list) and is_link(value):
            source = self.graph.get(value[0])
            if source and source["class_type"].startswith("Primitive"):
                found = [each for each, one in source["inputs"].items() if isinstance(one, str | int | float)]
                place = _Place(value[0], found[0]) if len(found) == 1 else None
                if place:
                    self.feeds.setdefault(place, (node_id, name))
                return place
        return None

    def _parameter(
        self, places: list[_Place], *, role: str | None = None, is_advanced: bool | None = None
    ) -> Iterator[Parameter]:
        places = [place for place in places if place not in self.used]
        if not places or not isinstance(self._value(places[0]), str | int | float):
            return
        first = places[0]
        node_id, input_name = self.feeds.get(first, (first.node_id, first.input_name))
        parameter = suggest_parameter(
            node_id,
            input_name,
            self._value(first),
            self._spec(node_id, input_name),
            title=own_title(self.graph, node_id, self.specs[self.graph[node_id]["class_type"]]),
            role=role,
            taken=self.taken,
        )
        bindings = tuple(Binding(node_id=place.node_id, input_name=place.input_name) for place in places)
        changes: dict[str, object] = {"bindings": bindings}
        if parameter.type == "image" and self.graph[first.node_id]["class_type"] == _MASK_LOADER:
            number = next(number for number in range(1, 99) if _numbered("mask", number) not in self.taken)
            name = _numbered("mask", number)
            changes |= {"type": "mask", "name": name, "label": name.replace("_", " ").capitalize()}
        if is_advanced is not None:
            changes["is_advanced"] = is_advanced
        parameter = parameter.model_copy(update=changes)
        self.taken.add(parameter.name)
        self.used.update(places)
        yield self._within_all(parameter, places)

    def _within_all(self, parameter: Parameter, places: list[_Place]) -> Parameter:
        """With the narrowest bounds of all inputs that it sets."""
        if parameter.type not in {"integer", "number", "seed"}:
            return parameter
        named = [(place.node_id, place.input_name) for place in places]
        fed = [self.feeds[place] for place in places if place in self.feeds]
        specs = [spec for node_id, name in [*named, *fed] if (spec := self._spec(node_id, name))]
        lows = [spec.min for spec in specs if spec.min is not None]
        highs = [spec.max for spec in specs if spec.max is not None]
        bounds = {"minimum": max(lows, default=None), "maximum": min(highs, default=None)}
        return parameter.model_copy(update=bounds) if specs else parameter


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}_{number}"
