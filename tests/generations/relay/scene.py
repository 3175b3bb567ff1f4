"""A relay, a simulator and a template, and what tests do with them again and again."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generations.models import ComfyServer, Generation, Status, WorkflowTemplate
from generations.relay.supervisor import Supervisor
from tests.support.factories import submit
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually, patient

Reaches = Callable[..., Generation]


@dataclass(frozen=True, slots=True)
class Scene:
    """The relay works for `simulator`, which is the server “one”."""

    relay: Supervisor
    simulator: RunningSimulator
    template: WorkflowTemplate
    reaches: Reaches

    def submit(self, **inputs: Any) -> Generation:
        """One of a user of its own."""
        return submit(self.template, **inputs)

    def running(self, **inputs: Any) -> Generation:
        """One that is held in the middle of its run, until `simulator.go_on`."""
        self.simulator.hold()
        return self.reaches(self.submit(**inputs), Status.RUNNING)

    def waiting(self, **inputs: Any) -> Generation:
        """One that the server was given."""
        return self.reaches(self.submit(**inputs), Status.SUBMITTED)

    def done(self, generation: Generation | None = None, **inputs: Any) -> Generation:
        """The given one, or a new one, once it has succeeded."""
        return self.reaches(generation or self.submit(**inputs), Status.SUCCEEDED)

    def drain(self) -> None:
        """No server gets anything new, and the relay knows."""
        ComfyServer.objects.update(is_draining=True)
        eventually(lambda: all(agent.server.is_draining for agent in self.relay._agents.values()))

    def is_idle(self) -> bool:
        """True when the simulator has nothing left to do."""
        return self.simulator.simulator.queue.remaining() == 0


def server(name: str = "one") -> ComfyServer:
    """The row as it is now."""
    return ComfyServer.objects.get(name=name)


def let_in(name: str) -> None:
    """This server gets work from now on."""
    ComfyServer.objects.filter(name=name).update(is_draining=False)


def name_of_server(generation: Generation) -> str:
    """Where it ran."""
    assert generation.server is not None
    return generation.server.name


def pictures(simulator: RunningSimulator) -> list[Path]:
    """What it has written."""
    return list((Path(simulator.data_dir) / "output").rglob("*.png"))


def post(simulator: RunningSimulator, path: str, body: dict[str, Any]) -> None:
    """What a stranger sends to it."""
    request = urllib.request.Request(f"{simulator.url}{path}", json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=patient(5)):
        pass
