"""compose.yaml passes on what .env says, and names no setting that there is not."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from comfysaas.env import Env
from tests.support.processes import ROOT

TEXT = (ROOT / "compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "comfysaas"]
FOR_ITS_SERVERS = {"POSTGRES_PASSWORD", "S3_PASSWORD"}  # names of compose.yaml, no settings of the product
SETTINGS = {name.upper() for name in Env.model_fields}


def in_example() -> set[str]:
    """The names that .env.example gives a value, or a place for one."""
    return set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_there_is_a_service_for_each_process() -> None:
    assert {"prepare", "web", "relay", "worker", "simulator"} == set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_each_process_gets_every_setting_of_the_env_file(name: str) -> None:
    assert SERVICES[name]["env_file"] == [{"path": ".env", "required": False}]


@pytest.mark.parametrize("name", OURS)
def test_each_process_gets_settings_that_there_are(name: str) -> None:
    assert set(SERVICES[name]["environment"]) <= SETTINGS


def test_the_example_names_what_compose_asks_for() -> None:
    assert set(re.findall(r"\$\{(\w+)", TEXT)) == in_example()
    assert in_example() - FOR_ITS_SERVERS <= SETTINGS
