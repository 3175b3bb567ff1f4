"""Values of the environment that make no sense stop the start."""

from __future__ import annotations

import pytest

from comfysaas.env import Env


def test_a_time_zone_that_there_is_not_stops_the_start() -> None:
    assert Env(time_zone="Europe/Berlin").time_zone == "Europe/Berlin"
    with pytest.raises(ValueError, match="“Berlin” is not a time zone; use a name such as Europe/Berlin"):
        Env(time_zone="Berlin")
