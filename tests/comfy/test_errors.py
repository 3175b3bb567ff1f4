"""What errors say in one sentence, and which of them mean that nobody is there."""

from __future__ import annotations

import pytest

from generations.comfy.errors import ComfyError, NodeError, NotFound, ProtocolError, Rejected, Unavailable, is_silent

FAULT = NodeError("3", "KSampler", "value_smaller_than_min", "Value 0 smaller than min of 1", "steps", "steps")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (Rejected("No prompt provided."), "ComfyUI rejected the request: No prompt provided."),
        (
            Rejected("Prompt outputs failed validation", [FAULT]),
            "ComfyUI rejected the workflow: KSampler (node 3): Value 0 smaller than min of 1 (steps).",
        ),
        (
            Rejected("x", [NodeError("3", "", "t", "It is odd."), FAULT, FAULT]),
            "ComfyUI rejected the workflow: node 3: It is odd (and 2 more).",
        ),
        (Unavailable("ComfyUI answered HTTP 502.", status=502), "ComfyUI answered HTTP 502."),
    ],
)
def test_an_error_is_one_sentence(error: ComfyError, sentence: str) -> None:
    assert str(error) == sentence


def test_only_a_server_that_gave_no_answer_is_silent() -> None:
    assert is_silent(Unavailable("It does not answer."))
    assert is_silent(Unavailable("It broke off.", is_ambiguous=True))
    others = [Unavailable("x", status=502), Rejected("x"), NotFound("x"), ProtocolError("x"), OSError("x")]
    assert not any(is_silent(error) for error in others)
