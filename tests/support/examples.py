"""The examples of docs/api.md, as they stand there."""

from __future__ import annotations

import re

from tests.support.processes import ROOT

DOCUMENT = ROOT / "docs" / "api.md"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(language: str) -> list[str]:
    """The code blocks of this language, in order."""
    return [code for found, code in _FENCE.findall(DOCUMENT.read_text()) if found == language]
