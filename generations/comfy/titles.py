"""Titles for people, made from the names of files."""

from __future__ import annotations

import re

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
