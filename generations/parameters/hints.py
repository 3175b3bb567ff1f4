"""What users can write into texts that are resolved for each run (see comfy/queued.py), and no other page says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from generations.comfy.graph import InputKey
from generations.comfy.queued import NAME, PROMPT
from generations.parameters.schema import Parameter

SENTENCES: Mapping[str, str] = {
    PROMPT: "{red|blue} picks one at random.",
    NAME: "%date:yyyy-MM-dd% becomes the date.",
}


def hint(keys: Iterable[InputKey], resolved_inputs: Iterable[Sequence[str]], help_text: str = "") -> str:
    """The sentence for a parameter that sets these (node id, input); "" where nothing is resolved, and where its help
    speaks of dates already. `resolved_inputs`: as `queued.inputs_to_resolve` gives them.
    """
    kinds = {(node_id, name): kind for node_id, name, kind in resolved_inputs}
    found = next((kinds[key] for key in keys if key in kinds), "")
    return "" if found == NAME and "%date" in help_text else SENTENCES.get(found, "")


def with_hints(parameters: Iterable[Parameter], resolved_inputs: Iterable[Sequence[str]]) -> tuple[Parameter, ...]:
    """The parameters with those sentences behind their help."""
    resolved = list(resolved_inputs)

    def hinted(parameter: Parameter) -> Parameter:
        said = hint((each.input_key for each in parameter.bindings), resolved, parameter.help)
        return parameter.model_copy(update={"help": f"{parameter.help} {said}".strip()}) if said else parameter

    return tuple(hinted(parameter) for parameter in parameters)
