"""Titles for people, made from the names of files and from what nodes are called."""

from __future__ import annotations

import re

from generations.comfy.graph import Graph, node_title
from generations.comfy.object_info import NodeSpec

# What tools put behind the name: kinds of files, and words that only say that it is a workflow.
_ENDINGS = re.compile(
    r"\.(json|png|apng|webp|jpe?g|gif|avif|svg|mp4|mov|m4v|webm|mkv|flac|mp3|ogg|opus|wav|m4a|latent|safetensors|glb|gltf"
    r"|zip|txt|ui|api|workflow|template|comfyui?|app)$",
    re.IGNORECASE,
)
_COPY = re.compile(r"(?<=\S)\s*\(\d{1,3}\)$|(?<=\S)\s+(- )?copy$", re.IGNORECASE)
_SAYS_NOTHING = re.compile(
    r"(unsaved|untitled|new|comfyui|my|image|default|workflow|template|api|\d|\s)*", re.IGNORECASE
)


_JOINERS = "\u200c\u200d"  # of letters in Persian and Indian scripts, and of emoji
LONGEST_NAME = 200  # of a file with its folders, where it is shown


def presentable(name: str) -> str:
    """A file's name to show to people: in one line, without characters that are invisible or reverse the order of
    others, and shortened in the middle, because beginning and end tell files apart.
    """
    shown = "".join(each if each.isprintable() else "\ufffd" for each in name)
    half = LONGEST_NAME // 2
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: half - 1]}…{shown[-half:]}"


# Between words: blanks, and signs that stand for one. Dots within numbers (“SD 1.5”) stay.
_BETWEEN = re.compile(r"(?<!\d)\.|\.(?!\d)|[_\s]+|(?<=\w)-+(?=\w)|^-+|-+$")
_VERSION = re.compile(r"(?<![A-Za-z\d.])([A-Za-z]*)(0|[1-9]\d?)[_.](\d)(?![\dA-Za-z.])")
_SORTS = frozenset({"api", "utility", "template", "templates"})
_SORTED_MEDIA = frozenset({"image", "video", "audio", "3d"})
_SMALL = frozenset({"a", "an", "and", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"})
_MEDIA = {
    each: each
    for each in (
        "text", "image", "images", "multiview", "video", "audio", "speech", "dialogue", "model", "mesh", "music", "sfx",
        "svg", "vector", "3d", "reference",
    )
} | {"txt": "text", "img": "image"}  # fmt: skip
_TASKS = {
    "t2i": "text to image", "i2i": "image to image", "t2v": "text to video", "i2v": "image to video",
    "v2v": "video to video", "ti2v": "text and image to video", "ia2v": "image and audio to video",
    "r2v": "reference to video", "ref2v": "reference to video", "s2v": "sound to video", "t2a": "text to audio",
    "flf2v": "first and last frame to video", "fflf2v": "first and last frame to video",
}  # fmt: skip
_SPELLINGS = {each.lower(): each for each in (
    "AI", "API", "CFG", "CLIP", "FP8", "FP16", "FPS", "GAN", "GGUF", "GPT", "HD", "INT8", "LLM", "LTX", "LTXV", "SAM2",
    "SAM3", "SD", "SDXL", "SFX", "SVG", "TTS", "UI", "URL", "UV", "VAE", "VTO", "LoRA", "LoRAs", "OpenAI", "ControlNet",
    "ComfyUI", "ByteDance", "HiDream", "UNet", "RGB", "ID", "NSFW", "ElevenLabs", "MiniMax",
)}  # fmt: skip


def without_controls(text: str) -> str:
    """The text in one line, without invisible characters and without U+FFFD, which stands for lost ones."""
    shown = (each for each in text if each.isspace() or each in _JOINERS or (each.isprintable() and each != "\ufffd"))
    return " ".join("".join(shown).split())


def title_from_name(name: str) -> str:
    """A file's name, with its folders or without, as a title: “video_wan2_2_14B_t2v.json” -> “Wan 2.2 14B: text to
    video”.

    Names with blanks were written for people and stay as they are. A name that says nothing, such as “workflow.json”,
    gives way to that of its folder; "" when none says anything.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part.strip(". ")]
    return next((title for part in reversed(parts) if (title := _title(part))), "")


def _title(part: str) -> str:
    stem, longer = without_controls(part), ""
    while stem != longer:
        longer, stem = stem, _COPY.sub("", _ENDINGS.sub("", stem)).strip()
    is_written = bool(re.search(r"\s", stem))
    words = _BETWEEN.sub(" ", stem if is_written else _VERSION.sub(_version, stem)).split()
    title = " ".join(words)
    if _SAYS_NOTHING.fullmatch(title):
        return ""
    return title[:1].upper() + title[1:] if is_written else _spelled_out(words)


def _version(found: re.Match[str]) -> str:
    """“wan2_2” -> “wan 2.2”, “1_5” -> “1.5”; after a single letter, as in “v1.1”, without a blank."""
    name, major, minor = found.groups()
    return f"{name}{' ' if len(name) > 1 else ''}{major}.{minor}"


def _spelled_out(words: list[str]) -> str:
    """The title of a file with a technical name: what it is, then what is made of what."""
    task, rest = _task(words)
    rest = _without_prefix(rest, has_task=bool(task))
    name = " ".join(
        word if at and word in _SMALL else spelled(word, word[:1].upper() + word[1:]) for at, word in enumerate(rest)
    )
    return f"{name}: {task}" if name and task else name or task[:1].upper() + task[1:]


def _task(words: list[str]) -> tuple[str, list[str]]:
    """(what is made of what, such as “text to video”, the other words); "" when the words do not say."""
    low = [word.lower() for word in words]
    for at, word in enumerate(low):
        if word in _TASKS:
            return _TASKS[word], words[:at] + words[at + 1 :]
    for at, word in enumerate(low):
        end = at
        while word in _MEDIA and low[end + 1 : end + 2] == ["to"] and low[end + 2 : end + 3] and low[end + 2] in _MEDIA:
            end += 2
        if end > at:
            task = " ".join(spelled(_MEDIA.get(each, each), _MEDIA.get(each, each)) for each in low[at : end + 1])
            return task, words[:at] + words[end + 1 :]
    return "", words


def _without_prefix(words: list[str], *, has_task: bool) -> list[str]:
    """Without a first word that only sorts files. “Video” does where a version, a task or a name follows."""
    first, rest = words[:1], words[1:]
    if not first or not rest:
        return words
    is_known = len(rest) > 1 or has_task or any(each[0].isdigit() or each[-1].isdigit() for each in rest)
    is_sorting = first[0].lower() in _SORTS or (
        first[0].lower() in _SORTED_MEDIA and is_known and rest[0].lower() not in _SMALL
    )
    return rest if is_sorting else words


def readable(text: str) -> str:
    """A technical name for people: “lora_strength” -> “LoRA strength”; whatever else authors write stays as it is."""
    if not re.fullmatch(r"[a-z0-9]+([_ ][a-z0-9]+)*", text) or (" " in text and "_" in text):
        return text
    words = [spelled(word, word) for word in re.split("[_ ]", text)]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def spelled(word: str, otherwise: str) -> str:
    """As people write it: “lora” -> “LoRA”, “14b” -> “14B”, “ltx2” -> “LTX2”; `otherwise` for all other words."""
    low = word.lower()
    if low in _SPELLINGS:
        return _SPELLINGS[low]
    if re.fullmatch(r"v\d[\d.]*", word):
        return word
    if re.fullmatch(r"\d+(\.\d+)?[bk]|[a-z]*3d", word):
        return otherwise[:-1] + word[-1].upper()
    found = re.fullmatch(r"([a-z]+)(\d+)", word)
    return _SPELLINGS[found[1]] + found[2] if found and found[1] in _SPELLINGS else otherwise


# What authors write before the words that matter: kinds of nodes, in every spelling.
_KINDS = frozenset({
    "text", "string", "str", "int", "float", "number", "value", "multiline", "boolean", "primitive", "node", "input",
    "load", "clip", "encode",
})  # fmt: skip
_LEADING = re.compile(r"^[^\w(]*(\d{1,2}[.):]\s+)?[^\w(]*")
_BRACKETED = re.compile(r"(?P<outer>[^()]+)\((?P<inner>.+)\)")
_DASHED = re.compile(r"(?P<outer>[^-\u2013:|]+?)\s*[-\u2013:|]\s+(?P<inner>.+)")
_PLAIN = str.maketrans("_\uff08\uff09\uff1f", " ()?")  # full-width brackets and question marks
_LOADING = re.compile(r"^(load|upload)\s+(an?\s+|the\s+|your\s+)?(?=\w)", re.IGNORECASE)


def title_of_node(title: str, *class_names: str) -> str:
    """What an author says of a node besides its class: “CLIP Text Encode (Style)” -> “Style”; "" for nothing.

    `class_names`: the class, and how it is shown.
    """
    known = _KINDS.union(*(_words(each.partition("(")[0]) for each in class_names))
    silent = {"".join(_words(each)) for each in class_names}
    words = " ".join(_LEADING.sub("", title.translate(_PLAIN)).split())
    if (found := _BRACKETED.fullmatch(words)) and set(_words(found["inner"])) <= _KINDS and _words(found["outer"]):
        words = words if set(_words(found["outer"])) <= known else found["outer"].strip()
    for shape in (_BRACKETED, _DASHED):
        found = shape.fullmatch(words) if "".join(_words(words)) not in silent else None
        if found and set(_words(found["outer"])) <= known:
            words = found["inner"].strip()
    if "".join(_words(words)) in silent:
        return ""
    words = _LOADING.sub("", words)
    return readable(words) if "_" in title or " " not in words else words[:1].upper() + words[1:]


def author_title(graph: Graph, node_id: str, spec: NodeSpec | None) -> str:
    """What the author says of that node, without what its class says; `spec` is the class."""
    class_type = graph[node_id]["class_type"]
    return title_of_node(node_title(graph, node_id), class_type, spec.display_name if spec else class_type)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+|[^\W\d_a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())
