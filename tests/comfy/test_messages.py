import json
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from generations.comfy.errors import ProtocolError
from generations.comfy.messages import (
    Executed,
    Executing,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    FeatureFlags,
    PreviewImage,
    PreviewImageWithMetadata,
    Progress,
    ProgressState,
    Status,
    TextPreview,
    Unknown,
    parse,
)
from tests.comfy.recorded import NAMES, frames, recording


def event(type: str, **data: object) -> str:
    return json.dumps({"type": type, "data": data})


def truncated_metadata_preview(frame: bytes) -> bool:
    """Recorded with 64 bytes only, so its metadata is cut off."""
    return frame[:4] == b"\0\0\0\4" and len(frame) == 64


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_frame_is_typed(name: str) -> None:
    complete = [f for f in frames(name) if isinstance(f, str) or not truncated_metadata_preview(f)]
    assert not [m for m in map(parse, complete) if isinstance(m, Unknown)]
    assert len(complete) > 0 or recording(name)["post_status"] == 400


def test_a_recorded_run_reads_from_start_to_end() -> None:
    messages = [parse(frame) for frame in frames("sd15_cold")]
    prompt_id = recording("sd15_cold")["post_body"]["prompt_id"]
    kinds = [type(message) for message in messages]
    assert kinds[0] is Status
    assert kinds.index(ExecutionStart) < kinds.index(ExecutionCached) < kinds.index(Progress)
    assert kinds.index(Executed) < kinds.index(ExecutionSuccess) < len(kinds) - 1
    last = messages[-1]
    assert last == Executing(None, None, prompt_id)
    assert isinstance(last, Executing)
    assert last.is_end
    steps = [message for message in messages if isinstance(message, Progress)]
    assert [(step.value, step.max, step.node) for step in steps][-1] == (6, 6, "3")
    images = next(message for message in messages if isinstance(message, Executed)).output
    assert images is not None
    assert len(images["images"]) == 2  # type: ignore[arg-type]
    assert any(isinstance(message, PreviewImage) and message.content_type == "image/jpeg" for message in messages)


def test_a_recorded_preview_with_metadata_names_its_node_and_prompt() -> None:
    name = "sd15_newseed_metadata_preview"
    preview = next(parse(f) for f in frames(name) if isinstance(f, bytes) and not truncated_metadata_preview(f))
    assert isinstance(preview, PreviewImageWithMetadata)
    assert preview.prompt_id == recording(name)["post_body"]["prompt_id"]
    assert (preview.node_id, preview.display_node_id, preview.content_type) == ("3", "3", "image/jpeg")
    assert preview.image.startswith(b"\xff\xd8")


def test_a_recorded_error_keeps_its_node_and_reason() -> None:
    error = next(m for m in map(parse, frames("runtime_error")) if isinstance(m, ExecutionError))
    assert (error.node_id, error.node_type, error.exception_type) == ("3", "SaveImage", "Exception")
    assert error.executed == ("1", "2")
    assert error.traceback[0].startswith("  File")
    assert not error.is_execution_blocked
    assert not error.is_out_of_memory


def test_a_recorded_interruption_names_the_node() -> None:
    message = next(m for m in map(parse, frames("interrupted")) if isinstance(m, ExecutionInterrupted))
    assert (message.node_id, message.node_type) == ("3", "KSampler")


def test_only_the_first_status_has_a_session_id() -> None:
    info = {"exec_info": {"queue_remaining": 2}}
    assert parse(event("status", status=info, sid="abc")) == Status(2, "abc")
    assert parse(event("status", status=info)) == Status(2)


def test_the_executing_repeated_on_connect_belongs_to_no_prompt() -> None:
    message = parse('{"type":"executing","data":{"node":"12"}}')
    assert message == Executing("12", "12", None)
    assert isinstance(message, Executing)
    assert not message.is_end


def test_blocked_execution_without_timestamp_is_told_from_failure() -> None:
    message = parse(
        event(
            "execution_error",
            prompt_id="p",
            node_id="5",
            node_type="Gate",
            exception_type="ExecutionBlocked",
            exception_message="Execution Blocked: no",
            traceback=[],
            current_inputs=[],
            executed=[],
        )
    )
    assert isinstance(message, ExecutionError)
    assert message.is_execution_blocked
    assert message.timestamp is None
    assert message.current_inputs is None


@pytest.mark.parametrize(
    ("exception_type", "text"),
    [
        ("torch.OutOfMemoryError", "x"),
        ("torch.cuda.OutOfMemoryError", ""),
        ("RuntimeError", "CUDA: Out of memory"),
    ],
)
def test_running_out_of_memory_is_recognised(exception_type: str, text: str) -> None:
    assert ExecutionError("p", "1", "N", text, exception_type).is_out_of_memory


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_never_get_through(token: str) -> None:
    assert parse(f'{{"type":"progress","data":{{"value":{token},"max":{token}}}}}') == Progress(0, 0)
    executed = parse(f'{{"type":"executed","data":{{"node":"1","prompt_id":"p","output":{{"a":[{token}]}}}}}}')
    assert executed == Executed("1", "1", {"a": [None]}, "p")


def test_characters_that_no_database_takes_are_replaced() -> None:
    message = parse('{"type":"executed","data":{"node":"1","prompt_id":"p","output":{"t":["a\\u0000b\\ud800"]}}}')
    assert isinstance(message, Executed)
    assert message.output == {"t": ["a\ufffdb\ufffd"]}


def test_characters_beyond_the_basic_plane_survive() -> None:
    message = parse('{"type":"executed","data":{"node":"1","prompt_id":"p","output":{"t":["\\ud83d\\ude00"]}}}')
    assert isinstance(message, Executed)
    assert message.output == {"t": ["\U0001f600"]}


def test_integers_of_64_bits_stay_exact() -> None:
    message = parse(event("executed", node="1", prompt_id="p", output={"seed": [2**64 - 1]}))
    assert isinstance(message, Executed)
    assert message.output == {"seed": [18446744073709551615]}


def test_cached_output_without_result_is_none() -> None:
    assert parse(event("executed", node="9", display_node="9", output=None, prompt_id="p")) == Executed(
        "9", "9", None, "p"
    )


def test_progress_state_accepts_ints_and_missing_ids() -> None:
    nodes = {"12.0.0.1": {"value": 1, "max": 2.5, "state": "running", "display_node_id": "12", "new": 1}}
    message = parse(event("progress_state", prompt_id="p", nodes=nodes))
    assert isinstance(message, ProgressState)
    node = message.nodes["12.0.0.1"]
    assert (node.value, node.max, node.display_node_id, node.real_node_id) == (1, 2.5, "12", "12.0.0.1")


def test_unknown_types_are_passed_on() -> None:
    assert parse(event("cm-queue-status", a=1)) == Unknown("cm-queue-status", {"a": 1})
    assert parse('{"type":"custom","data":[1]}') == Unknown("custom", [1])
    assert parse(struct.pack(">I", 99) + b"xyz") == Unknown("binary 99", b"xyz")


def test_feature_flags_are_an_open_dictionary() -> None:
    assert parse(event("feature_flags", max_upload_size=2.5, extension={"a": 1})) == FeatureFlags(
        {"max_upload_size": 2.5, "extension": {"a": 1}}
    )


def test_text_previews_are_decoded() -> None:
    assert parse(struct.pack(">II", 3, 2) + b"12" + "Zürich".encode()) == TextPreview("12", "Zürich")


def test_an_active_preview_type_becomes_opaque() -> None:
    head = b'{"node_id":"1","prompt_id":"p","image_type":"text/html"}'
    message = parse(struct.pack(">II", 4, len(head)) + head + b"<script>")
    assert isinstance(message, PreviewImageWithMetadata)
    assert message.content_type == "application/octet-stream"


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"type":[]}',
        '{"type":"status"}',
        '{"type":"status","data":{"status":null}}',
        '{"type":"progress","data":{"value":"1","max":2}}',
        '{"type":"execution_start","data":{}}',
        '{"type":"executed","data":{"node":"1","prompt_id":"p","output":[]}}',
        "[" * 100_000,
        '{"a":' * 400 + '"\\u0000"' + "}" * 400,
        b"",
        b"\0\0\0\1",
        struct.pack(">II", 4, 1000) + b"{}",
        struct.pack(">II", 4, 2) + b"[]",
    ],
)
def test_malformed_frames_are_protocol_errors(frame: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(frame)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_known = st.sampled_from(
    [
        "status",
        "execution_start",
        "execution_cached",
        "executing",
        "progress",
        "progress_state",
        "executed",
        "execution_success",
        "execution_error",
        "execution_interrupted",
        "feature_flags",
        "other",
    ]
)
_keys = st.sampled_from(
    [
        "status",
        "node",
        "nodes",
        "prompt_id",
        "value",
        "max",
        "output",
        "display_node",
        "exec_info",
        "timestamp",
    ]
)
_events = st.fixed_dictionaries({"type": _known, "data": st.dictionaries(_keys, _json, max_size=5) | _json})


@settings(max_examples=150, deadline=None)
@given(st.text() | st.binary() | _events.map(json.dumps) | st.binary().map(lambda b: b"\0\0\0\4" + b))
@example("1" * 5000)
def test_parse_raises_nothing_but_protocol_errors(frame: str | bytes) -> None:
    try:
        parse(frame)
    except ProtocolError as error:
        assert str(error)
