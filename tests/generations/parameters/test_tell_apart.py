"""Models of a kind are told apart by titles or noise, or else counted."""

from __future__ import annotations

import pytest

from generations.comfy.convert import convert
from tests.comfy.official_templates import templates
from tests.generations.parameters.proposing import keys, newest, sampled, titled
from tests.support.workflows import newest_object_info


@pytest.mark.slow
def test_models_of_a_kind_are_called_by_their_noise_and_chosen_although_the_server_has_none() -> None:
    graph = convert(templates()["video_wan2_2_14B_t2v"], newest_object_info())
    proposed = newest(graph)
    models = {name: each for name, each in proposed.items() if name.startswith(("model", "lora"))}
    assert {name: each.label for name, each in models.items()} == {
        "model_low_noise": "Model (low noise)",
        "model_high_noise": "Model (high noise)",
        "lora_high_noise": "LoRA (high noise)",
        "lora_low_noise": "LoRA (low noise)",
    }
    assert {(each.type, each.is_live) for each in models.values()} == {("choice", True)}
    assert models["model_low_noise"].choices == ("wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors",)
    assert proposed["duration"].default == 5 and "expression" not in proposed


def test_models_are_called_by_the_titles_of_their_loaders_or_else_counted() -> None:
    def loras(*titles: str) -> list[str]:
        graph = sampled()
        for at, title in enumerate(titles):
            before = [f"l{at - 1}" if at else "ckpt", 0]
            graph[f"l{at}"] = titled(
                "LoraLoaderModelOnly", title, model=before, lora_name=f"{at}.pt", strength_model=1.0
            )
            graph["k"]["inputs"]["model"] = [f"l{at}", 0]
        return [each.label for each in newest(graph).values() if keys(each)[0][1] == "lora_name"]

    assert loras("Faces", "Hands") == ["LoRA (Faces)", "LoRA (Hands)"]
    assert loras("Load LoRA", "Load LoRA") == ["LoRA", "LoRA 2"]
    assert loras("lora_face") == ["LoRA"]
