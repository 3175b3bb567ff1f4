"""Which files are accepted for which inputs, and what is said of the others."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image, PngImagePlugin

from accounts.models import ApiKey
from generations.comfy import decoders, pictures
from generations.files import accepting, assets, storage
from generations.lifecycle import services
from generations.models import Asset
from generations.parameters.validate import InvalidInputs
from generations.relay import submit
from tests.support import bombs
from tests.support.factories import make_asset, make_server, make_template, parameter, txt2img_graph, version_of
from tests.support.pictures import picture

pytestmark = pytest.mark.django_db(transaction=True)

FILES = Path(__file__).parents[2] / "comfy" / "media"


def upload(user: Any, name: str, content: bytes) -> Asset:
    return assets.upload(user=user, file=SimpleUploadedFile(name, content))


def video(*, is_silent: bool) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        pictures = container.add_stream("mpeg4", rate=4)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound: Any = None if is_silent else container.add_stream("aac", rate=48000, layout="mono")
        for packet in [*pictures.encode(av.VideoFrame(64, 48, "yuv420p")), *pictures.encode()]:
            container.mux(packet)
        if sound is not None:
            silence = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            silence.planes[0].update(bytes(silence.planes[0].buffer_size))
            silence.sample_rate = 48000
            for packet in [*sound.encode(silence), *sound.encode()]:
                container.mux(packet)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content_type", "extension"),
    [
        ("voice_isom.m4a", "audio/mp4", "m4a"),
        ("voice_M4A_brand.m4a", "audio/mp4", "m4a"),
        ("recorded_in_browser.webm", "audio/webm", "webm"),
        ("voice.mka", "audio/x-matroska", "mka"),
        ("voice.opus", "audio/ogg", "ogg"),
        ("voice.aac", "audio/aac", "aac"),
    ],
)
def test_sound_is_sound_whatever_container_it_comes_in(
    owner: Any, name: str, content_type: str, extension: str
) -> None:
    asset = upload(owner, name, (FILES / name).read_bytes())
    assert (asset.content_type, submit.extension_of(asset)) == (content_type, extension)
    assert asset.content_type in storage.INLINE_TYPES
    assert accepting.why_not(asset, "audio") == ""
    assert accepting.why_not(asset, "video") == f"Choose a video: MP4, MOV, WebM or MKV. This file is {content_type}."


def test_a_video_with_sound_serves_as_sound_and_a_silent_one_does_not(owner: Any) -> None:
    speaking = upload(owner, "a.mp4", video(is_silent=False))
    silent = upload(owner, "b.mp4", video(is_silent=True))
    assert (speaking.content_type, speaking.has_audio) == ("video/mp4", True)
    assert (silent.content_type, silent.has_audio) == ("video/mp4", False)
    assert accepting.why_not(speaking, "audio") == ""
    assert accepting.why_not(silent, "audio") == "This video has no sound."
    assert [accepting.why_not(each, "video") for each in (speaking, silent)] == ["", ""]
    assert speaking.thumbnail_key


def test_a_video_of_before_may_have_sound(owner: Any) -> None:
    assert accepting.why_not(make_asset(owner, content_type="video/mp4", has_audio=None), "audio") == ""


def test_the_same_bytes_again_have_the_same_sound(owner: Any) -> None:
    content = video(is_silent=True)
    upload(owner, "a.mp4", content)
    again = upload(owner, "b.mp4", content)
    assert again.has_audio is False


@pytest.mark.parametrize(
    ("kind", "mode"), [("BMP", "RGB"), ("TIFF", "RGB"), ("TIFF", "I;16"), ("TIFF", "CMYK"), ("BMP", "1")]
)
def test_bmp_and_tiff_become_pngs(owner: Any, kind: str, mode: str) -> None:
    asset = upload(owner, f"my.photo.{kind.lower()}", picture(kind, mode))
    assert (asset.name, asset.content_type, asset.width, asset.height) == ("my.photo.png", "image/png", 40, 30)
    with storage.open_key(asset.key) as file, Image.open(file) as image:
        assert (image.format, image.mode) == ("PNG", "RGB" if mode == "CMYK" else mode)
    assert accepting.why_not(asset, "image") == ""


def heic(brand: bytes) -> bytes:
    return (28).to_bytes(4) + b"ftyp" + brand + bytes(4) + b"mif1heicmiaf"[:12] + b"rest of the file" * 20


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (heic(b"heic"), "HEIC file, which ComfyUI does not read. Save it as JPEG or PNG"),
        (heic(b"heix"), "HEIC"),
        (heic(b"mif1"), "HEIC"),
        (bombs.icon(bombs.png(16, 16)), r"image/x-icon\) cannot be used. Use PNG, JPEG"),
        (picture("TIFF", "F"), "32 bits for each value"),
        (picture("TIFF", save_all=True, append_images=[Image.new("RGB", (40, 30))]), "2 pictures in it"),
        (picture("PNG")[:40], "This picture is damaged or cut off"),
        (video(is_silent=True)[:60], "This video is damaged or cut off"),
        (bombs.session_as_flv(45678), r"video/x-flv\) cannot be used. Use MP4, MOV, WebM or MKV"),
        (bombs.png(20_000, 4_000, colors=1), "more than 64 megapixels"),
        (b"just text", "Choose a picture, a video or a sound"),
        (b"", "empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_what_cannot_be_used_is_refused_with_the_reason(owner: Any, content: bytes, words: str) -> None:
    with pytest.raises(accepting.InvalidUploadError, match=words):
        upload(owner, "file", content)
    assert not Asset.objects.exists()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("image", "Choose a picture: PNG, JPEG, WebP, GIF, AVIF, BMP or TIFF."),
        ("mask", "Choose a picture: PNG"),
        ("video", "Choose a video: MP4, MOV"),
        ("audio", "Choose a sound: MP3, WAV"),
    ],
)
def test_a_file_of_another_sort_is_refused_with_what_the_input_takes(owner: Any, kind: str, words: str) -> None:
    with pytest.raises(accepting.InvalidUploadError, match=words):
        assets.upload(user=owner, file=SimpleUploadedFile("notes.txt", b"just text"), kind=kind)


def noise(kind: str, size: tuple[int, int] = (200, 150)) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("is_medium", [True, False])
def test_a_picture_that_is_cut_off_behind_its_header_is_refused_and_nothing_is_kept(
    owner: Any, kind: str, is_medium: bool, media_root: Path
) -> None:
    content = noise(kind)
    file = SimpleUploadedFile("a", content[: len(content) * 2 // 3])
    converted = kind in {"BMP", "TIFF"} and is_medium
    with pytest.raises(accepting.InvalidUploadError, match="is damaged" if converted else "damaged or cut off. Open"):
        assets.add(user=owner, file=file, is_medium=is_medium)
    assert not Asset.objects.exists()
    assert not [path for path in media_root.rglob("*") if path.is_file()]
    assert assets.upload(user=owner, file=SimpleUploadedFile("a", content)).thumbnail_key


@pytest.mark.parametrize(
    "error", [decoders.BusyError(), decoders.UndecodableError("slow"), decoders.UnusableError("x")]
)
def test_a_picture_is_kept_when_only_its_thumbnail_could_not_be_made(
    owner: Any, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = decoders.ask

    def refuse(operation: str, *args: Any) -> Any:
        if operation == "thumbnail":
            raise error
        return ask(operation, *args)

    monkeypatch.setattr(decoders, "ask", refuse)
    assert upload(owner, "a.png", noise("PNG")).thumbnail_key == ""


def test_each_picture_is_decoded_once(owner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, asked = decoders.ask, []

    def count(operation: str, *args: Any) -> Any:
        asked.append(operation)
        return ask(operation, *args)

    monkeypatch.setattr(decoders, "ask", count)
    upload(owner, "a.png", noise("PNG"))
    assert asked == ["measure", "thumbnail"]


def test_want_of_memory_is_not_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (MemoryError(), OSError("out of memory error when reading image file")):

        def fail(_image: Any, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
        with pytest.raises(type(error)):
            pictures.thumbnail(io.BytesIO(noise("PNG")), "PNG")


def test_an_avif_with_the_brand_of_heic_is_an_avif(owner: Any) -> None:
    content = picture("AVIF")
    assert upload(owner, "a.avif", content[:8] + b"mif1" + content[12:]).content_type == "image/avif"


def test_files_kept_as_they_are_serve_only_the_inputs_that_can_read_them(owner: Any) -> None:
    """Programs keep any file as an asset; what a picture's input takes is decided when it is used."""

    def kept(content: bytes) -> Asset:
        return assets.add(user=owner, file=SimpleUploadedFile("a", content))[0]

    assert accepting.why_not(kept(picture("TIFF")), "image") == ""
    assert accepting.why_not(kept(picture("BMP")), "mask") == ""
    icon = kept(bombs.icon(bombs.png(8000, 9000, colors=1)))
    assert (icon.width, icon.thumbnail_key) == (None, "")
    assert "cannot be used" in accepting.why_not(icon, "image")
    assert "HEIC" in accepting.why_not(kept(heic(b"heic")), "image")


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """All decoders have other files."""

    def refuse(*_args: Any) -> None:
        raise decoders.BusyError

    monkeypatch.setattr(decoders, "ask", refuse)


def test_while_the_decoders_are_busy_programs_are_told_when_to_come_back(owner: Any, busy: None) -> None:
    secret = ApiKey.objects.issue(user=owner, name="tests")[1]
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    response = client.post("/api/v2/assets", {"file": SimpleUploadedFile("a.png", picture("PNG"))})
    assert (response.status_code, response["Retry-After"]) == (503, "30")
    assert response.json()["error"]["code"] == "busy"
    assert not Asset.objects.exists()


def test_while_the_decoders_are_busy_the_form_says_so(owner: Any, client_for: Any, busy: None) -> None:
    graph = txt2img_graph() | {"10": {"class_type": "LoadImage", "inputs": {"image": "x.png"}}}
    make_template("picture", graph=graph, parameters=[parameter("image", "image", "10", "image", required=True)])
    form = {"image": SimpleUploadedFile("a.png", picture("PNG"))}
    response = client_for(owner).post("/templates/picture/", form)
    assert response.status_code == 422
    assert response.context["form"].errors == {"image": ["The server is busy with other files. Try again in a minute."]}


def test_a_thumbnail_that_cannot_be_made_now_costs_nothing_else(owner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = decoders.ask

    def refuse_thumbnails(operation: str, *args: Any) -> Any:
        if operation == "thumbnail":
            raise decoders.BusyError
        return ask(operation, *args)

    monkeypatch.setattr(decoders, "ask", refuse_thumbnails)
    asset = upload(owner, "a.png", picture("PNG"))
    assert (asset.width, asset.thumbnail_key) == (40, "")


def test_a_template_takes_sound_in_an_mp4(owner: Any) -> None:
    loader = {"input": {"required": {"audio": [["a.wav"], {"audio_upload": True}]}}}
    saver = {"input": {"required": {"audio": ["AUDIO"], "filename_prefix": ["STRING", {}]}}}
    make_server(object_info={"LoadAudio": loader, "SaveAudio": {**saver, "output_node": True}})
    graph = {
        "1": {"class_type": "LoadAudio", "inputs": {"audio": "a.wav"}},
        "2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "audio/x"}},
    }
    definitions = [parameter("audio", "audio", "1", "audio", required=True)]
    version = version_of(make_template("sound", graph=graph, parameters=definitions))
    voice = upload(owner, "voice.m4a", (FILES / "voice_isom.m4a").read_bytes())
    generation = services.submit(user=owner, version=version, inputs={"audio": str(voice.pk)})
    assert list(generation.input_assets.all()) == [voice]
    silent = upload(owner, "b.mp4", video(is_silent=True))
    with pytest.raises(InvalidInputs) as refusal:
        services.submit(user=owner, version=version, inputs={"audio": str(silent.pk)})
    assert refusal.value.errors == {"audio": ["This video has no sound."]}
