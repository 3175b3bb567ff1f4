"""What is installed on one server: its nodes, their inputs and its models, as they differ from the usual ones."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from generations.simulator.nodes import REGISTRY
from generations.simulator.nodes.base import Environment, InputSpecs, Node

FIELDS = {"without", "inputs", "models"}


@dataclass(frozen=True, slots=True)
class Installation:
    """`inputs`: class -> required input -> its spec, in addition to the usual ones or in place of one of them."""

    without: Sequence[str] = ()  # classes that it does not have
    inputs: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    models: Mapping[str, Sequence[str]] = field(default_factory=dict)  # folder -> its files, in place of the usual

    @classmethod
    def read(cls, text: str) -> Installation:
        """From JSON. ValueError for anything else."""
        value = json.loads(text)
        if not isinstance(value, dict) or not value.keys() <= FIELDS:
            msg = f"an installation is an object of {', '.join(sorted(FIELDS))}"
            raise ValueError(msg)
        return cls(**value)

    def check(self, classes: Collection[str]) -> None:
        """ValueError when it changes a node class that is not among these."""
        if unknown := {*self.without, *self.inputs}.difference(classes):
            msg = f"there is no node class {', '.join(sorted(unknown))}"
            raise ValueError(msg)

    def registry(self, usual: Mapping[str, type[Node]] = REGISTRY) -> dict[str, type[Node]]:
        """The node classes by name. ValueError for changes to classes that are not among the usual ones."""
        self.check(usual)
        return {
            name: _changed(node, self.inputs[name]) if name in self.inputs else node
            for name, node in usual.items()
            if name not in self.without
        }


def _changed(node: type[Node], inputs: Mapping[str, Sequence[Any]]) -> type[Node]:
    def input_specs(cls: type[Node], environment: Environment) -> dict[str, InputSpecs]:
        specs = node.input_specs(environment)
        return {**specs, "required": {**specs["required"], **{name: tuple(spec) for name, spec in inputs.items()}}}

    return type(node.__name__, (node,), {"input_specs": classmethod(input_specs)})
