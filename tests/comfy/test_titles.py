"""Names of files become titles for people."""

from __future__ import annotations

import pytest

from generations.comfy import titles
from generations.comfy.titles import title_from_name, title_of_node


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("cats.png", "Cats"),
        ("t_lora.ui.json", "T LoRA"),
        ("t_lora.ui (2).json", "T LoRA"),
        ("portraits/t_lora.ui - Copy.json", "T LoRA"),
        ("flux-dev.template.json", "Flux Dev"),
        ("Wan2.2 I2V.app.json", "Wan2.2 I2V"),
        ("SDXL 1.0 - refiner.JSON", "SDXL 1.0 - refiner"),
        ("C:\\work\\My Cats.json", "My Cats"),
        ("日本語.json", "日本語"),
        ("image_z_image_turbo.json", "Z Image Turbo"),
        ("api_openai_gpt_image_2_t2i.json", "OpenAI GPT Image 2: text to image"),
        ("video_wan2_2_14B_t2v.json", "Wan 2.2 14B: text to video"),
        ("video_wan2_2_14B_flf2v.json", "Wan 2.2 14B: first and last frame to video"),
        ("api_kling4_r2v.json", "Kling4: reference to video"),
        ("wan2.1_fun_camera_v1.1_14b.json", "Wan 2.1 Fun Camera v1.1 14B"),
        ("template_qwen_image_illustration_lora.json", "Qwen Image Illustration LoRA"),
        ("templates-3D_logo_texture_animation.json", "3D Logo Texture Animation"),
        ("templates_mjm_image_to_3d.json", "Mjm: image to 3D"),
        ("image_to_video_wan.json", "Wan: image to video"),
        ("txt_to_image_to_video.json", "Text to image to video"),
        ("image_sdxl_simple.json", "SDXL Simple"),
        ("flux1_krea_dev.json", "Flux1 Krea Dev"),
        ("video_ltx2_i2v.json", "LTX2: image to video"),
        ("ace_step_1_5_vae.json", "Ace Step 1.5 VAE"),
        ("api_elevenLabs_text_to_speech.json", "ElevenLabs: text to speech"),
        ("3d_hunyuan3d_image_to_model.json", "Hunyuan3D: image to model"),
        ("image_edit.json", "Image Edit"),
        ("video_to_frames.json", "Video to Frames"),
        ("video_t2v.json", "Video: text to video"),
        ("t2v.json", "Text to video"),
        ("a_cat_in_the_garden.json", "A Cat in the Garden"),
        ("api_1.json", ""),
        ("video 2_2 t2v.json", "Video 2 2 t2v"),
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


def test_names_are_shown_without_what_nobody_sees_and_shortened_in_the_middle() -> None:
    assert titles.presentable("a\x1b[31m\u202eb\n.json") == "a\ufffd[31m\ufffdb\ufffd.json"
    assert titles.presentable("x" * 200) == "x" * 200
    assert titles.presentable("a" * 500 + "b" * 500) == "a" * 99 + "…" + "b" * 100
    assert titles.presentable("\udcff.json") == "\ufffd.json"


@pytest.mark.parametrize("name", ["My \x1b\u202ecat.json", "My \ufffdcat.json", "My cat\u200b.json"])
def test_titles_hold_no_controls(name: str) -> None:
    assert titles.title_from_name(name) == "My cat"
    assert titles.without_controls(f" \n{name} ") == "My cat.json"


def test_titles_keep_what_joins_letters() -> None:
    assert titles.without_controls("नम\u200cस्ते 👩\u200d🎨") == "नम\u200cस्ते 👩\u200d🎨"
