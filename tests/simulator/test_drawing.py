"""The pictures of the simulator: the same for the same request, others for others, and quick."""

from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from generations.simulator import drawing

PROMPTS = {
    "_hills": "golden mountains",
    "_waves": "ocean waves",
    "_ribbons": "abstract ink",
    "_aurora": "the night sky",
    "_planet": "a planet",
    "_orbs": "neon city",
}


def distance(one: Image.Image, two: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(one, two)).mean)


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("size", [(16, 16), (64, 64), (512, 512), (512, 768), (1024, 64)])
def test_every_scene_fills_any_size_and_repeats_itself(prompt: str, size: tuple[int, int]) -> None:
    picture = drawing.paint(size, seed=1, prompt=prompt)
    assert (picture.mode, picture.size) == ("RGB", size)
    assert picture.tobytes() == drawing.paint(size, seed=1, prompt=prompt).tobytes()
    assert max(ImageStat.Stat(picture).stddev) > 4


@pytest.mark.parametrize("scene", drawing.SCENES)
def test_words_choose_the_scene(scene: drawing.Scene) -> None:
    assert drawing._scene(PROMPTS[scene.__name__].split()) is scene


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 2},
        {"seed": 1 + 2**64},
        {"prompt": "a blue bird"},
        {"negative": "watermark"},
        {"style": "other.safetensors"},
        {"contrast": 2.0},
        {"steps": 2},
    ],
    ids=lambda other: next(iter(other)),
)
def test_everything_that_goes_in_changes_the_picture(other: dict[str, Any]) -> None:
    base = {
        "seed": 1,
        "prompt": "a red fox",
        "negative": "",
        "style": "model.safetensors",
        "contrast": 8.0,
        "steps": 20,
    }
    one = drawing.paint((128, 128), **base)
    two = drawing.paint((128, 128), **(base | other))
    assert one.tobytes() != two.tobytes()


@pytest.mark.parametrize(("color", "band"), [("red", 0), ("green", 1), ("blue", 2)])
def test_colours_that_the_prompt_names_prevail(color: str, band: int) -> None:
    means = ImageStat.Stat(drawing.paint((128, 128), seed=3, prompt=f"{color} hills")).mean
    assert means[band] == max(means)


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_a_sketch_shows_the_same_composition_as_the_picture(prompt: str) -> None:
    picture = drawing.paint((512, 512), seed=1, prompt=prompt).resize((128, 128))
    sketch = drawing.paint((128, 128), seed=1, prompt=prompt)
    other = drawing.paint((128, 128), seed=2, prompt=prompt)
    assert distance(picture, sketch) < distance(picture, other) / 1.5


def test_noise_repeats_itself_and_is_noisy() -> None:
    noise = drawing.noise((65, 33), 7)
    assert noise.size == (65, 33)
    assert noise.tobytes() == drawing.noise((65, 33), 7).tobytes() != drawing.noise((65, 33), 8).tobytes()
    assert min(ImageStat.Stat(noise).stddev) > 50
