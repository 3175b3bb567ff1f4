"""Which inputs of a graph users most probably want to set.

Only those of nodes that results need. What authors of workflows choose for their users in the editor's app mode says
what belongs in sight: pictures, the prompt, the measures of the result. What they leave alone is folded: seeds,
negative prompts, counts, all of models and sampling, and the texts of a recipe, which several nodes of a kind have.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

from generations.comfy.editor_notes import seed_mode_of
from generations.comfy.graph import (
    ClassInput,
    Graph,
    InputKey,
    is_link,
    needed_nodes,
    numbered_choices,
    output_nodes,
    with_own_options,
)
from generations.comfy.object_info import InputSpec, ObjectInfo, input_spec, node_spec
from generations.comfy.titles import author_title
from generations.parameters.detect import suggest_parameter
from generations.parameters.primitives import titled_values
from generations.parameters.roles import assign_roles
from generations.parameters.schema import Binding, Parameter
from generations.parameters.sensible import sensible
from generations.parameters.tell_apart import told_apart
from generations.parameters.texts import PROMPTS, Side, Texts

MAX_PARAMETERS = 40
MAX_OF_A_KIND = 100  # that are made, of whatever number of nodes: more than can be kept, though some become folded
_SAVING = re.compile(r"^(Save|Preview)")
# Never set together.
_OWN = frozenset({"image", "images", "audio", "video", "file", "directory", "folder", "lora_name", "strength_model"})
_SIZED = re.compile(r"^Empty.*(Latent|Image|Video)|ToVideo$|^ImageScale$|^EmptyImage$")
_MODELS = ("ckpt_name", "unet_name", "lora_name", "vae_name", "control_net_name", "model_name", "style_model_name")
_SAMPLING = ("steps", "cfg", "guidance", "sampler_name", "scheduler", "denoise", "strength_model")
_COUNTS = ("batch_size", "amount", "n", "number_of_images", "num_images")
_MEASURES = frozenset({"aspect_ratio", "ratio", "size", "resolution", "duration"})
_COSTS = frozenset({"quality"})  # of services, which are paid by it
_OF_SERVICES = frozenset({"model", "background"})
_LENGTHS = ("length", "num_frames", "frames")
_MASK_LOADER = "LoadImageMask"
_NO_NOISE = ("disable", False)
_SYSTEM = re.compile(r"(?<![a-z])system(?![a-z])", re.IGNORECASE)
_CODE = re.compile(r"expression|regex|pattern|shader|code$", re.IGNORECASE)
_CRAFT = re.compile(r"json|^find$|^replace$", re.IGNORECASE)
_VALUES = ("STRING", "BOOLEAN", "INT", "FLOAT")
_RECIPE = 3  # nodes of a kind with texts of their own


def propose(graph: Graph, object_info: ObjectInfo | None = None) -> list[Parameter]:
    """Parameters that are ready for use, in the order of a form: names are unique, no input is set twice.

    At most MAX_PARAMETERS, of which those in sight go first. Without `object_info`, or for classes it lacks, names and
    values alone decide.
    """
    proposer = _Proposer(graph, object_info)
    found = told_apart(_without_recipe(list(proposer.run()), graph, object_info), graph, proposer.title)
    kept = sorted(range(len(found)), key=lambda at: found[at].is_advanced)[:MAX_PARAMETERS]
    proposed = [found[at] for at in sorted(kept)]
    picture = next((each.name for each in proposed if each.type == "image"), "")
    drawn = [each.model_copy(update={"drawn_on": picture}) if each.type == "mask" else each for each in proposed]
    return [sensible(each) for each in assign_roles(drawn, graph)]


def _without_recipe(parameters: Sequence[Parameter], graph: Graph, object_info: ObjectInfo | None) -> list[Parameter]:
    """Folds what several nodes of a kind say of the users' files, unless it has a title of its own."""

    def kind(parameter: Parameter) -> str:
        node_id = parameter.bindings[0].node_id
        class_type = graph[node_id]["class_type"]
        is_part = parameter.type == "text" and not author_title(graph, node_id, node_spec(object_info, class_type))
        return class_type if is_part and not parameter.is_advanced else ""

    if not any(each.is_media for each in parameters):
        return list(parameters)
    kinds = Counter(map(kind, parameters))
    return [
        each.model_copy(update={"is_advanced": True}) if kind(each) and kinds[kind(each)] >= _RECIPE else each
        for each in parameters
    ]


class _Proposer:
    def __init__(self, graph: Graph, object_info: ObjectInfo | None) -> None:
        self.graph = graph
        self.object_info = object_info
        self.inputs: dict[ClassInput, InputSpec | None] = {}
        self.specs = {node["class_type"]: node_spec(object_info, node["class_type"]) for node in graph.values()}
        outputs = output_nodes(graph, object_info or {}) or [
            node_id for node_id, node in graph.items() if _SAVING.match(node["class_type"])
        ]
        needed = needed_nodes(graph, outputs) if outputs else frozenset(graph)
        self.needed = [node_id for node_id in graph if node_id in needed]
        self.texts = Texts(graph, self.needed, self._spec)
        self.used: set[InputKey] = set()
        self.taken: set[str] = set()
        self.feeds: dict[InputKey, InputKey] = {}  # constants of primitive nodes -> what they are for
        self.made = 0

    def run(self) -> Iterator[Parameter]:
        """As far as they may be kept: what is folded is not looked for behind enough of others."""
        for in_sight in self._in_sight():
            yield from islice(in_sight, MAX_OF_A_KIND)
        for folded in self._folded():
            if self.made >= MAX_PARAMETERS:
                return
            yield from islice(folded, MAX_PARAMETERS)

    def _in_sight(self) -> Iterator[Iterator[Parameter]]:
        yield from self._texts()
        yield self._together(self._media())
        yield self._together(self._options())
        yield self._sizes()
        yield self._together(self._measures())
        yield self._together(self._named(("fps", "volume")))
        yield self._titled(is_technical=False)
        yield self._together(self._of_services(_COSTS))

    def _folded(self) -> Iterator[Iterator[Parameter]]:
        yield self._together(self._counts(), is_advanced=True)
        yield self._together(self._seeds(), is_advanced=True)
        yield self._together(self._named(_MODELS), is_advanced=True)
        for name in _SAMPLING:
            yield self._together(self._named((name,)), is_advanced=True)
        yield self._titled(is_technical=True)
        yield self._together(self._of_services(_OF_SERVICES), is_advanced=True)

    # ------------------------------------------------------------------------------------------------ texts
    def _texts(self) -> Iterator[Iterator[Parameter]]:
        positive, negative = self.texts.prompts("positive"), self.texts.prompts("negative")
        both = set(positive)
        yield self._grouped(positive, "positive")
        yield self._grouped([key for key in negative if key not in both], "negative")
        others = [key for key in self.texts.others() if not _CODE.search(key[1])]
        yield self._grouped([key for key in others if "negative" not in key[1]], None)
        yield self._grouped([key for key in others if "negative" in key[1]], "negative")

    def _grouped(self, keys: list[InputKey], side: Side | None) -> Iterator[Parameter]:
        """One parameter for each node's text; encoders that take the same text twice get it together."""
        groups: dict[tuple[str, object], list[InputKey]] = {}
        for key in keys:
            groups.setdefault((key[0], self._value(key)), []).append(key)
        for group in groups.values():
            is_folded = side == "negative" or self._is_technical(*group[0])
            yield from self._parameter(group, side=side, is_advanced=True if is_folded else None)

    def _is_technical(self, node_id: str, name: str) -> bool:
        """True for what tells a model how to work, and for what a node does to a text from elsewhere."""
        inputs = self.graph[node_id]["inputs"].items()
        texts = [spec for each, value in inputs if is_link(value) and (spec := self._spec(node_id, each))]
        is_added = name not in PROMPTS and self._makes_values(node_id) and any(each.type == "STRING" for each in texts)
        return is_added or bool(_SYSTEM.search(f"{name} {self.title(node_id)}") or _CRAFT.search(name))

    def _makes_values(self, node_id: str) -> bool:
        info = (self.object_info or {}).get(self.graph[node_id]["class_type"])
        outputs = info.get("output") if isinstance(info, dict) else None
        return isinstance(outputs, list) and all(each in _VALUES for each in outputs)

    # ------------------------------------------------------------------------------------------------ others
    def _media(self) -> Iterator[InputKey]:
        for node_id in self.needed:
            node = self.graph[node_id]
            for name, value in node["inputs"].items():
                spec = self._spec(node_id, name)
                if isinstance(value, str) and spec is not None and spec.upload not in {"", "file"}:
                    yield node_id, name

    def _options(self) -> Iterator[InputKey]:
        """Lists that the author wrote."""
        numbered = numbered_choices(self.graph)
        for node_id in self.needed:
            if self.graph[node_id]["class_type"] == "CustomCombo" and node_id not in numbered:
                yield from filter(None, [self._constant(node_id, "choice")])

    def _sizes(self) -> Iterator[Parameter]:
        """Width and height, one pair for all nodes that agree on both; or the settings of the node that they come from.

        The length of a film is one of its measures, too.
        """
        pairs: dict[tuple[object, object], list[tuple[InputKey, InputKey]]] = {}
        sources: list[InputKey] = []
        lengths: list[InputKey] = []
        for node_id in self.needed:
            sources += self._sources(node_id)
            if not _SIZED.search(self.graph[node_id]["class_type"]):
                continue
            width, height, length = (self._constant(node_id, name) for name in ("width", "height", "length"))
            if width and height and self._value(width) and self._value(height):
                pairs.setdefault((self._value(width), self._value(height)), []).append((width, height))
            lengths += [length] if length else []
        for group in pairs.values():
            for side in zip(*group, strict=True):
                yield from self._parameter(list(dict.fromkeys(side)))
        yield from self._together(sources)
        yield from self._together(lengths)

    def _sources(self, node_id: str) -> Iterator[InputKey]:
        """Choices and numbers of the node that both width and height come from."""
        width, height = (self.graph[node_id]["inputs"].get(name) for name in ("width", "height"))
        if not (isinstance(width, list) and isinstance(height, list) and width[:1] == height[:1] and is_link(width)):
            return
        source = str(width[0])
        for name in self.graph[source]["inputs"] if source in self.graph else ():
            spec = self._spec(source, name)
            if spec and spec.type in {"COMBO", "FLOAT"} and not spec.is_advanced and self._constant(source, name):
                yield source, name

    def _measures(self) -> Iterator[InputKey]:
        """What the result measures, as nodes put it that call services: choices, and whole seconds."""
        for node_id in self.needed:
            for name, value in self.graph[node_id]["inputs"].items():
                end, spec = name.rsplit(".", 1)[-1], self._spec(node_id, name)
                is_choice = spec.type == "COMBO" if spec else isinstance(value, str)
                is_whole = end == "duration" and (spec.type == "INT" if spec else isinstance(value, int))
                if end in _MEASURES and (is_choice or is_whole) and (key := self._constant(node_id, name)):
                    yield key

    def _of_services(self, names: Collection[str]) -> Iterator[InputKey]:
        """Choices of nodes that call services; not those that decide which other inputs the node has."""
        for node_id in self.needed:
            node = self.graph[node_id]
            described = self.specs[node["class_type"]]
            for name in node["inputs"] if described and described.is_paid else ():
                spec = self._spec(node_id, name)
                if name.rsplit(".", 1)[-1] in names and spec and spec.choices and not spec.sub_inputs:
                    yield from filter(None, [self._constant(node_id, name)])

    def _counts(self) -> Iterator[InputKey]:
        """How many pictures are made at once. A film is one result, however many its node can make."""
        for node_id, name in self._named(_COUNTS):
            user, used = self.feeds.get((node_id, name), (node_id, name))
            if used != "batch_size" or not any(each in self.graph[user]["inputs"] for each in _LENGTHS):
                yield node_id, name

    def _titled(self, *, is_technical: bool) -> Iterator[Parameter]:
        """What the author named, whatever it passes on its way, such as formulas and switches."""
        for value in titled_values(self.graph, self.needed, self.title):
            if value.is_technical is is_technical:
                # What is in use as the workflow stands has the plain name, by which its role is found.
                title = value.shown if value.is_idle else value.title
                for each in self._parameter([(value.node_id, value.input_name)], title=title):
                    label = value.shown[:200] if each.label == value.title else each.label
                    changes = {"label": label, "is_advanced": is_technical or each.is_advanced}
                    yield each.model_copy(update=changes)

    def _seeds(self) -> Iterator[InputKey]:
        for node_id in self.needed:
            inputs = self.graph[node_id]["inputs"]
            if inputs.get("add_noise") in _NO_NOISE and "add_noise" in inputs:
                continue
            for name in inputs:
                spec = self._spec(node_id, name)
                if (spec.is_seed if spec else name in {"seed", "noise_seed"}) and (
                    key := self._constant(node_id, name)
                ):
                    yield key

    def _named(self, names: Iterable[str]) -> Iterator[InputKey]:
        for name in names:
            for node_id in self.needed:
                if name in self.graph[node_id]["inputs"] and (key := self._constant(node_id, name)):
                    yield key

    def _together(self, keys: Iterable[InputKey], *, is_advanced: bool | None = None) -> Iterator[Parameter]:
        """One parameter for inputs of the same name and value, as two samplers in a row have them."""
        groups: dict[tuple[object, ...], list[InputKey]] = {}
        for key in dict.fromkeys(keys):
            spec = self._spec(*key)
            name = "seed" if spec and spec.is_seed else key[1]
            own = key[0] if name in _OWN else ""
            groups.setdefault((name, repr(self._value(key)), own), []).append(key)
        for group in groups.values():
            yield from self._parameter(group, is_advanced=is_advanced)

    # ------------------------------------------------------------------------------------------------- tools
    def _spec(self, node_id: str, name: str) -> InputSpec | None:
        key = self.graph[node_id]["class_type"], name
        if key not in self.inputs:
            self.inputs[key] = input_spec(self.object_info, *key)
        return with_own_options(self.graph, node_id, self.inputs[key])

    def title(self, node_id: str) -> str:
        return author_title(self.graph, node_id, self.specs[self.graph[node_id]["class_type"]])

    def _value(self, key: InputKey) -> object:
        return self.graph[key[0]]["inputs"][key[1]]

    def _constant(self, node_id: str, name: str) -> InputKey | None:
        """Where the constant of an input is: there, or in a primitive node that feeds it."""
        value = self.graph[node_id]["inputs"].get(name)
        if isinstance(value, str | int | float):
            return node_id, name
        if isinstance(value, list) and is_link(value):
            source = self.graph.get(value[0])
            if source and source["class_type"].startswith("Primitive"):
                found = [each for each, one in source["inputs"].items() if isinstance(one, str | int | float)]
                key = (str(value[0]), found[0]) if len(found) == 1 else None
                if key:
                    self.feeds.setdefault(key, (node_id, name))
                return key
        return None

    def _parameter(
        self, keys: list[InputKey], *, side: Side | None = None, is_advanced: bool | None = None, title: str = ""
    ) -> Iterator[Parameter]:
        keys = [key for key in keys if key not in self.used]
        if not keys or not isinstance(self._value(keys[0]), str | int | float):
            return
        parameter = self._suggested(keys[0], side, title)
        bindings = tuple(Binding(node_id=each, input_name=name) for each, name in keys)
        changes: dict[str, object] = {"bindings": bindings}
        if parameter.type == "image" and self.graph[keys[0][0]]["class_type"] == _MASK_LOADER:
            changes |= self._as_mask()
        if is_advanced is not None:
            changes["is_advanced"] = is_advanced
        parameter = parameter.model_copy(update=changes)
        self.taken.add(parameter.name)
        self.used.update(keys)
        self.made += 1
        yield self._within_all(parameter, keys)

    def _suggested(self, key: InputKey, side: Side | None, title: str) -> Parameter:
        """For that constant; a primitive node's is called after the input that it feeds."""
        node_id, input_name = self.feeds.get(key, key)
        return suggest_parameter(
            node_id,
            input_name,
            self._value(key),
            self._spec(node_id, input_name),
            title=title or self.title(node_id),
            role=side,
            taken=self.taken,
            seed_mode=seed_mode_of(self.graph, *key),
        )

    def _as_mask(self) -> dict[str, object]:
        number = next(number for number in range(1, 99) if _numbered("mask", number) not in self.taken)
        name = _numbered("mask", number)
        return {"type": "mask", "name": name, "label": name.replace("_", " ").capitalize()}

    def _within_all(self, parameter: Parameter, keys: list[InputKey]) -> Parameter:
        """With the narrowest bounds of all inputs that it sets, and the choices that all of them have."""
        fed = [self.feeds[key] for key in keys if key in self.feeds]
        specs = [spec for key in [*keys, *fed] if (spec := self._spec(*key))]
        if parameter.type == "choice":
            # Nodes of one class share a list, which may be long.
            lists = [frozenset(each) for each in {id(spec.choices): spec.choices or () for spec in specs}.values()]
            common = tuple(each for each in parameter.choices if all(each in choices for choices in lists if choices))
            return parameter.model_copy(update={"choices": common}) if common else parameter
        if parameter.type not in {"integer", "number", "seed"} or not specs:
            return parameter
        lows = [spec.min for spec in specs if spec.min is not None]
        highs = [spec.max for spec in specs if spec.max is not None]
        return parameter.model_copy(update={"minimum": max(lows, default=None), "maximum": min(highs, default=None)})


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}_{number}"
