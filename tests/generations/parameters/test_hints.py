"""What users are told about texts that are resolved for each run."""

from __future__ import annotations

from generations.comfy.queued import NAME, PROMPT
from generations.parameters.hints import with_hints
from generations.parameters.schema import Parameter

RESOLVED = [["1", "text", PROMPT], ["9", "filename_prefix", NAME]]


def text(node_id: str, input_name: str, help_text: str = "") -> Parameter:
    return Parameter.model_validate(
        {
            "name": "it",
            "type": "text",
            "help": help_text,
            "bindings": [{"node_id": node_id, "input_name": input_name}],
        }
    )


def test_patterns_are_told_where_they_are_resolved_and_nowhere_else() -> None:
    given = [
        text("1", "text", "What to draw."),
        text("9", "filename_prefix"),
        text("9", "filename_prefix", "May have %date:yyyy-MM-dd%."),
        text("2", "text", "Kept as it is."),
    ]
    assert [each.help for each in with_hints(given, RESOLVED)] == [
        "What to draw. {red|blue} picks one at random.",
        "%date:yyyy-MM-dd% becomes the date.",
        "May have %date:yyyy-MM-dd%.",
        "Kept as it is.",
    ]
