"""Names of files become titles for people."""

from __future__ import annotations

import pytest

from generations.comfy.titles import title_from_name, title_of_node


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("cats.png", "Cats"),
        ("t_lora.ui.json", "T lora"),
        ("t_lora.ui (2).json", "T lora"),
        ("portraits/t_lora.ui - Copy.json", "T lora"),
        ("flux-dev.template.json", "Flux dev"),
        ("Wan2.2 I2V.app.json", "Wan2.2 I2V"),
        ("SDXL 1.0 - refiner.JSON", "SDXL 1.0 - refiner"),
        ("C:\\work\\My Cats.json", "My Cats"),
        ("日本語.json", "日本語"),
        ("portraits/workflow.json", "Portraits"),
        ("workflow.json", ""),
        ("Unsaved Workflow (3).json", ""),
        ("ComfyUI_00012_.png", ""),
        ("./.json", ""),
        ("", ""),
    ],
)
def test_title_is_what_the_name_says(name: str, title: str) -> None:
    assert title_from_name(name) == title


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("CLIP Text Encode (Positive Prompt)", "Positive Prompt"),
        ("CLIP Text Encode (Prompt)", ""),
        ("CLIPTextEncode", ""),
        ("clip text encode (prompt)", ""),
        ("Text String (User Prompt)", "User Prompt"),
        ("String (Multiline - Style)", "Style"),
        ("CLIP Text Encode - background", "Background"),
        ("object_prompt", "Object prompt"),
        ("✨ 2. What to paint", "What to paint"),
        ("Prompt - No LoRA", "Prompt - No LoRA"),
        ("Describe the product (short)", "Describe the product (short)"),
        ("提示词", "提示词"),
        ("2x", "2x"),
        ("Load Subject Image", "Subject Image"),
        ("  ", ""),
    ],
)
def test_title_of_a_node_is_what_its_author_says_besides_the_class(title: str, words: str) -> None:
    assert title_of_node(title, "CLIPTextEncode", "CLIP Text Encode (Prompt)") == words
