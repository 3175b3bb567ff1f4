"""How often somebody may guess."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def guesses_anywhere(settings: Any) -> int:
    """How many wrong passwords an account takes from everywhere together: fewer than in earnest, which takes long."""
    assert settings.ACCOUNT_RATE_LIMITS["login_failed_anywhere"] == "100/h/key"
    settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, "login_failed_anywhere": "8/h/key"}
    return 8
