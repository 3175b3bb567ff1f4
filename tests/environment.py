"""What the settings see during tests. A pytest plugin, because Django is set up before any conftest is read."""

from __future__ import annotations

import json
import os
import tempfile

import pytest

from tests.support.waiting import patient

# DATABASE_URL and REDIS_URL of the caller name the servers that some tests use; the suite itself runs on SQLite and
# in memory, or with TEST_BACKEND=postgres on that PostgreSQL.
# Under names of our own they also reach the processes of pytest-xdist, which inherit a cleaned environment.
POSTGRES_URL = os.environ.setdefault("TEST_POSTGRES_URL", os.environ.get("DATABASE_URL", ""))
REDIS_SERVER_URL = os.environ.setdefault("TEST_REDIS_URL", os.environ.get("REDIS_URL", ""))
IS_CI = os.environ.get("CI", "").lower() == "true"
for _name in list(os.environ):
    if _name.startswith(("S3_", "COMFYUI_", "EMAIL_")) or _name in {
        "ADMIN_PASSWORD", "DEMO_PASSWORD", "PUBLIC_URL", "PORT", "DEBUG", "SIGNUP_OPEN",
        "SIGNUP_BY_INVITATION", "REDIS_URL", "DATABASE_URL",
    }:  # fmt: skip
        del os.environ[_name]
# pytest-timeout's own variable: a test that hangs ends some time, but not because the machine is busy.
os.environ.setdefault("PYTEST_TIMEOUT", str(patient(120)))
os.environ["SECRET_KEY"] = "tests-only-" + "x" * 50
# Providers decide about addresses when Django starts; tests say where this one answers.
os.environ["SIGN_IN_PROVIDERS"] = json.dumps(
    [
        {
            "provider": "openid_connect",
            "id": "acme",
            "name": "Acme",
            "client_id": "comfysaas",
            "secret": "acme-secret",
            "server_url": "http://127.0.0.1:9",
        }
    ]
)
os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="comfysaas-tests-")
if os.environ.get("TEST_BACKEND") == "postgres":
    if not POSTGRES_URL:
        pytest.exit("TEST_BACKEND=postgres needs DATABASE_URL", returncode=2)
    os.environ["DATABASE_URL"] = POSTGRES_URL
    # Threads of event loops that tests leave behind keep connections; a test of races needs eight of its own.
    os.environ["DATABASE_POOL_SIZE"] = "40"
