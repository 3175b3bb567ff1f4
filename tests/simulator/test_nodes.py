"""The simulator's nodes: ComfyUI's schemas, and files that other programs can read."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from generations.simulator.nodes import REGISTRY
from generations.simulator.nodes.base import Context, Environment, Interrupted, Preview, Result

PROMPT = {"1": {"class_type": "KSampler", "inputs": {"text": "ein Füchschen"}}}
WORKFLOW = {"nodes": [{"id": 1}]}
SAMPLER = {
    "seed": 5, "steps": 6, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
}  # fmt: skip
# Classes with the inputs of their /object_info entries, required first, then "|" and the optional ones.
EXPECTED = {
    "CheckpointLoaderSimple": ("ckpt_name", "MODEL CLIP VAE"),
    "LoraLoader": ("model clip lora_name strength_model strength_clip", "MODEL CLIP"),
    "VAELoader": ("vae_name", "VAE"),
    "CLIPTextEncode": ("text clip", "CONDITIONING"),
    "CLIPSetLastLayer": ("clip stop_at_clip_layer", "CLIP"),
    "ConditioningCombine": ("conditioning_1 conditioning_2", "CONDITIONING"),
    "EmptyLatentImage": ("width height batch_size", "LATENT"),
    "KSampler": (
        "model seed steps cfg sampler_name scheduler positive negative latent_image denoise",
        "LATENT",
    ),
    "VAEDecode": ("samples vae", "IMAGE"),
    "VAEEncode": ("pixels vae", "LATENT"),
    "VAEEncodeForInpaint": ("pixels vae mask grow_mask_by", "LATENT"),
    "LatentUpscale": ("samples upscale_method width height crop", "LATENT"),
    "LoadImage": ("image", "IMAGE MASK"),
    "LoadImageMask": ("image channel", "MASK"),
    "ImageScale": ("image upscale_method width height crop", "IMAGE"),
    "ImageScaleBy": ("image upscale_method scale_by", "IMAGE"),
    "UpscaleModelLoader": ("model_name", "UPSCALE_MODEL"),
    "ImageUpscaleWithModel": ("upscale_model image", "IMAGE"),
    "ImageCrop": ("image width height x y", "IMAGE"),
    "ImageBlend": ("image1 image2 blend_factor blend_mode", "IMAGE"),
    "ImageInvert": ("image", "IMAGE"),
    "ImageBlur": ("image blur_radius sigma", "IMAGE"),
    "ImageBatch": ("image1 image2", "IMAGE"),
    "EmptyImage": ("width height batch_size color", "IMAGE"),
    "SaveImage": ("images filename_prefix", ""),
    "PreviewImage": ("images", ""),
    "SaveAnimatedWEBP": ("images filename_prefix fps lossless quality method", ""),
    "SaveAnimatedPNG": ("images filename_prefix fps compress_level", ""),
    "SaveImageWebsocket": ("images", ""),
    "CreateVideo": ("images fps | audio", "VIDEO"),
    "SaveVideo": ("video filename_prefix format codec", ""),
    "EmptyAudio": ("duration sample_rate channels", "AUDIO"),
    "SaveAudio": ("audio filename_prefix", ""),
    "StringConcatenate": ("string_a string_b delimiter", "STRING"),
    "PrimitiveString": ("value", "STRING"),
    "PrimitiveStringMultiline": ("value", "STRING"),
    "PrimitiveInt": ("value", "INT"),
    "PrimitiveFloat": ("value", "FLOAT"),
    "PrimitiveBoolean": ("value", "BOOLEAN"),
    "PreviewAny": ("source", ""),
}


@dataclass
class Bench:
    """Runs nodes without a server, and keeps what they report."""

    environment: Environment
    reports: list[tuple[float, float, Preview | None]] = field(default_factory=list)
    check_interrupted: Callable[[], None] = lambda: None

    def run(self, class_type: str, **inputs: Any) -> Result:
        context = Context(
            environment=self.environment,
            node_id="1",
            prompt=PROMPT,
            extra_pnginfo={"workflow": WORKFLOW},
            progress=lambda *report: self.reports.append(report),
            check_interrupted=self.check_interrupted,
        )
        return REGISTRY[class_type]().run(context, **inputs)

    def get(self, class_type: str, **inputs: Any) -> Any:
        return self.run(class_type, **inputs).outputs[0]

    def ui(self, class_type: str, **inputs: Any) -> dict[str, Any]:
        shown = self.run(class_type, **inputs).ui
        assert shown is not None
        return shown

    def sample(self, *, latent: Any = None, **changes: Any) -> Any:
        model, clip, vae = self.run("CheckpointLoaderSimple", ckpt_name="dream.safetensors").outputs
        latent = latent or self.get("EmptyLatentImage", width=64, height=48, batch_size=1)
        samples = self.get(
            "KSampler",
            model=model,
            positive=self.get("CLIPTextEncode", text=changes.pop("text", "a red fox"), clip=clip),
            negative=self.get("CLIPTextEncode", text="watermark", clip=clip),
            latent_image=latent,
            **{**SAMPLER, **changes},
        )
        return self.get("VAEDecode", samples=samples, vae=vae)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    models = {
        "checkpoints": ["dream.safetensors"],
        "loras": ["ink.safetensors"],
        "vae": ["pixel_space"],
        "upscale_models": ["RealESRGAN_x2.pth"],
    }
    return Bench(Environment(data_dir=tmp_path, models=models, step_seconds=0.0))


def plain(color: str = "#336699", size: tuple[int, int] = (32, 24)) -> Image.Image:
    return Image.new("RGB", size, color)


def distance(one: Image.Image, two: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(one, two)).mean)


def test_upscale_model_makes_it_larger_and_keeps_the_picture(bench: Bench) -> None:
    model = bench.get("UpscaleModelLoader", model_name="RealESRGAN_x2.pth")
    larger = bench.get("ImageUpscaleWithModel", upscale_model=model, image=[plain("red"), plain("blue")])
    assert [each.size for each in larger] == [(64, 48), (64, 48)]
    assert larger[1].getpixel((5, 5)) == (0, 0, 255)


# ------------------------------------------------------------------------------------------------- schemas
def test_there_are_no_other_nodes() -> None:
    assert set(REGISTRY) == set(EXPECTED)
    assert all(name == node.class_type for name, node in REGISTRY.items())


@pytest.mark.parametrize("name", EXPECTED)
def test_inputs_and_outputs_are_those_of_comfyui_in_order(bench: Bench, name: str) -> None:
    inputs, returns = EXPECTED[name]
    required, _, optional = inputs.partition("|")
    specs = REGISTRY[name].input_specs(bench.environment)
    assert list(specs["required"]) == required.split()
    assert list(specs["optional"]) == optional.split()
    assert list(REGISTRY[name].returns) == returns.split()
    assert REGISTRY[name].is_output is (not returns)
    json.dumps([specs["required"], specs["optional"], REGISTRY[name].hidden])


def test_the_sampler_has_comfyuis_bounds() -> None:
    required = REGISTRY["KSampler"].required
    assert required["seed"] == ("INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True})
    assert required["steps"] == ("INT", {"default": 20, "min": 1, "max": 10000})
    assert required["cfg"] == ("FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01})
    assert required["denoise"] == ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01})
    assert (len(required["sampler_name"][0]), required["sampler_name"][0][0]) == (42, "euler")
    assert (len(required["scheduler"][0]), required["scheduler"][0][0]) == (9, "simple")


def test_lists_are_live(bench: Bench) -> None:
    folder = bench.environment.folder("input")
    plain().save(folder / "b.png")
    (folder / "notes.txt").write_text("no picture")
    plain().save(folder / "a.png")
    bench.environment.models["checkpoints"].append("later.safetensors")
    assert REGISTRY["LoadImage"].input_specs(bench.environment)["required"] == {
        "image": (["a.png", "b.png"], {"image_upload": True})
    }
    checkpoints = REGISTRY["CheckpointLoaderSimple"].input_specs(bench.environment)["required"]["ckpt_name"][0]
    assert list(checkpoints) == ["dream.safetensors", "later.safetensors"]


# ------------------------------------------------------------------------------------------------- sampling
def test_a_seed_gives_the_same_bytes_and_another_one_does_not(bench: Bench) -> None:
    (one,), (again,), (other,) = bench.sample(), bench.sample(), bench.sample(seed=6)
    assert one.size == (64, 48)
    assert one.tobytes() == again.tobytes() != other.tobytes()


def test_the_pictures_of_a_batch_differ_from_each_other_and_from_the_next_seed(bench: Bench) -> None:
    latent = bench.get("EmptyLatentImage", width=64, height=64, batch_size=3)
    pictures = [*bench.sample(latent=latent), *bench.sample(latent=latent, seed=6)]
    assert len({picture.tobytes() for picture in pictures}) == 6


def test_every_step_is_reported_and_previews_turn_from_noise_into_the_picture(bench: Bench) -> None:
    latent = bench.get("EmptyLatentImage", width=512, height=256, batch_size=1)
    (picture,) = bench.sample(latent=latent)
    assert [report[:2] for report in bench.reports] == [(step, 6) for step in range(1, 7)]
    previews = [preview.image for _, _, preview in bench.reports if preview is not None]
    assert [preview.size for preview in previews] == [(128, 64)] * 6
    small = picture.resize((128, 64))
    distances = [distance(preview, small) for preview in previews]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < distances[0] / 4


def test_no_previews_where_the_server_shows_none(bench: Bench) -> None:
    bench.environment.preview_method = "none"
    bench.sample()
    assert [preview for _, _, preview in bench.reports] == [None] * 6


def test_a_step_that_takes_long_can_be_interrupted(bench: Bench) -> None:
    def interrupt() -> None:
        raise Interrupted

    bench.environment.step_seconds = 60.0
    bench.check_interrupted = interrupt
    with pytest.raises(Interrupted):
        bench.sample()
    assert bench.reports == []


def test_less_denoise_keeps_more_of_the_picture(bench: Bench) -> None:
    original = plain(size=(64, 64))
    latent = bench.get("VAEEncode", pixels=[original], vae=None)
    kept = [distance(bench.sample(latent=latent, denoise=share)[0], original) for share in (0.0, 0.3, 0.7, 1.0)]
    assert kept[0] == 0
    assert kept == sorted(kept)
    assert (
        bench.sample(latent=latent)[0].tobytes()
        == bench.sample(latent=bench.get("EmptyLatentImage", width=64, height=64, batch_size=1))[0].tobytes()
    )


def test_inpainting_leaves_what_the_mask_leaves(bench: Bench) -> None:
    original, mask = plain(size=(64, 64)), Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 20, 64))
    latent = bench.get("VAEEncodeForInpaint", pixels=[original], vae=None, mask=[mask], grow_mask_by=6)
    (painted,) = bench.sample(latent=latent)
    right, left = (24, 0, 64, 64), (0, 0, 22, 64)
    assert painted.crop(right).tobytes() == original.crop(right).tobytes()
    assert distance(painted.crop(left), original.crop(left)) > 10


def test_sides_become_multiples_of_eight_in_a_latent(bench: Bench) -> None:
    latent = bench.get("VAEEncode", pixels=[plain(size=(101, 50))] * 2, vae=None)
    assert (latent.width, latent.height, latent.batch_size) == (96, 48, 2)


@pytest.mark.parametrize(("wanted", "size"), [((128, 0), (128, 96)), ((0, 24), (32, 24)), ((0, 0), (64, 48))])
@pytest.mark.parametrize("crop", ["disabled", "center"])
def test_latents_scale_with_or_without_pictures(
    bench: Bench, wanted: tuple[int, int], size: tuple[int, int], crop: str
) -> None:
    empty = bench.get("EmptyLatentImage", width=64, height=48, batch_size=1)
    full = bench.get("VAEEncode", pixels=[plain(size=(64, 48))], vae=None)
    for latent in (empty, full):
        scaled = bench.get(
            "LatentUpscale", samples=latent, upscale_method="bislerp", width=wanted[0], height=wanted[1], crop=crop
        )
        assert bench.get("VAEDecode", samples=scaled, vae=None)[0].size == size


def test_models_and_texts_make_a_difference(bench: Bench) -> None:
    model, clip, _ = bench.run("CheckpointLoaderSimple", ckpt_name="dream.safetensors").outputs
    strengths = {"strength_model": 0.5, "strength_clip": 1.0}
    changed = bench.run("LoraLoader", model=model, clip=clip, lora_name="ink.safetensors", **strengths).outputs
    assert changed[0] != model
    assert bench.get("CLIPSetLastLayer", clip=clip, stop_at_clip_layer=-2) == clip
    assert bench.get("ConditioningCombine", conditioning_1=("a",), conditioning_2=("b",)) == ("a", "b")
    assert bench.get("VAELoader", vae_name="pixel_space").name == "pixel_space"


# ------------------------------------------------------------------------------------------------- pictures
@pytest.mark.parametrize(
    ("folder", "stored", "name"),
    [("input", "x.png", "x.png"), ("output", "x.png", "x.png [output]"), ("input", "sub/x.png", "sub/x.png")],
)
def test_pictures_load_by_their_annotated_names(bench: Bench, folder: str, stored: str, name: str) -> None:
    path = bench.environment.folder(folder) / stored
    path.parent.mkdir(exist_ok=True)
    Image.new("RGBA", (8, 4), (255, 0, 0, 55)).save(path)
    node = REGISTRY["LoadImage"]
    assert node.validate(bench.environment, {"image": name}) is None
    (picture,), (mask,) = bench.run("LoadImage", image=name).outputs
    assert (picture.mode, picture.size, picture.getpixel((0, 0))) == ("RGB", (8, 4), (255, 0, 0))
    assert (mask.mode, mask.getpixel((0, 0))) == ("L", 200)
    (red,) = bench.get("LoadImageMask", image=name, channel="red")
    assert red.getpixel((0, 0)) == 255
    before = node.fingerprint(bench.environment, {"image": name})
    plain().save(path)
    assert node.fingerprint(bench.environment, {"image": name}) != before


@pytest.mark.parametrize("name", ["x.png", "../secret.png", "/etc/passwd", "x.png [output]", ""])
def test_a_file_that_is_not_there_is_refused(bench: Bench, name: str) -> None:
    plain().save(bench.environment.data_dir / "secret.png")
    for class_type in ("LoadImage", "LoadImageMask"):
        complaint = REGISTRY[class_type].validate(bench.environment, {"image": name})
        assert complaint == f"Invalid image file: {name}"
    assert REGISTRY["LoadImage"].fingerprint(bench.environment, {"image": name}) is None


def test_an_opaque_picture_has_an_empty_mask(bench: Bench) -> None:
    plain().save(bench.environment.folder("input") / "x.png")
    (mask,) = bench.run("LoadImage", image="x.png").outputs[1]
    assert (mask.size, mask.getextrema()) == ((64, 64), (0, 0))


def test_pictures_change_as_asked(bench: Bench) -> None:
    (blue,) = bench.get("EmptyImage", width=32, height=24, batch_size=1, color=255)
    assert blue.getpixel((0, 0)) == (0, 0, 255)
    white = plain("white")
    scaling = {"upscale_method": "lanczos", "crop": "center"}
    assert bench.get("ImageScale", image=[blue], width=64, height=0, **scaling)[0].size == (64, 48)
    assert bench.get("ImageScale", image=[blue], width=10, height=10, **scaling)[0].size == (10, 10)
    assert bench.get("ImageScaleBy", image=[blue], upscale_method="area", scale_by=0.5)[0].size == (16, 12)
    assert bench.get("ImageCrop", image=[blue], width=16, height=16, x=20, y=0)[0].size == (12, 16)
    assert bench.get("ImageInvert", image=[blue])[0].getpixel((0, 0)) == (255, 255, 0)
    assert bench.get("ImageBlur", image=[blue], blur_radius=3, sigma=1.0)[0].getpixel((9, 9)) == (0, 0, 255)
    batch = bench.get("ImageBatch", image1=[blue], image2=[plain(size=(99, 9))])
    assert [one.size for one in batch] == [(32, 24), (32, 24)]
    modes = {"normal": (128, 128, 255), "multiply": (0, 0, 255), "screen": (128, 128, 255), "difference": (0, 0, 128)}
    for mode, color in modes.items():
        (mixed,) = bench.get("ImageBlend", image1=[blue], image2=[white], blend_factor=0.5, blend_mode=mode)
        assert max(abs(a - b) for a, b in zip(mixed.getpixel((0, 0)), color, strict=True)) <= 1, mode


# ------------------------------------------------------------------------------------------------- files
def test_counters_go_on_after_the_highest_number_in_the_folder(bench: Bench) -> None:
    output = bench.environment.folder("output")
    (output / "other_00090_.png").touch()
    first = bench.ui("SaveImage", images=[plain(), plain()], filename_prefix="fox")
    assert [item["filename"] for item in first["images"]] == ["fox_00001_.png", "fox_00002_.png"]
    (output / "fox_00007_.webp").touch()
    second = bench.ui("SaveImage", images=[plain()], filename_prefix="fox")
    assert second == {"images": [{"filename": "fox_00008_.png", "subfolder": "", "type": "output"}]}


def test_prefixes_hold_subfolders_and_tokens(bench: Bench) -> None:
    prefix = "%year%-%month%-%day%/a/%width%x%height%"
    (saved,) = bench.ui("SaveImage", images=[plain()], filename_prefix=prefix)["images"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d/a", saved["subfolder"])
    assert saved["filename"] == "32x24_00001_.png"
    assert (bench.environment.folder("output") / saved["subfolder"] / saved["filename"]).is_file()
    numbered = bench.ui("SaveImage", images=[plain()] * 2, filename_prefix="b%batch_num%")["images"]
    assert [item["filename"] for item in numbered] == ["b0_00001_.png", "b1_00002_.png"]


@pytest.mark.parametrize("prefix", ["../../evil", "/tmp/evil", "a/../../evil"])
def test_a_prefix_that_leaves_the_output_folder_raises(bench: Bench, prefix: str) -> None:
    start = r"^\*{4} ERROR: Saving image outside the output folder is not allowed\.\n full_output_folder: "
    with pytest.raises(Exception, match=start) as raised:
        bench.run("SaveImage", images=[plain()], filename_prefix=prefix)
    assert type(raised.value) is Exception
    lines = str(raised.value).splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == [
        " full_output_folder", "         output_dir", "         commonpath",
    ]  # fmt: skip
    assert not list(bench.environment.data_dir.parent.rglob("*evil*"))


def test_pngs_carry_the_workflow_as_ascii(bench: Bench) -> None:
    bench.run("SaveImage", images=[plain()], filename_prefix="x")
    path = bench.environment.folder("output") / "x_00001_.png"
    with Image.open(path) as image:
        image.load()
        assert list(image.text) == ["prompt", "workflow"]
        assert json.loads(image.text["prompt"]) == PROMPT
        assert json.loads(image.text["workflow"]) == WORKFLOW
        assert image.text["prompt"].isascii()
    assert path.read_bytes().count(b"tEXt") == 2


def test_previews_go_to_temp_under_letters_that_a_node_keeps(bench: Bench) -> None:
    node = REGISTRY["PreviewImage"]()
    context = Context(bench.environment, "1", PROMPT, {}, lambda *_: None, lambda: None)
    first, second = (node.run(context, images=[plain()]).ui for _ in range(2))
    assert first is not None
    assert second is not None
    name = first["images"][0]["filename"]
    assert re.fullmatch(r"ComfyUI_temp_[a-z]{5}_00001_\.png", name)
    assert second["images"] == [{"filename": name.replace("1_.", "2_."), "subfolder": "", "type": "temp"}]
    assert (bench.environment.folder("temp") / name).is_file()


@pytest.mark.parametrize("count", [1, 3])
def test_webps_move_when_there_is_more_than_one_picture(bench: Bench, count: int) -> None:
    frames = [plain(color) for color in ("red", "green", "blue")][:count]
    shown = bench.ui(
        "SaveAnimatedWEBP", images=frames, filename_prefix="anim", fps=6.0, lossless=True, quality=80, method="default"
    )
    saved = {"filename": "anim_00001_.webp", "subfolder": "", "type": "output"}
    assert shown == {"images": [saved], "animated": [count > 1]}
    with Image.open(bench.environment.folder("output") / "anim_00001_.webp") as image:
        assert image.n_frames == count
        exif = image.getexif()
        assert json.loads(exif[0x0110].removeprefix("prompt:")) == PROMPT
        assert json.loads(exif[0x010F].removeprefix("workflow:")) == WORKFLOW


def test_animated_pngs_carry_the_workflow_in_chunks_of_their_own(bench: Bench) -> None:
    frames = [plain(color) for color in ("red", "green", "blue")]
    shown = bench.ui("SaveAnimatedPNG", images=frames, filename_prefix="anim", fps=6.0, compress_level=4)
    assert shown["animated"] == [True]
    path = bench.environment.folder("output") / shown["images"][0]["filename"]
    with Image.open(path) as image:
        assert image.n_frames == 3
    assert f"comfprompt\0{json.dumps(PROMPT)}".encode() in path.read_bytes()


@pytest.mark.parametrize("has_sound", [False, True])
def test_videos_decode(bench: Bench, has_sound: bool) -> None:
    audio = bench.get("EmptyAudio", duration=0.5, sample_rate=44100, channels=2) if has_sound else None
    frames = [plain(color, (65, 48)) for color in ("red", "green", "blue", "white")]
    video = bench.get("CreateVideo", images=frames, fps=8.0, **({"audio": audio} if audio else {}))
    shown = bench.ui("SaveVideo", video=video, filename_prefix="video/clip", format="auto", codec="auto")
    saved = {"filename": "clip_00001_.mp4", "subfolder": "video", "type": "output"}
    assert shown == {"images": [saved], "animated": [True]}
    with av.open(str(bench.environment.folder("output") / "video" / "clip_00001_.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", 8)
        assert len(container.streams.audio) == int(has_sound)
        assert json.loads(container.metadata["prompt"]) == PROMPT
        assert json.loads(container.metadata["workflow"]) == WORKFLOW
        decoded = [frame.to_image() for frame in container.decode(video=0)]
    assert [frame.size for frame in decoded] == [(64, 48)] * 4
    assert distance(decoded[2], plain("blue", (64, 48))) < 30


@pytest.mark.parametrize(("seconds", "channels"), [(0.5, 2), (0.25, 1), (0.0, 1)])
def test_sound_decodes(bench: Bench, seconds: float, channels: int) -> None:
    audio = bench.get("EmptyAudio", duration=seconds, sample_rate=22050, channels=channels)
    shown = bench.ui("SaveAudio", audio=audio, filename_prefix="audio/ComfyUI")
    saved = {"filename": "ComfyUI_00001_.flac", "subfolder": "audio", "type": "output"}
    assert shown == {"audio": [saved]}
    with av.open(str(bench.environment.folder("output") / "audio" / "ComfyUI_00001_.flac")) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.channels) == ("flac", 22050, channels)
        tags = {key.lower(): value for key, value in container.metadata.items()}
        assert json.loads(tags["prompt"]) == PROMPT
        frames = [frame.samples for frame in container.decode(audio=0)]
    assert sum(frames) == max(1, round(seconds * 22050))


def test_pictures_for_the_socket_are_sent_whole_and_not_kept(bench: Bench) -> None:
    pictures = [plain("red"), plain("blue")]
    result = bench.run("SaveImageWebsocket", images=pictures)
    assert result.ui is None
    assert bench.reports == [(index, 2, Preview(picture, is_whole=True)) for index, picture in enumerate(pictures)]
    assert list(bench.environment.folder("output").iterdir()) == []


# ------------------------------------------------------------------------------------------------- text
@pytest.mark.parametrize(
    ("source", "text"),
    [("hello", "hello"), (3, "3"), (1.5, "1.5"), (True, "True"), (None, "None"), ({"a": [1]}, '{"a": [1]}')],
)
def test_anything_is_shown_as_text(bench: Bench, source: Any, text: str) -> None:
    assert bench.ui("PreviewAny", source=source) == {"text": [text]}


def test_primitives_hand_on_their_values(bench: Bench) -> None:
    values = {"String": "a", "StringMultiline": "a\nb", "Int": 2**60, "Float": 0.5, "Boolean": False}
    for kind, value in values.items():
        assert bench.get(f"Primitive{kind}", value=value) == value
    assert bench.get("StringConcatenate", string_a="a", string_b="b", delimiter=", ") == "a, b"
