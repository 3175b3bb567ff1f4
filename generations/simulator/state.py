"""What a server has while it runs: nodes, models, the queue and its worker, its clients, and the faults it acts out."""

from __future__ import annotations

import shutil
from pathlib import Path

from generations.simulator.announcer import Announcer
from generations.simulator.execution import Worker
from generations.simulator.faults import Faults
from generations.simulator.files import Files
from generations.simulator.installation import Installation
from generations.simulator.nodes import REGISTRY
from generations.simulator.nodes.base import Environment, Node
from generations.simulator.profiles import PROFILES
from generations.simulator.prompt_queue import PromptQueue
from generations.simulator.recording import Recording
from generations.simulator.sockets import Sockets

MODELS = {
    "checkpoints": [
        "dreamshaper_8.safetensors",
        "sd_xl_base_1.0.safetensors",
        "v1-5-pruned-emaonly-fp16.safetensors",
        "v1-5-pruned-emaonly.safetensors",
    ],
    "loras": ["more_detail.safetensors", "watercolor.safetensors"],
    "upscale_models": ["RealESRGAN_x4plus.pth"],
}


class State:
    """Everything of one server but its address. Its methods may be called from any thread."""

    def __init__(
        self,
        *,
        data_dir: Path,
        step_seconds: float = 0.05,
        preview_method: str = "auto",
        preview_size: int = 512,
        checkpoints: tuple[str, ...] = (),
        profile: str = "0.3.64",
        job_seconds: float = 0.0,
        installation: Installation | None = None,
        recording: Recording | None = None,
    ) -> None:
        self._recording = recording
        self.profile = PROFILES[profile]
        self._usual_models = {**MODELS, "checkpoints": sorted({*MODELS["checkpoints"], *checkpoints})}
        self.environment = Environment(data_dir, {}, step_seconds, preview_method)
        self.registry: dict[str, type[Node]] = {}
        self.install(installation or Installation())
        self.sockets = Sockets(has_feature_flags=self.profile.has_feature_flags)
        self.queue = PromptQueue(self._announce_queue)
        self.faults = self._make_faults()
        self.worker = self._make_worker(preview_size, job_seconds)
        self.files = Files(self.environment, self.faults)
        for folder in ("output", "input", "temp"):
            self.environment.folder(folder)

    def _make_faults(self) -> Faults:
        return Faults(
            actions={
                "drop_sockets": self.sockets.drop,
                "half_open": self.sockets.mute,
                "clear_queue": self.queue.clear,
                "evict_history": self.queue.clear_history,
            }
        )

    def _make_worker(self, preview_size: int, job_seconds: float) -> Worker:
        return Worker(
            registry=self.registry,
            environment=self.environment,
            queue=self.queue,
            announcer=Announcer(self.sockets, self.faults, preview_size=preview_size, profile=self.profile),
            faults=self.faults,
            job_seconds=job_seconds,
        )

    def install(self, installation: Installation) -> None:
        """Have these nodes and models from now on. Clients see it when they ask again, as after a real restart.

        ValueError for changes to nodes that it does not have.
        """
        self.environment.models.clear()
        self.environment.models.update(self._usual_models)
        self.environment.models.update({folder: list(files) for folder, files in installation.models.items()})
        usual = self._recording.registry(self.environment) if self._recording else REGISTRY
        self.registry.clear()
        self.registry.update(installation.registry(usual))

    def _announce_queue(self) -> None:
        self.sockets.publish("status", {"status": {"exec_info": {"queue_remaining": self.queue.remaining()}}})

    def restart(self) -> None:
        """What a restart of the process does: everything in memory is gone, files stay, clients are cut off."""
        self.queue.restart()
        self.worker.forget()
        self.wipe_temp()
        self.sockets.drop()

    def wipe_temp(self) -> None:
        """Delete temporary files, as ComfyUI does when it starts."""
        shutil.rmtree(self.environment.folder("temp"), ignore_errors=True)
        self.environment.folder("temp")
