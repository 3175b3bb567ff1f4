"""Video and sound, encoded for real through PyAV, which is imported only when it is needed: it is slow to load."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from generations.simulator.nodes.base import Context, Node, Result, register
from generations.simulator.nodes.saving import SAVE_HIDDEN, metadata, next_file

SAMPLES_PER_FRAME = 4096
LAYOUTS = {1: "mono", 2: "stereo"}


@dataclass(frozen=True, slots=True)
class Audio:
    """Silence of `seconds`."""

    seconds: float
    sample_rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class Video:
    """Pictures at a rate."""

    pictures: tuple[Image.Image, ...]
    fps: float
    audio: Audio | None


@register
class CreateVideo(Node):
    """Pictures become frames."""

    class_type, display_name, category = "CreateVideo", "Create Video", "image/video"
    python_module, is_v3 = "comfy_extras.nodes_video", True
    required = {"images": ("IMAGE", {}), "fps": ("FLOAT", {"default": 30.0, "min": 1.0, "max": 120.0, "step": 1.0})}
    optional = {"audio": ("AUDIO", {})}
    returns = ("VIDEO",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((Video(tuple(inputs["images"]), inputs["fps"], inputs.get("audio")),))


@register
class SaveVideo(Node):
    """An mp4 file."""

    class_type, display_name, category = "SaveVideo", "Save Video", "image/video"
    python_module, is_output, is_v3 = "comfy_extras.nodes_video", True, True
    required = {
        "video": ("VIDEO", {}),
        "filename_prefix": ("STRING", {"default": "video/ComfyUI", "multiline": False}),
        "format": ("COMBO", {"default": "auto", "multiselect": False, "options": ["auto", "mp4"]}),
        "codec": ("COMBO", {"default": "auto", "multiselect": False, "options": ["auto", "h264"]}),
    }
    hidden = {"prompt": ["PROMPT"], "extra_pnginfo": ["EXTRA_PNGINFO"]}

    def run(self, context: Context, **inputs: Any) -> Result:
        video: Video = inputs["video"]
        base = context.environment.folder("output")
        directory, name, subfolder, number = next_file(base, inputs["filename_prefix"], video.pictures[0].size)
        filename = f"{name}_{number:05}_.mp4"
        _write_mp4(directory / filename, video, metadata(context))
        saved = {"filename": filename, "subfolder": subfolder, "type": "output"}
        return Result((), {"images": [saved], "animated": [True]})


def _write_mp4(path: Path, video: Video, tags: dict[str, str]) -> None:
    import av

    width, height = (side - side % 2 or 2 for side in video.pictures[0].size)
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata.update(tags)
        stream: Any = container.add_stream("h264", rate=Fraction(round(video.fps * 1000), 1000))
        sound: Any = _sound_stream(container, "aac", video.audio) if video.audio else None
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        to_frame: Any = av.VideoFrame.from_image  # untyped in PyAV
        for picture in video.pictures:
            container.mux(stream.encode(to_frame(picture.convert("RGB").resize((width, height)))))
        container.mux(stream.encode())
        if video.audio:
            _write_silence(container, sound, video.audio)


@register
class EmptyAudio(Node):
    """Silence."""

    class_type, display_name, category = "EmptyAudio", "Empty Audio", "audio"
    python_module = "comfy_extras.nodes_audio"
    required = {
        "duration": ("FLOAT", {"default": 60.0, "min": 0.0, "max": 2**64 - 1, "step": 0.01}),
        "sample_rate": ("INT", {"default": 44100}),
        "channels": ("INT", {"default": 2, "min": 1, "max": 2}),
    }
    returns = ("AUDIO",)

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((Audio(inputs["duration"], inputs["sample_rate"], inputs["channels"]),))


@register
class SaveAudio(Node):
    """A FLAC file."""

    class_type, display_name, category = "SaveAudio", "Save Audio (FLAC)", "audio"
    python_module, is_output = "comfy_extras.nodes_audio", True
    required = {"audio": ("AUDIO",), "filename_prefix": ("STRING", {"default": "audio/ComfyUI"})}
    hidden = SAVE_HIDDEN

    def run(self, context: Context, **inputs: Any) -> Result:
        base = context.environment.folder("output")
        directory, name, subfolder, number = next_file(base, inputs["filename_prefix"], (0, 0))
        filename = f"{name}_{number:05}_.flac"
        _write_flac(directory / filename, inputs["audio"], metadata(context))
        return Result((), {"audio": [{"filename": filename, "subfolder": subfolder, "type": "output"}]})


def _write_flac(path: Path, audio: Audio, tags: dict[str, str]) -> None:
    import av

    with av.open(str(path), "w", format="flac") as container:
        container.metadata.update(tags)
        _write_silence(container, _sound_stream(container, "flac", audio), audio)


def _sound_stream(container: Any, codec: str, audio: Audio) -> Any:
    return container.add_stream(codec, rate=audio.sample_rate, layout=LAYOUTS[audio.channels])


def _write_silence(container: Any, stream: Any, audio: Audio) -> None:
    import av

    total = max(1, round(audio.seconds * audio.sample_rate))
    for start in range(0, total, SAMPLES_PER_FRAME):
        frame: Any = av.AudioFrame(
            format="s16", layout=LAYOUTS[audio.channels], samples=min(SAMPLES_PER_FRAME, total - start)
        )
        frame.sample_rate, frame.pts = audio.sample_rate, start
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
