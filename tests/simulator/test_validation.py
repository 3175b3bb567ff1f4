"""POST /prompt: what is accepted, what is coerced, and the bodies of refusals."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.driver import Driver
from tests.support.graphs import node, plain, text_to_image, words


def errors_of(driver: Driver, graph: dict[str, Any], node_id: str) -> list[tuple[str, str]]:
    """(type, details) of a node's errors in the answer."""
    body = driver.post(graph).json()
    return [(error["type"], error["details"]) for error in body["node_errors"][node_id]["errors"]]


def test_accepted_prompt_is_answered_with_id_number_and_no_errors(driver: Driver) -> None:
    response = driver.post(plain())
    assert response.status_code == 200
    assert list(response.json()) == ["prompt_id", "number", "node_errors"]
    assert response.json()["number"] == 0
    assert response.json()["node_errors"] == {}


@pytest.mark.parametrize(("given", "expected"), [("own-id", "own-id"), (7, "7"), (..., None)])
def test_prompt_id_is_the_clients_as_text(driver: Driver, given: Any, expected: str | None) -> None:
    prompt_id = driver.post(plain(), **({} if given is ... else {"prompt_id": given})).json()["prompt_id"]
    assert prompt_id == expected or (expected is None and len(prompt_id) == 36)


def test_prompt_id_null_becomes_the_word(driver: Driver) -> None:
    body = {"prompt": plain(), "prompt_id": None}
    assert driver.http.post("/prompt", json=body).json()["prompt_id"] == "None"


def test_counter_advances_for_refused_prompts_but_not_for_own_numbers(driver: Driver) -> None:
    assert driver.post({}).status_code == 400
    assert driver.post(plain(), number=7).json()["number"] == 7.0
    assert driver.post(plain()).json()["number"] == 1
    assert driver.post(plain(), front=True).json()["number"] == -2


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ("{}", 400, "no_prompt"),
        ("[]", 400, "no_prompt"),
        ('"x"', 400, "no_prompt"),
        ('{"prompt": {}}', 400, "prompt_no_outputs"),
        ('{"prompt": []}', 400, "prompt_no_outputs"),
        ('{"prompt": {"1": "x"}}', 400, "invalid_prompt"),
        ('{"prompt": {"1": {"inputs": {}}}}', 400, "invalid_prompt"),
        ("not json", 500, None),
        ('{"prompt": 5}', 500, None),
        ('{"prompt": "text"}', 500, None),
        ('{"prompt": {}, "number": null}', 500, None),
        ('{"prompt": {}, "client_id": "x", "extra_data": null}', 500, None),
    ],
)
def test_odd_bodies(driver: Driver, body: str, status: int, kind: str | None) -> None:
    response = driver.http.post("/prompt", content=body)
    assert response.status_code == status
    if kind is None:
        assert response.text == "500 Internal Server Error\n\nServer got itself in trouble"
        assert response.headers["content-type"].startswith("text/plain")
        assert response.headers["connection"] == "close"
    else:
        assert response.json()["error"]["type"] == kind
        assert response.json()["node_errors"] == {}


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"width": None}, ("invalid_input_type", None)),
        ({"width": "wide"}, ("invalid_input_type", None)),
        ({"width": 0}, ("value_smaller_than_min", "width")),
        ({"width": 99999}, ("value_bigger_than_max", "width")),
        ({"width": ["1"]}, ("bad_linked_input", "width")),
        ({"width": ["2", 0]}, ("return_type_mismatch", "width, received_type(STRING) mismatch input_type(INT)")),
    ],
)
def test_value_errors(driver: Driver, inputs: dict[str, Any], expected: tuple[str, str | None]) -> None:
    graph = plain()
    graph["1"]["inputs"] |= inputs
    graph["2"] = node("PrimitiveString", value="x")
    ((kind, details),) = errors_of(driver, graph, "1")
    assert kind == expected[0]
    assert expected[1] in {None, details}


def test_missing_input_names_it(driver: Driver) -> None:
    graph = plain()
    del graph["1"]["inputs"]["height"]
    body = driver.post(graph).json()
    assert body["node_errors"]["1"] == {
        "errors": [
            {
                "type": "required_input_missing",
                "message": "Required input is missing",
                "details": "height",
                "extra_info": {"input_name": "height"},
            }
        ],
        "dependent_outputs": ["9"],
        "class_type": "EmptyImage",
    }


def test_long_list_is_not_repeated(driver: Driver) -> None:
    graph = text_to_image()
    graph["3"]["inputs"]["sampler_name"] = "nope"
    (error,) = driver.post(graph).json()["node_errors"]["3"]["errors"]
    assert error["details"] == "sampler_name: 'nope' not in (list of length 42)"
    assert error["extra_info"]["input_config"] is None


def test_text_cannot_be_linked_to_a_choice(driver: Driver) -> None:
    graph = text_to_image()
    graph["2"] = node("PrimitiveString", value="euler")
    graph["3"]["inputs"]["sampler_name"] = ["2", 0]
    ((kind, _),) = errors_of(driver, graph, "3")
    assert kind == "return_type_mismatch"


def test_values_are_coerced_and_the_history_shows_them_so(driver: Driver) -> None:
    graph = {
        "1": node("EmptyImage", width="16", height=8.9, batch_size=True, color=0),
        "2": node("PrimitiveBoolean", value="false"),
        "8": node("PreviewAny", source=["2", 0]),
        "9": node("SaveImage", images=["1", 0], filename_prefix=5),
    }
    stored = driver.run(graph)["prompt"][2]
    assert stored["1"]["inputs"] == {"width": 16, "height": 8, "batch_size": 1, "color": 0}
    assert stored["2"]["inputs"]["value"] is True
    assert stored["9"]["inputs"]["filename_prefix"] == "5"


def test_wrapped_lists_are_unwrapped(driver: Driver) -> None:
    entry = driver.run({"1": node("PreviewAny", source={"__value__": [1, 2, 3]})})
    assert entry["prompt"][2]["1"]["inputs"]["source"] == [1, 2, 3]
    assert entry["outputs"]["1"] == {"text": ["[1, 2, 3]"]}


def test_good_outputs_run_without_the_bad_ones(driver: Driver) -> None:
    graph = {**plain(), "7": node("SaveImage", images=["6", 0], filename_prefix="y"), "6": node("ImageInvert")}
    response = driver.post(graph)
    assert response.status_code == 200
    assert list(response.json()["node_errors"]) == ["6"]
    assert response.json()["node_errors"]["6"]["dependent_outputs"] == ["7"]
    driver.socket.read_until("executing", node=None)
    assert list(driver.history(response.json()["prompt_id"])["outputs"]) == ["9"]


def test_link_of_an_output_to_a_missing_node_is_an_exception(driver: Driver) -> None:
    body = driver.post({"9": node("SaveImage", images=["5", 0], filename_prefix="x")}).json()
    (error,) = body["node_errors"]["9"]["errors"]
    assert (error["type"], error["message"]) == ("exception_during_validation", "Exception when validating node")
    assert error["details"] == "'5'"
    assert error["extra_info"]["exception_type"] == "KeyError"
    assert body["error"]["details"] == "Exception when validating node: '5'"


def test_exception_further_up_is_told_at_the_node_that_has_the_link(driver: Driver) -> None:
    graph = {
        "1": node("ImageInvert", image=["0", 0]),
        "2": node("ImageInvert", image=["1", 0]),
        "9": node("SaveImage", images=["2", 0], filename_prefix="x"),
    }
    body = driver.post(graph).json()
    assert list(body["node_errors"]) == ["1"]
    (error,) = body["node_errors"]["1"]["errors"]
    assert error["type"] == "exception_during_inner_validation"
    assert error["extra_info"]["linked_node"] == ["1", 0]
    assert body["error"]["details"] == ""


def test_cycle_is_refused_without_a_reason(driver: Driver) -> None:
    graph = {
        "1": node("ImageInvert", image=["2", 0]),
        "2": node("ImageInvert", image=["1", 0]),
        "9": node("SaveImage", images=["2", 0], filename_prefix="x"),
    }
    response = driver.post(graph)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "prompt_outputs_failed_validation"
    assert response.json()["error"]["details"] == ""
    assert response.json()["node_errors"] == {}


def test_only_wanted_outputs_run(driver: Driver) -> None:
    graph = {**plain(), "8": node("PreviewAny", source="a")}
    assert driver.run(graph, partial_execution_targets=["8", "1", "unknown"])["prompt"][4] == ["8"]
    for nothing in ([], ["1"]):
        refused = driver.post(graph, partial_execution_targets=nothing)
        assert refused.json()["error"]["type"] == "prompt_no_outputs"


def test_constant_for_a_link_fails_only_when_it_runs(driver: Driver) -> None:
    entry = driver.run({"9": node("SaveImage", images=5, filename_prefix="x")})
    assert entry["status"]["status_str"] == "error"
    assert driver.socket.data("execution_error")[0]["exception_type"] == "TypeError"


def test_extra_data_is_kept_and_secrets_stay_out_of_the_history(driver: Driver) -> None:
    extra = {"tag": "ours", "api_key_comfy_org": "secret"}
    assert driver.run(words(), extra_data=extra)["prompt"][3] == {"tag": "ours", "client_id": driver.socket.client_id}
