"""Versions that draw seeds and texts, and runs of them."""

from __future__ import annotations

from typing import Any

from accounts.models import User
from generations.lifecycle import services
from generations.models import Generation, TemplateVersion
from generations.studio import publishing
from tests.support.factories import (
    make_template,
    txt2img_parameters,
)
from tests.support.workflows import OBJECT_INFO

ALTERNATIVES = "{red|green|blue} {fox|dog|cat|owl} {1|2|3|4|5|6|7|8|9|0} // and a comment"


def studio_template(
    staff: User, *, graph: dict[str, Any] | None = None, parameters: list[dict[str, Any]] | None = None
) -> TemplateVersion:
    """What the studio publishes of a graph as the editor's file gives it."""
    template = make_template(graph=graph, parameters=parameters, publish=False)
    return publishing.publish(template, None, user=staff, object_info=OBJECT_INFO, is_confirmed=True)


def with_seed(mode: str, **fields: Any) -> list[dict[str, Any]]:
    return [
        {**each, "seed_mode": mode, **fields} if each["type"] == "seed" else each
        for each in txt2img_parameters()
    ]  # fmt: skip


def submit(user: User, version: TemplateVersion, **inputs: Any) -> Generation:
    return services.submit(user=user, version=version, inputs={"prompt": "a cat", **inputs})


def seed_of(generation: Generation) -> int:
    return int(generation.inputs["seed"])


def texts_of(generation: Generation) -> dict[str, str]:
    return {f"{node_id}.{name}": text for node_id, name, text in generation.resolved}
