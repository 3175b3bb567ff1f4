"""Redis: what is kept there is JSON, and with TLS the server's certificate counts for all who use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfysaas.env import Env
from tests.support.processes import ROOT, SECRET
from tests.support.tls import running_tls_redis
from tests.support.waiting import patient

# Tries the three that use it, each with its own client.
TRY_ALL = """
import asyncio, json, django
django.setup()
from channels.layers import get_channel_layer
from django.core.cache import cache
from comfysaas.celery import app

def broker():
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
        connection.default_channel.client.ping()

async def layer():
    await get_channel_layer().group_send("nobody", {"type": "nothing"})

results = {}
for name, attempt in {
    "cache": lambda: cache.set("x", 1), "channels": lambda: asyncio.run(layer()), "celery": broker
}.items():
    try:
        attempt()
        results[name] = "works"
    except Exception as error:
        chain = []
        while error is not None:
            chain.append(str(error))
            error = error.__cause__ or error.__context__
        results[name] = "refused" if "CERTIFICATE_VERIFY_FAILED" in " ".join(chain) else " ".join(chain)
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def tls_redis(redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    with running_tls_redis(redis_server, tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "refused"),
        ("?ssl_cert_reqs=required", "refused"),
        ("?ssl_cert_reqs=optional", "refused"),
        ("?ssl_cert_reqs=CERT_REQUIRED", "refused"),
        ("?ssl_cert_reqs=none", "works"),
        ("?ssl_cert_reqs=CERT_NONE", "works"),
        ("?ssl_ca_certs={certificate}", "works"),
        ("?ssl_cert_reqs=required&ssl_ca_certs={certificate}", "works"),
    ],
)
def test_all_three_clients_judge_a_certificate_alike(
    tls_redis: tuple[int, Path], tmp_path: Path, query: str, expected: str
) -> None:
    port, certificate = tls_redis
    url = f"rediss://127.0.0.1:{port}/0{query.format(certificate=certificate)}"
    found = run_with_redis(TRY_ALL, url, tmp_path)
    assert found == dict.fromkeys(("cache", "channels", "celery"), expected)


@pytest.mark.parametrize(
    "url", ["localhost:6379", "http://localhost/", "rediss://localhost/0?ssl_cert_reqs=maybe", "redis://"]
)
def test_an_address_that_makes_no_sense_stops_the_start(url: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        Env(redis_url=url, secret_key=SECRET)


def test_the_rest_of_an_address_stays_as_it_is() -> None:
    plain = "redis://user:p%40ss@host:6380/3?socket_timeout=5"
    for given, expected in ((plain, plain), (f"rediss{plain[5:]}", f"rediss{plain[5:]}&ssl_cert_reqs=required")):
        found = Env(redis_url=given, secret_key=SECRET).redis_url
        assert found is not None
        assert found.get_secret_value() == expected


# ---------------------------------------------------------------------------------------------- the cache
# A cluster's own settings, on a real Redis that somebody else can write to.
PROBE = """
import json, pickle, pathlib, sys, django
django.setup()
from django.conf import settings
from django.core.cache import cache
from comfysaas.celery import app

class Evil:
    def __reduce__(self):
        return (pathlib.Path.touch, (pathlib.Path(sys.argv[1]),))

key = cache.make_key("probe")
client = cache._cache.get_client(key, write=True)
cache.set("probe", {"a": [1.5, None]}, 30)
stored = client.get(key).decode()
client.set(key, pickle.dumps(Evil()), ex=30)
try:
    outcome = repr(cache.get("probe"))
except ValueError:
    outcome = "refused"
client.delete(key)
print(json.dumps({"stored": stored, "outcome": outcome, "accepted": app.conf.accept_content,
                  "sessions": settings.SESSION_ENGINE}))
"""


def run_with_redis(code: str, url: str, folder: Path, *arguments: str) -> Any:
    """What a script prints last, in JSON, with the settings that a cluster on that Redis has."""
    env = {key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "LANG", "TMPDIR"}}
    env |= {
        "REDIS_URL": url, "SECRET_KEY": SECRET, "DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "comfysaas.settings",
    }  # fmt: skip
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=env, text=True, capture_output=True, timeout=patient(120), check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.redis
def test_nothing_that_lies_in_redis_is_unpickled(redis_url: str, tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    found = run_with_redis(PROBE, redis_url, tmp_path, str(trap))
    assert json.loads(found["stored"]) == {"a": [1.5, None]}
    assert found["outcome"] == "refused"
    assert not trap.exists()
    assert found["accepted"] == ["json"]
    assert found["sessions"] == "django.contrib.sessions.backends.db"
