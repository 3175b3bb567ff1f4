"""Pictures that only travel over the socket: what counts as a result, and what may have been missed."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.graph import load_api_graph, sending_nodes
from generations.comfy.listener import Connected, Disconnected, Event
from generations.comfy.messages import (
    Executing,
    ExecutionStart,
    ExecutionSuccess,
    NodeProgress,
    PreviewImage,
    PreviewImageWithMetadata,
    ProgressState,
)
from generations.models import Generation
from generations.relay import frames
from generations.relay.frames import Frames, suffix_of

PNG, JPEG = b"\x89PNG\r\n\x1a\n one", b"\xff\xd8\xff two"
BREAK = Disconnected("gone", was_connected=True)
GRAPH = load_api_graph(
    {
        "1": {"class_type": "EmptyImage", "inputs": {}},
        "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
        "4": {"class_type": "ETN_SendImageWebSocket", "inputs": {"images": ["1", 0]}},
    }
)


def enters(node: str | None) -> Executing:
    return Executing(node, node, "p")


def image(content: bytes = PNG, node: str = "2", prompt: str = "p") -> PreviewImageWithMetadata:
    return PreviewImageWithMetadata(content, "image/png", node, prompt, node, None, node)


def finishes(node: str) -> ProgressState:
    return ProgressState("p", {node: NodeProgress(node, 1, 1, "finished", node, None, node)})


def heard(*events: Event) -> Frames:
    found = Frames()
    found.follow("p", GRAPH)
    for event in events:
        found.hear(event)
    return found


START, END = ExecutionStart("p"), ExecutionSuccess("p")


def test_nodes_that_send_are_known_by_their_class_at_an_end_of_the_graph() -> None:
    assert sending_nodes(GRAPH) == ["2", "4"]
    fed: Any = {"5": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}}}
    assert sending_nodes({**GRAPH, **fed}) == ["4"]


@pytest.mark.parametrize("kind", ["with metadata", "plain"])
def test_frames_of_such_a_node_are_results_in_their_order(kind: str) -> None:
    frame = image if kind == "with metadata" else lambda content: PreviewImage(content, "image/png")
    found = heard(START, enters("1"), enters("2"))
    assert found.hear(frame(PNG))
    assert found.hear(frame(JPEG))
    found.hear(END)
    assert found.of("p", ["2"]) == {"2": [PNG, JPEG]}


def test_previews_of_others_and_noise_are_not_results() -> None:
    found = heard(START, enters("1"))
    assert not found.hear(PreviewImage(PNG, "image/png"))
    assert not found.hear(image(node="1"))
    found.hear(enters("2"))
    assert not found.hear(image(prompt="somebody else's"))
    assert not found.hear(PreviewImage(b"\xff\xd8noise", "image/jpeg"))
    found.hear(END)
    assert found.of("p", ["2"]) == {"2": []}


def test_a_node_that_was_not_run_sent_nothing() -> None:
    assert heard(START, enters("1"), END).of("p", ["2"]) == {"2": []}


@pytest.mark.parametrize(
    "events",
    [
        [START, enters("2"), image(), BREAK, END],
        [START, enters("2"), image(), BREAK, Connected("s", "c", True), image(), END],
        [START, BREAK, END],
        [START, enters("2"), image()],  # the history may tell of the end before the socket does
        [BREAK, enters("1"), END],
        [],
    ],
)
def test_what_may_have_been_missed_is_not_taken_for_all(events: list[Event]) -> None:
    assert heard(*events).of("p", ["2"]) is None


@pytest.mark.parametrize("finished", [finishes("2"), enters("3")])
def test_a_break_after_the_node_finished_costs_nothing(finished: Event) -> None:
    assert heard(START, enters("2"), image(), finished, BREAK, END).of("p", ["2"]) == {"2": [PNG]}


def test_a_break_after_the_end_costs_nothing() -> None:
    found = heard(START, enters("2"), image(), enters(None), BREAK)
    assert found.is_complete("p")
    assert found.of("p", ["2"]) == {"2": [PNG]}


def test_prompts_that_were_not_followed_have_nothing() -> None:
    found = heard(START, enters("2"), image(), END)
    found.forget("p")
    assert found.of("p", ["2"]) is None
    assert not found.is_complete("p")


def test_the_rest_of_a_batch_is_heard_before_it_is_followed() -> None:
    found = heard(START, enters("2"), image(), END, ExecutionStart("q"), Executing("2", "2", "q"))
    assert not found.hear(image(JPEG, prompt="q"))  # nobody knows yet what it is
    found.follow("q", GRAPH)
    found.forget("p")
    assert found.hear(image(prompt="q"))
    assert found.of("q", ["2"]) is None
    found.hear(ExecutionSuccess("q"))
    assert found.of("q", ["2"]) == {"2": [JPEG, PNG]}


def test_of_what_nobody_follows_only_the_last_one_is_kept() -> None:
    found = heard(START, END)
    for prompt in ("q", "r"):
        for event in (ExecutionStart(prompt), Executing("2", "2", prompt), image(prompt=prompt)):
            found.hear(event)
        found.hear(ExecutionSuccess(prompt))
    for prompt in ("q", "r"):
        found.follow(prompt, GRAPH)
    assert [found.of(prompt, ["2"]) for prompt in ("q", "r")] == [None, {"2": [PNG]}]


def test_too_much_is_told_and_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_BYTES", len(PNG) + 1)
    found = heard(START, enters("2"), image(), image(), image(), END)
    assert found.is_too_much("p")
    assert found.of("p", ["2"]) == {"2": [PNG]}


def test_results_of_earlier_parts_that_are_no_lists_are_no_pictures() -> None:
    earlier = {"1": {"images": None}, "2": {"images": [None, {"type": "output"}]}, "3": None}
    assert frames.keep(Generation(earlier_outputs=earlier), {"4": {"text": ["x"]}}, {"2": []}) == {"4": {"text": ["x"]}}


@pytest.mark.parametrize(
    ("content", "suffix"), [(PNG, "png"), (JPEG, "jpg"), (b"RIFF....WEBP", "webp"), (b"<svg>", "")]
)
def test_the_bytes_say_what_it_is(content: bytes, suffix: str) -> None:
    assert suffix_of(content) == suffix
