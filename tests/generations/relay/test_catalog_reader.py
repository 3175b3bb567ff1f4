"""What a server can run is read again until it could be read, and only kept for the address that said it."""

from __future__ import annotations

import time

import pytest

from generations.comfy.client import ComfyClient
from generations.models import ComfyServer
from generations.relay import timing
from generations.relay.catalog_reader import CatalogReader
from generations.relay.session import Session
from generations.relay.supervisor import Supervisor
from tests.generations.relay.scene import server
from tests.support.factories import make_server
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("impatience")]


@pytest.mark.usefixtures("relay")
def test_a_catalog_that_cannot_be_read_for_any_reason_is_read_again_soon(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "CATALOG_RETRY_SECONDS", 0.1)
    object_info = ComfyClient.object_info
    reads: list[str] = []

    def failing(self: ComfyClient) -> dict[str, object]:
        reads.append(str(self.address))
        if len(reads) < 3:
            msg = "nobody thought of this"
            raise RuntimeError(msg)
        return {**object_info(self), "New": {}}

    monkeypatch.setattr(ComfyClient, "object_info", failing)
    simulator.faults.set(drop_sockets=True)  # it is read after each connect
    eventually(lambda: "New" in (server().object_info or {}), what="the new catalog")
    assert len(reads) == 3


def test_what_another_address_told_is_not_the_catalog(relay: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody moves the server while the agent of the old address reads."""
    object_info = ComfyClient.object_info
    reads: list[str] = []

    def moving(self: ComfyClient) -> dict[str, object]:
        ComfyServer.objects.update(url="http://127.0.0.1:1")
        reads.append(str(self.address))
        return {**object_info(self), "Old": {}}

    (agent,) = relay._agents.values()
    before = server().catalog_digest
    monkeypatch.setattr(ComfyClient, "object_info", moving)
    agent._catalog_reader.read()
    assert reads
    assert server().catalog_digest == before


def test_a_server_that_does_not_answer_keeps_its_catalog_and_is_asked_again_soon() -> None:
    session = Session(make_server(url="http://127.0.0.1:1"), token=1)
    before = time.monotonic()
    assert not CatalogReader(session).read()
    assert before < session.timers.catalog <= time.monotonic() + timing.CATALOG_RETRY_SECONDS
    assert server().catalog_digest != ""
    assert session.inbox.empty()
