"""What a run demands of a server beyond its version."""

from __future__ import annotations

import pytest

from generations.comfy.graph import Graph, load_api_graph
from generations.parameters import demands
from generations.parameters.schema import Parameter, parse_parameters
from tests.support.factories import CHECKPOINT, parameter, txt2img_graph
from tests.support.servers import with_choice

LOADER = ("CheckpointLoaderSimple", "ckpt_name")


def graph() -> Graph:
    return load_api_graph(txt2img_graph())


def parsed(*fields: object) -> tuple[Parameter, ...]:
    return parse_parameters(list(fields))


def test_model_files_count_whoever_chose_them() -> None:
    assert demands.model_files(graph()) == [(*LOADER, CHECKPOINT)]
    assert demands.chosen_values(graph(), ()) == [(*LOADER, CHECKPOINT)]


def test_choices_and_numbers_that_users_set_count_and_texts_do_not() -> None:
    bound = graph()
    bound["3"]["inputs"]["steps"] = 7
    parameters = parsed(
        parameter("model", "choice", "4", "ckpt_name", choices=[CHECKPOINT]),
        parameter("steps", "integer", "3", "steps"),
        parameter("prompt", "text", "6", "text"),
    )
    assert demands.chosen_values(bound, parameters) == [(*LOADER, CHECKPOINT), ("KSampler", "steps", 7)]


@pytest.mark.django_db
def test_what_users_have_to_give_has_no_default() -> None:
    version = with_choice(default=None, required=True)
    assert demands.defaults(version.graph, version.parsed_parameters) == []


def test_a_seed_and_an_input_file_have_no_default() -> None:
    parameters = parsed(parameter("seed", "seed", "3", "seed"), parameter("picture", "image", "6", "text"))
    assert demands.defaults(graph(), parameters) == []


def test_the_default_is_the_parameters_own_or_else_the_graphs() -> None:
    own = parsed(parameter("steps", "integer", "3", "steps", default=5, label="Steps"))
    assert demands.defaults(graph(), own) == [demands.Default("Steps", ("KSampler", "steps", 5))]
    none = parsed(parameter("steps", "integer", "3", "steps", label="Steps"))
    steps = graph()["3"]["inputs"]["steps"]
    assert demands.defaults(graph(), none) == [demands.Default("Steps", ("KSampler", "steps", steps))]
