"""What ComfyUI's editor puts instead of patterns when it queues a workflow: ComfyUI itself knows none of them.

    {red|green|{dark |}blue} boat // a comment     in texts with dynamic prompts
    %date:yyyy-MM-dd%/%KSampler.seed%              in the names of saved files

Sources: processDynamicPrompt and formatDate (src/utils/formatUtil.ts), applyTextReplacements
(src/utils/searchAndReplace.ts) and the classes in src/extensions/core/saveImageExtraOutput.ts of ComfyUI_frontend 1.58.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

Draw: TypeAlias = Callable[[int], int]  # a number from 0 to less than its argument, as secrets.randbelow

# Whose filename_prefix the editor resolves; other classes get theirs as it was written. The last one's own script
# (ComfyUI-VideoHelperSuite, web/js/VHS.core.js) does it.
SAVING = frozenset(
    {
        "SaveImage", "SaveImageAdvanced", "SaveSVGNode", "SaveVideo", "SaveAnimatedWEBP", "SaveWEBM", "SaveAudio",
        "SaveAudioMP3", "SaveAudioOpus", "SaveAudioAdvanced", "SaveGLB", "Save3DAdvanced", "SaveGaussianSplat",
        "SavePointCloud", "SaveAnimatedPNG", "CLIPSave", "VAESave", "ModelSave", "LoraSave", "SaveLatent",
        "VHS_VideoCombine",
    }
)  # fmt: skip
PREFIX = "filename_prefix"
_SPECIAL = re.compile(r"\\[\s\S]?|[{}|]")
_BRACES = frozenset("{}|")
_LINE = re.compile("[^\n\r\u2028\u2029]*")
_PATTERN = re.compile("%([^%]+)%")
_DATE = re.compile("dd?|MM?|hh?|mm?|ss?|yyy?y?")
_SLASH = re.compile(r"([/\\])")
_NOT_IN_NAMES = re.compile('[/?<>\\\\:*|"\x00-\x1f\x7f]')


# ------------------------------------------------------------------------------------------- dynamic prompts
def resolve_prompt(text: str, draw: Draw) -> str:
    """The text without comments, with one of its alternatives for each {group}, and braces for escaped ones.

    Takes time in proportion to the text's length, however deep groups are nested. The result is never longer than the
    text. A backslash at the very end stays one, where the editor writes "\\undefined".
    """
    return _Resolver(without_comments(text), draw).run()


def has_patterns(text: str) -> bool:
    """False when `resolve_prompt` would give the text back as it is."""
    return any(each in text for each in ("{", "}", "|", "\\", "//", "/*"))


def without_comments(text: str) -> str:
    """The text without /* blocks */ and // what follows on a line: that of web addresses, too, as in the editor."""
    kept, position = [], 0
    can_close = True
    while (start := text.find("/", position)) >= 0:
        mark = text[start : start + 2]
        end = text.find("*/", start + 2) if mark == "/*" and can_close else -1
        can_close = can_close and (mark != "/*" or end >= 0)  # no later one closes, either: look for it only once
        if mark == "//" and (line := _LINE.match(text, start)):
            kept.append(text[position:start])
            position = line.end()
        elif end >= 0:
            kept.append(text[position:start])
            position = end + 2
        else:
            kept.append(text[position : start + 1])
            position = start + 1
    return "".join([*kept, text[position:]])


class _Resolver:
    """One text without comments. Groups are found first, so that of each only the drawn alternative is read again."""

    def __init__(self, text: str, draw: Draw) -> None:
        self.text = text
        self.draw = draw
        specials = [(found.start(), found[0]) for found in _SPECIAL.finditer(text)]
        self.words = [word for _start, word in specials]
        self.starts = [start for start, _word in specials] + [len(text)]
        self.out: list[str] = []
        # Backslashes at the end of `out`: for each, how deep in groups everything since then was at least. The editor
        # takes a backslash off before a brace once for each group around both.
        self.tail: list[int] = []

    def run(self) -> str:
        groups = self._groups()
        behind: list[tuple[int, int]] = []  # for each open group: its last special, and where the text around it ends
        place, at, end = 0, 0, len(self.words)  # in the text; the next special; the one that ends what is read
        while True:
            if place < self.starts[at]:
                self.out.append(self.text[place : self.starts[at]])
                self.tail.clear()
            if at < end:
                word = self.words[at]
                if word == "{":
                    bars = groups[at]
                    drawn = self.draw(len(bars) - 1)
                    behind.append((bars[-1], end))
                    at, end = bars[drawn], bars[drawn + 1]
                else:
                    self._write(word, len(behind))
                place = self.starts[at] + (1 if word == "{" else len(word))
                at += 1
            elif behind:
                at, end = behind.pop()
                place = min(self.starts[at] + 1, len(self.text))
                at = min(at + 1, len(self.words))
                if self.tail:
                    self.tail[-1] = min(self.tail[-1], len(behind))
            else:
                return "".join(self.out)

    def _groups(self) -> dict[int, list[int]]:
        """Each special that opens a group -> itself, the group's bars, and its end, which may be that of the text."""
        found: dict[int, list[int]] = {}
        opened: list[list[int]] = []
        for at, word in enumerate(self.words):
            if word == "{":
                opened.append([at])
            elif opened and word in _BRACES:
                opened[-1].append(at)
                if word == "}":
                    group = opened.pop()
                    found[group[0]] = group
        for group in opened:
            found[group[0]] = [*group, len(self.words)]
        return found

    def _write(self, special: str, depth: int) -> None:
        """Append a backslash with what it escapes, or a bar or brace that belongs to no group."""
        if special[-1] in _BRACES:
            # An escaped one has lost its own backslash to the innermost group.
            self._take_backslashes(depth - 1 if len(special) == 2 else depth)
            self.out.append(special[-1])
            self.tail.clear()
        elif special[-1] == "\\":
            self.out.extend(special)
            self.tail.extend([depth] * len(special))
        else:
            self.out.append(special)
            self.tail.clear()

    def _take_backslashes(self, level: int) -> None:
        while self.tail and level >= 0:
            shared = self.tail.pop()
            if self.tail:
                self.tail[-1] = min(self.tail[-1], shared)
            self.out.pop()
            level = min(level, shared) - 1


# --------------------------------------------------------------------------------------------- names of files
def resolve_name(text: str, now: datetime, value_of: Callable[[str, str], object], *, most: int) -> str:
    """The text with dates and widgets' values instead of their patterns; anything else stays, as %width%, which
    ComfyUI itself knows. `value_of`(name of a node, widget) raises KeyError for unknown ones.

    Characters that names of files cannot have become "_", and so do the dots of "." and ".." where values make up the
    whole name of a folder: nobody wrote that path. OverflowError: it would have more than `most` characters.
    """

    def replaced(found: re.Match[str]) -> str:
        first, *others = found[1].split(".")
        if len(others) != 1:
            return format_date(first[5:], now) if first.startswith("date:") else found[0]
        try:
            value = as_text(value_of(first, others[0]))
        except KeyError:
            return found[0]
        if len(value) > most:  # before it is there for each of its patterns
            raise OverflowError
        return _NOT_IN_NAMES.sub("_", value)

    written = set(_SLASH.split(text))
    result = _PATTERN.sub(replaced, text)
    if len(result) > most:
        raise OverflowError
    parts = _SLASH.split(result)
    return "".join("_" * len(part) if part in {".", ".."} - written else part for part in parts)


def widget_names(text: str) -> Iterator[tuple[str, str]]:
    """(name of a node, widget) of each pattern in the text that speaks of one."""
    for found in _PATTERN.finditer(text):
        parts = found[1].split(".")
        if len(parts) == 2:
            yield parts[0], parts[1]


def format_date(pattern: str, moment: datetime) -> str:
    """d, M, h (of 24), m and s, doubled with a leading zero; yy and yyyy. Everything else stays as it is."""
    numbers = {"d": moment.day, "M": moment.month, "h": moment.hour, "m": moment.minute, "s": moment.second}

    def formatted(found: re.Match[str]) -> str:
        token = found[0]
        if token[0] == "y":
            return {"yy": str(moment.year)[2:], "yyyy": str(moment.year)}.get(token, token)
        return str(numbers[token[0]]).zfill(len(token))

    return _DATE.sub(formatted, pattern)


def as_text(value: object) -> str:
    """As JavaScript writes a value that becomes part of a text."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return _number(value)
        case list():
            return ",".join(map(as_text, value))
        case dict():
            return "[object Object]"
    return str(value)


def _number(value: float) -> str:
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    if 1e-6 <= abs(value) < 1e21:
        return f"{Decimal(repr(value)):f}"
    return repr(value).replace("e-0", "e-")
