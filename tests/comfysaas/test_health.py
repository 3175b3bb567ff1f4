"""Probes: alive as long as anything answers, ready while database and cache do."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test import Client


def failing(*_args: Any, **_options: Any) -> None:
    raise OperationalError("postgresql://user:secret@db is away")


def test_alive_needs_neither_database_nor_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "set", failing)
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
@pytest.mark.parametrize("away", [[], ["database"], ["cache"], ["database", "cache"]])
def test_ready_names_what_does_not_answer_and_nothing_else_of_it(
    away: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, (target, attribute) in {"database": (connection, "cursor"), "cache": (cache, "set")}.items():
        if name in away:
            monkeypatch.setattr(target, attribute, failing)
    answer = Client().get("/readyz")
    assert answer.status_code == (503 if away else 200)
    assert answer.json() == {"status": "unavailable" if away else "ok", "failed": away}
    assert [f"the {name} does not answer" in caplog.text for name in away] == [True] * len(away)
    assert ("is away" in caplog.text) == bool(away)  # operators read why
