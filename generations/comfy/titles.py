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


def title_from_name(name: str) -> str:
    """A file's name, with its folders or without, as a title: “t_lora.ui (2).json” -> “T lora”.

    Words keep their case, and dots within numbers (“SD 1.5”) stay. A name that says nothing, such as “workflow.json”,
    gives way to that of its folder; "" when none says anything.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part.strip(". ")]
    return next((title for part in reversed(parts) if (title := _title(part))), "")


def _title(part: str) -> str:
    stem, longer = part.strip(), ""
    while stem != longer:
        longer, stem = stem, _COPY.sub("", _ENDINGS.sub("", stem)).strip()
    words = re.sub(r"(?<!\d)\.|\.(?!\d)|[_\s]+|(?<=\w)-+(?=\w)|^-+|-+$", " ", stem)
    title = " ".join(words.split())
    return "" if _SAYS_NOTHING.fullmatch(title) else title[:1].upper() + title[1:]


# What authors write before the words that matter: kinds of nodes, in every spelling.
_KINDS = frozenset({
    "text", "string", "str", "int", "float", "number", "value", "multiline", "primitive", "node", "input", "load",
    "clip", "encode",
})  # fmt: skip
_LEADING = re.compile(r"^[^\w(]*(\d{1,2}[.):]\s+)?[^\w(]*")
_BRACKETED = re.compile(r"(?P<outer>[^()]+)\((?P<inner>.+)\)")
_DASHED = re.compile(r"(?P<outer>[^-\u2013:|]+?)\s*[-\u2013:|]\s+(?P<inner>.+)")
_LOADING = re.compile(r"^(load|upload)\s+(an?\s+|the\s+|your\s+)?(?=\w)", re.IGNORECASE)


def title_of_node(title: str, *class_names: str) -> str:
    """What an author says of a node besides its class: “CLIP Text Encode (Style)” -> “Style”; "" for nothing.

    `class_names`: the class, and how it is shown.
    """
    known = _KINDS.union(*(_words(each.partition("(")[0]) for each in class_names))
    silent = {"".join(_words(each)) for each in class_names}
    words = " ".join(_LEADING.sub("", title.replace("_", " ")).split())
    for shape in (_BRACKETED, _DASHED):
        found = shape.fullmatch(words) if "".join(_words(words)) not in silent else None
        if found and set(_words(found["outer"])) <= known:
            words = found["inner"].strip()
    if "".join(_words(words)) in silent:
        return ""
    words = _LOADING.sub("", words)
    return words[:1].upper() + words[1:]


def author_title(graph: Graph, node_id: str, spec: NodeSpec | None) -> str:
    """What the author says of that node, without what its class says; `spec` is the class."""
    class_type = graph[node_id]["class_type"]
    return title_of_node(node_title(graph, node_id), class_type, spec.display_name if spec else class_type)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+|[^\W\d_a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())
