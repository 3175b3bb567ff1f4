"""What tests of the queue share."""

from __future__ import annotations

import pytest

from generations.models import ComfyServer, WorkflowTemplate
from tests.support.factories import make_template
from tests.support.queueing import MEMORIES, at_work


@pytest.fixture(autouse=True)
def fresh_agents() -> None:
    """Nobody remembers anything of another test."""
    MEMORIES.clear()


@pytest.fixture
def server() -> ComfyServer:
    return at_work("one", 1)


@pytest.fixture
def template(server: ComfyServer) -> WorkflowTemplate:
    return make_template()
