"""What was measured, and on what: printed above the numbers, which mean nothing without."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psycopg
import redis

from tests.support.processes import ROOT

PACKAGES = ("comfy-api-proxy", "Django", "daphne", "celery", "psycopg")
NOT_GIVEN = "none"


def versions() -> dict[str, str]:
    """Name -> version: ours by its commit, servers by what they say of themselves (`none` where none is given)."""
    return {
        "comfysaas": _commit(),
        **{package: _package(package) for package in PACKAGES},
        "PostgreSQL": _postgres(os.environ.get("DATABASE_URL", "")),
        "Redis": _redis(os.environ.get("REDIS_URL", "")),
        "Python": platform.python_version(),
        "CPU": f"{os.cpu_count()} x {_cpu()}",
    }


def _commit() -> str:
    """Short, with a + if files differ from it; `unknown` outside of a clone."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude", "*"]
    try:
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return NOT_GIVEN


def _postgres(url: str) -> str:
    if not url:
        return NOT_GIVEN
    with psycopg.connect(url) as database:
        return database.info.parameter_status("server_version") or "unknown"


def _redis(url: str) -> str:
    if not url:
        return NOT_GIVEN
    with redis.Redis.from_url(url) as server:
        return str(server.info("server")["redis_version"])


def _cpu() -> str:
    """The processor's name, where /proc/cpuinfo says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
